"""Training on real photos and masks of the segmenter's own making."""
