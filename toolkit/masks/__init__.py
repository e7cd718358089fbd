"""Masks from an image and its shifted twin: rules and filters."""
