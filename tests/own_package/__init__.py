"""A package of someone else's, for the tests: copied to a folder of its own and run from there."""
