"""Segmentation: masks from image pairs, the U-Net, its training and its measures."""
