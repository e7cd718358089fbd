"""Animations written without flicker: one palette for all frames, or a format that loses nothing."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toolkit.errors import UserError
from toolkit.files.writing import replacing

ENDINGS = (".gif", ".webp", ".mp4")
_PALETTE_FRAMES = 12


def write_animation(path: Path, frames: Sequence[np.ndarray], fps: float) -> None:
    """Write uint8 frames (H, W, 3) as GIF, WebP or MP4, told by the name's ending; it repeats for ever.

    A GIF stores time in hundredths of a second, so its rate is the nearest of 100 / n frames a second. UserError for
    another ending, or for MP4 without the `video` extra.
    """
    writers = {".gif": _write_gif, ".webp": _write_webp, ".mp4": _write_mp4}
    ending = Path(path).suffix.lower()
    if ending not in writers:
        raise UserError(f"cannot tell the format of {path}: its name should end in {', '.join(ENDINGS)}")
    with replacing(path) as temporary:
        writers[ending](temporary, frames, fps)


def _write_gif(path: Path, frames: Sequence[np.ndarray], fps: float) -> None:
    # A palette per frame makes still areas flicker; one shared octree palette without dither does not.
    chosen = frames[:: max(1, len(frames) // _PALETTE_FRAMES)]
    palette = Image.fromarray(np.concatenate(list(chosen))).quantize(256, method=Image.Quantize.FASTOCTREE)
    pictures = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    duration = max(2, round(100 / fps)) * 10
    pictures[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=duration,
        loop=0,
        optimize=False,
    )


def _write_webp(path: Path, frames: Sequence[np.ndarray], fps: float) -> None:
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(
        path,
        format="WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / fps),
        loop=0,
        lossless=True,  # lossy frames differ where nothing moves; the file gets as large as the GIF
    )


def _write_mp4(path: Path, frames: Sequence[np.ndarray], fps: float) -> None:
    require_video()
    import imageio.v2 as imageio

    # Most players need even sides; imageio would otherwise resize to multiples of 16.
    even: list[Any] = [np.pad(f, ((0, f.shape[0] % 2), (0, f.shape[1] % 2), (0, 0)), mode="edge") for f in frames]
    imageio.mimwrite(path, even, fps=fps, codec="libx264", quality=9, macro_block_size=1)


def require_video() -> None:
    """Raise UserError when MP4 files cannot be written here."""
    if find_spec("imageio_ffmpeg") is None:
        raise UserError(
            "MP4 needs the video extra: pip install 'latent-segmentation-toolkit[video]'; or name a .gif or .webp"
        )
