"""A trained segmenter used on photos of any size."""
