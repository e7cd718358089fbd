"""Trained segmenters as files for other runtimes."""
