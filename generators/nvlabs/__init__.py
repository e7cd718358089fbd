"""Files of NVlabs' repositories: pickles whose networks carry their own source, read without running any of it."""
