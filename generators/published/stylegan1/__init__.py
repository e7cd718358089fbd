"""StyleGAN: network, layout of genforce's files, generator."""

from generators.published.stylegan1.generator import FAMILY

__all__ = ["FAMILY"]
