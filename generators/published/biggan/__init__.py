"""BigGAN and BigBiGAN: network, layout of the published files, generators."""

from generators.published.biggan.generator import FAMILY

__all__ = ["FAMILY"]
