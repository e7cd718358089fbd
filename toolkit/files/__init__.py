"""Files: written whole or not at all, described, downloaded, unpacked, and the run folder."""
