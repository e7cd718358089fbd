"""Projection: latents of photos found by optimisation through the generator itself, without an encoder."""
