"""One command a file: flags, one call, and what it prints."""
