"""A StyleGAN2 of 32 pixels, 8 layers and latents of 8 numbers: what edits by layer are tried on."""

from pathlib import Path

import torch
from golden_fill_stylegan2 import fill_stylegan2

from generators.published.stylegan2.network import StyleGAN2Network
from generators.published.stylegan2.rosinality import NAMING
from generators.published.stylegan2.shape import StyleGAN2Shape
from generators.styled import StyledGenerator

SHAPE = StyleGAN2Shape((8, 10, 6, 4), style_dim=8, mapping_layers=3, latent_dim=8)
LAYERS = 8


def state() -> dict[str, torch.Tensor]:
    """Return its weights in rosinality's layout."""
    return {name: torch.from_numpy(fill_stylegan2(0, name, size)) for name, size in NAMING.table(SHAPE).items()}


def generator() -> StyledGenerator:
    """Return the generator, its latents in W."""
    return StyledGenerator(StyleGAN2Network(SHAPE, NAMING.canonical(state())), "stylegan2")


def write(path: Path) -> None:
    """Write its file."""
    torch.save({"g_ema": state()}, path)
