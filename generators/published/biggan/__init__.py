"""BigGAN and BigBiGAN: network, layout of the published files, generators."""
