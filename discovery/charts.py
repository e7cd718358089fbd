"""Charts: what walking along each direction does to an image, as strips of frames and pages of strips."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from generators.protocol import Generator, Latents, every_shift, rendered
from toolkit.moves import AnyShift
from toolkit.pictures.photos import write_picture
from toolkit.pictures.pixels import grid, resized_to, stack_rows, to_bytes
from toolkit.pictures.report import plotted
from toolkit.streams import Stream

_BORDER = 3
_FRAME_GAP, _STRIP_GAP, _MARGIN = 1, 8, 8


def offsets(reach: float, count: int) -> torch.Tensor:
    """Return the 2 * count + 1 shift lengths of a walk, from -reach to reach; the middle one is exactly 0."""
    return torch.arange(-count, count + 1) * (reach / count)


def walk(vectors: torch.Tensor, reach: float, count: int) -> torch.Tensor:
    """Return the shifts (M, 2 * count + 1, D) of walks along vectors (M, D), or by layer along shifts (M, 1, L, D)."""
    lengths = offsets(reach, count).to(vectors.device)
    return vectors[:, None] * lengths[:, *[None] * (vectors.dim() - 1)]


def frames(generator: Generator, latents: Latents, shifts: torch.Tensor | Sequence[AnyShift]) -> torch.Tensor:
    """Return images (F, 3, H, W) of one latent (a row of `latents`) moved by each of shifts (F, D), or (F, 1, L, D)."""
    return torch.cat([images for _, images in rendered(generator, every_shift(latents, shifts))])


def red_bordered(images: torch.Tensor) -> torch.Tensor:
    """Return images (..., 3, H, W) in [-1, 1] with a red border of 3 pixels."""
    bordered = images.new_tensor([1.0, -1.0, -1.0])[:, None, None].expand_as(images).clone()
    inner = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    bordered[inner] = images[inner]
    return bordered


def centre_marked(images: torch.Tensor) -> torch.Tensor:
    """Return a strip (F, 3, H, W) whose middle frame, the unmoved image, has a red border."""
    marked = images.clone()
    marked[len(images) // 2] = red_bordered(images[len(images) // 2])
    return marked


def strip(generator: Generator, latents: Latents, shifts: torch.Tensor, mark_centre: bool = False) -> np.ndarray:
    """Return uint8 frames (F, H, W, 3) of one latent (a row of `latents`) moved by each of shifts (F, D)."""
    images = frames(generator, latents, shifts)
    return to_bytes(centre_marked(images) if mark_centre else images)


def chart_page(
    generator: Generator,
    latents: Latents,
    shifts: torch.Tensor,
    labels: Sequence[str],
    *,
    mark_centre: bool = True,
    frame_side: int = 128,
    font_size: int = 14,
) -> np.ndarray:
    """Return one uint8 picture (H', W', 3): a row a direction, its label at the left, a strip a latent.

    `shifts` (M, F, D) are the walks along M directions (`walk`, or a deformator's `walks`), `labels` their M
    texts; frames larger than `frame_side` pixels are shrunk to it.
    """
    moved = every_shift(latents, shifts.flatten(0, 1))
    pictures = torch.from_numpy(
        np.concatenate([_shrunk(images, frame_side) for _, images in rendered(generator, moved)])
    )
    # every_shift runs through the walks first and the latents last.
    pictures = pictures.unflatten(0, (*shifts.shape[:2], len(latents))).transpose(1, 2)
    if mark_centre:
        _mark(pictures[:, :, shifts.shape[1] // 2])
    font = ImageFont.load_default(size=font_size)
    margin = 2 * _MARGIN + int(max(font.getlength(label) for label in labels))
    rows = [
        np.concatenate([_label(label, margin, strips.shape[2], font), _side_by_side(strips.numpy())], axis=1)
        for label, strips in zip(labels, pictures, strict=True)
    ]
    return np.pad(stack_rows(rows, gap=_FRAME_GAP + 1), ((_MARGIN, _MARGIN), (0, _MARGIN), (0, 0)), constant_values=255)


def _shrunk(images: torch.Tensor, side: int) -> np.ndarray:
    return to_bytes(resized_to(images, min(side, max(images.shape[-2:]))))


def _mark(pictures: torch.Tensor) -> None:
    """Draw the red border into uint8 pictures (..., H, W, 3), in place."""
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)
    for edge in (slice(None, _BORDER), slice(-_BORDER, None)):
        pictures[..., edge, :, :] = red
        pictures[..., edge, :] = red


def _side_by_side(strips: np.ndarray) -> np.ndarray:
    """Return strips (N, F, H, W, 3) as one row of frames, a wider gap between strips."""
    rows = [grid(strip_frames, columns=strips.shape[1], gap=_FRAME_GAP) for strip_frames in strips]
    return grid(np.stack(rows), columns=len(rows), gap=_STRIP_GAP)


def _label(text: str, width: int, height: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> np.ndarray:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).text((_MARGIN, height // 2), text, fill="black", font=font, anchor="lm")
    return np.asarray(image)


def chart_label(index: int, name: str) -> str:
    """Return the text beside a strip: the direction's index, and its name where somebody gave it one."""
    return str(index) if name == f"direction_{index}" else f"{index} {name}"


def write_charts(
    folder: Path,
    generator: Generator,
    shifts: torch.Tensor,
    names: Sequence[str],
    seed: int,
    num_latents: int = 3,
    per_page: int = 20,
    drew: Callable[[int], object] = lambda count: None,
) -> list[Path]:
    """Write pages of strips of all directions as `{first:03}_{last:03}.png`; return their paths.

    `shifts` (K, F, D) are the walks along the K directions (see `walk`, or a deformator's `walks`); the latents are
    those that `seed` names. Rendering takes place on the device of `shifts`; after each page `drew` gets how many
    directions it shows.
    """
    latents = generator.sample(num_latents, Stream(seed, "charts")).to(shifts.device)
    labels = [chart_label(index, name) for index, name in enumerate(names)]
    paths = []
    for first in range(0, len(shifts), per_page):
        page = slice(first, min(first + per_page, len(shifts)))
        path = Path(folder) / f"{page.start:03}_{page.stop - 1:03}.png"
        write_picture(path, chart_page(generator, latents, shifts[page], labels[page]))
        paths.append(path)
        drew(page.stop - page.start)
    return paths


def labelled(picture: np.ndarray, text: str, font_size: int = 14) -> np.ndarray:
    """Return a uint8 picture (H, W, 3) with a line of text above it."""
    line = _label(text, picture.shape[1], 2 * font_size, ImageFont.load_default(size=font_size))
    return np.concatenate([line, picture])


def cosine_picture(cosines: np.ndarray, labels: Sequence[str], sizes: Sequence[int]) -> np.ndarray:
    """Return a heat map, uint8 (H, W, 4), of |cosine| (N, N) in [0, 1] between the directions of several sets.

    `labels` name the sets and `sizes`, summing to N, say how many rows and columns each takes, in order.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.4), dpi=110, layout="tight")
    axes = figure.add_subplot()
    figure.colorbar(axes.imshow(cosines, vmin=0, vmax=1, cmap="magma"), label="|cosine|")
    ends = np.cumsum(sizes)
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color="white", linewidth=1)
        axes.axvline(end - 0.5, color="white", linewidth=1)
    middles = ends - np.asarray(sizes) / 2 - 0.5
    axes.set_xticks(middles, labels, rotation=30, ha="right", parse_math=False)
    axes.set_yticks(middles, labels, parse_math=False)
    return plotted(figure)
