"""The forms in which users' masks come, each written as one folder of files for the same three masks."""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32


def truth(number: int = 0) -> np.ndarray:
    """A block, 30% of the picture, in another place for each number."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[6:18, 4 + 4 * number : 22 + 4 * number] = True
    return mask


def voc_palette() -> list[int]:
    """PASCAL VOC's and DAVIS' palette: the bits of an index, dealt out to red, green and blue."""
    colours = []
    for index in range(256):
        for channel in range(3):
            colours.append(
                sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3) if 3 * bit + channel < 8)
            )
    return colours


def indexed(codes: np.ndarray, palette: list[int] | None = None) -> Image.Image:
    codes = codes.astype(np.uint8)
    found = Image.frombytes("P", codes.shape[::-1], codes.tobytes())
    found.putpalette(voc_palette() if palette is None else palette)
    return found


def border(mask: np.ndarray) -> np.ndarray:
    """The rows above the object."""
    return ~mask & np.roll(mask, -2, 0)


def grey(levels: np.ndarray, dtype: type = np.uint8) -> Image.Image:
    return Image.fromarray(np.asarray(levels).astype(dtype))


def coloured(codes: np.ndarray, colours: list[tuple[int, int, int]]) -> Image.Image:
    return Image.fromarray(np.array(colours, np.uint8)[codes])


def with_alpha(inside: int, outside: int, mask: np.ndarray) -> Image.Image:
    levels = np.where(mask, inside, outside)
    return Image.fromarray(np.dstack([levels] * 3 + [mask * 255]).astype(np.uint8))


def halves(mask: np.ndarray) -> np.ndarray:
    """1 for the object's left part, 2 for its right part."""
    codes = mask.astype(int)
    codes[:, 14:] *= 2
    return codes


def soft(mask: np.ndarray) -> np.ndarray:
    """A mask blurred along rows: levels of many greys, at least half white inside."""
    padded = np.pad(mask * 255.0, [(0, 0), (2, 2)], mode="edge")
    return sum(padded[:, shift : shift + WIDTH] for shift in range(5)) / 5


def write_masks(folder: Path, form, ending: str = "png", **options) -> Path:
    for number in range(3):
        folder.mkdir(parents=True, exist_ok=True)
        form(truth(number)).save(folder / f"photo{number}.{ending}", **options)
    return folder
