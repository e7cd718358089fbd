"""StyleGAN3: geometry, filters, network, layout of the published files, generator."""

from generators.published.stylegan3.generator import FAMILY

__all__ = ["FAMILY"]
