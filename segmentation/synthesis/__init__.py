"""Image and mask pairs from a generator and a shift."""
