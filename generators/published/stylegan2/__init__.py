"""StyleGAN2: network, layout of the published files, generator."""

from generators.published.stylegan2.generator import FAMILY

__all__ = ["FAMILY"]
