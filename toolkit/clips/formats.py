"""What clips are written as: by the file's ending and whether transparency is to be kept, a codec and its pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UserError, named

CLIP_OUTPUTS = (".mp4", ".mov", ".webm", ".mkv")


@dataclass(frozen=True)
class Format:
    """A codec by FFmpeg's name, its format of pixels and options, and what may have to be said of it.

    `subsampled` are pixels of which colours are kept for every other one alone, which some codecs refuse for odd sizes;
    `pixels` then gives way to `full_pixels`.
    """

    codec: str
    title: str
    pixels: str
    options: Mapping[str, str]
    full_pixels: str | None = None

    def pixels_for(self, size: tuple[int, int]) -> str:
        """Return the format of pixels for a picture (width, height)."""
        odd = size[0] % 2 or size[1] % 2
        return self.full_pixels if odd and self.full_pixels else self.pixels

    def note(self, size: tuple[int, int], path: Path) -> str | None:
        """Return what to say of a clip of that size, None where there is nothing."""
        if self.pixels_for(size) == self.pixels:
            return None
        return (
            f"{size[0]} x {size[1]} is odd, so that {path.name} is {self.title} with all colours (4:4:4), which "
            "browsers and QuickTime do not play; they do play .webm of any size"
        )


def _h264(quality: int) -> Format:
    # No frames out of order, which pays little here and would keep segments from being joined as they are.
    options = {"preset": "veryfast", "crf": str(quality), "bf": "0"}
    return Format("libx264", "H.264", "yuv420p", options, full_pixels="yuv444p")


def _vp9(quality: int, alpha: bool) -> Format:
    options = {"deadline": "realtime", "cpu-used": "7", "row-mt": "1", "b": "0", "crf": str(quality + 7)}
    title = "VP9 with alpha" if alpha else "VP9"
    return Format("libvpx-vp9", title, "yuva420p" if alpha else "yuv420p", options)


def _prores(quality: int) -> Format:
    return Format("prores_ks", "ProRes 4444", "yuva444p10le", {"profile": "4444", "vendor": "apl0"})


def format_of(path: Path, alpha: bool, quality: int) -> Format:
    """Return what a clip is written as; UserError for an ending that none goes with, or not with transparency.

    `quality` is a constant rate factor of H.264: each 6 less double the size.
    """
    ending = Path(path).suffix.lower()
    if ending not in CLIP_OUTPUTS:
        raise UserError(f"cannot tell the format of {path}: its name should end in {', '.join(CLIP_OUTPUTS)}")
    if not alpha:
        return _vp9(quality, alpha) if ending == ".webm" else _h264(quality)
    if ending == ".mp4":
        raise UserError(
            f"{path} cannot be see-through: {named('write', 'cutout')} needs {named('out')} to end in .webm or .mkv "
            "(VP9 with alpha) or .mov (ProRes 4444, large)"
        )
    return _prores(quality) if ending == ".mov" else _vp9(quality, alpha)
