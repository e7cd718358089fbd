"""Encoders from images to latents: network, training, embedding of photos."""
