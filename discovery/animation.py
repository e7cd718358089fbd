"""The frames of an animation along a direction."""

import numpy as np
import torch

from generators.protocol import Generator, Latents, rendered
from toolkit.compute.engine import Engine
from toolkit.masks.filters import large_components
from toolkit.masks.rules import MaskRule
from toolkit.moves import AnyShift
from toolkit.pictures.outlines import overlay
from toolkit.pictures.pixels import WHITE, enlarged, enlargement, grid, resize, resized_to, to_bytes
from toolkit.watch import SILENT, Watch


def walk_frames(
    generator: Generator,
    latents: Latents,
    shift: AnyShift,
    opposite: AnyShift,
    count: int,
    size: int | None,
    rule: MaskRule | None,
    engine: Engine,
    columns: int,
    watch: Watch = SILENT,
) -> list[np.ndarray]:
    """Return uint8 frames (H, W, 3) from -shift to +shift, a grid of all latents; masks by `rule` are outlined.

    `opposite` is the shift that an opposed rule compares with.
    """
    placed, shift, opposite = latents.to(engine.device), shift.to(engine.device), opposite.to(engine.device)
    frames: list[np.ndarray] = []
    with torch.inference_mode(), engine.autocast():
        start = [images for _, images in rendered(generator, placed)] if rule is not None and not rule.opposed else []
        for position in watch.over(torch.linspace(-1, 1, count).tolist(), "rendering", "frames"):
            tiles = []
            for number, (rows, images) in enumerate(rendered(generator, placed.shifted(shift * position))):
                masks = None
                if rule is not None and position > 0:
                    away = placed[rows].shifted(opposite * position)
                    masks = large_components(rule(generator(away).float() if rule.opposed else start[number], images))
                tiles.append(_tiles(images, masks, size))
            frames.append(grid(np.concatenate(tiles), columns))
    return frames


def _tiles(images: torch.Tensor, masks: torch.Tensor | None, size: int | None) -> np.ndarray:
    """Return images (B, 3, H, W), outlined by masks (B, H, W), as pictures (B, h, w, 3).

    The longer side of each is `size` pixels; where that is None its own, small ones enlarged by a whole factor.
    """
    if size is not None:
        images = resized_to(images, size)
    pictures = to_bytes(images)
    if size is None:
        pictures = enlarged(pictures, enlargement(max(pictures.shape[-3:-1])))
    if masks is not None:
        scaled = resize(masks[:, None].float(), (pictures.shape[-3], pictures.shape[-2]))[:, 0] > 0.5
        pictures = overlay(pictures, scaled.cpu().numpy(), WHITE)  # one colour in every frame: nothing flickers
    return pictures
