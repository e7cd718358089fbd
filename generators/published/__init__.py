"""Generators of published weights, one module or folder a family, and the table that recognises their files."""
