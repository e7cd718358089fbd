"""Telling what a file of weights is: comparison with a layout's entries, and files that are no generator of ours."""
