"""The files of the original implementations, read and written."""
