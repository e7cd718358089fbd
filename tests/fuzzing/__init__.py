"""Damaged files for every reader, made of whole ones in memory by a seed: `python -m tests.fuzzing --help`."""
