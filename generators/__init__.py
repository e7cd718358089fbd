"""Generators: images from latents, one protocol, every pretrained model."""
