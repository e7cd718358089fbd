"""Data files only: default weights, directions and the report template."""
