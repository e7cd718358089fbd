"""BigGAN-deep in Hugging Face's layout: config.json, sizes, network, generator."""

from generators.published.biggan_deep.generator import FAMILY

__all__ = ["FAMILY"]
