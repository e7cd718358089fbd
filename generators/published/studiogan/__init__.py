"""PyTorch-StudioGAN's BigGAN and SNGAN: layout, network, generator."""

from generators.published.studiogan.generator import FAMILY

__all__ = ["FAMILY"]
