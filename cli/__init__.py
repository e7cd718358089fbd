"""The command line: parse, build settings, call, print."""
