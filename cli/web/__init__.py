"""What every page and server of the command line shares: who may ask, by when, and how errors are said."""
