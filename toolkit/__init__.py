"""Shared core of the toolkit: values, files, devices, pixels, runs and reports. Imports no sibling package."""

__version__ = "0.1.0"
