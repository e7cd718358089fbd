"""Straightforward paths of generators, written step by step, to measure ours against."""
