"""GANSpace: principal components of features, carried back to the latents."""
