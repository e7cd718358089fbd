"""StyleGAN2: network, layout of the published files, generator."""
