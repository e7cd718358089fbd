"""What a segmenter has to beat on photos with masks: guesses without labels, measured as by `toolkit eval`.

    python -m benchmarks.baselines flowers17/images flowers17/masks [--box 0.7] [--rounds 5] [--json baselines.json]

- "everything": all of the photo is object.
- "box", "ellipse": the central box, whose sides are a share of the photo's (`--box`), and the ellipse that just
  fits it.
- "GrabCut": OpenCV's GrabCut (Rother et al., SIGGRAPH 2004) from that box: beyond it is background, within it object
  or background as colours and edges say, after so many `--rounds`. It works on the photo with its shorter side at most
  256 pixels (`--side`); its mask comes back at the photo's size by the nearest pixel.

All are measured at the photo's own size. The masks are only measured with, and nothing is fitted to them. Prints a row
for each guess and, with `--out`, writes all measures with their definitions.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks import record
from segmentation.evaluate.evaluation import Predictor, evaluate
from segmentation.evaluate.pairs import pair_folders
from segmentation.self_training.pseudo_masks import grab_cut as cut_within
from toolkit.pictures.scaling import shorter_side

SHOWN = ("iou", "accuracy", "max_f", "boundary_f")


def everything(photo: np.ndarray) -> np.ndarray:
    """Return (H, W) of ones."""
    return np.ones(photo.shape[:2], np.float32)


def box(share: float) -> Predictor:
    """Return what predicts the central box, whose sides are `share` of the photo's."""

    def predict(photo: np.ndarray) -> np.ndarray:
        height, width = photo.shape[:2]
        (top, bottom), (left, right) = _middle(height, share), _middle(width, share)
        mask = np.zeros((height, width), np.float32)
        mask[top:bottom, left:right] = 1
        return mask

    return predict


def ellipse(share: float) -> Predictor:
    """Return what predicts the ellipse whose axes are `share` of the photo's sides."""

    def predict(photo: np.ndarray) -> np.ndarray:
        down, right = (2 * (np.arange(length) + 0.5) / length - 1 for length in photo.shape[:2])
        return (down[:, None] ** 2 + right**2 <= share**2).astype(np.float32)

    return predict


def grab_cut(share: float, rounds: int, side: int) -> Predictor:
    """Return what predicts by GrabCut from the central box, on photos whose shorter side is at most `side` pixels."""
    guess = box(share)

    def predict(photo: np.ndarray) -> np.ndarray:
        size = photo.shape[0], photo.shape[1]
        height, width = shorter_side(*size, side) if min(size) > side else size
        small = np.array(Image.fromarray(photo).resize((width, height), Image.Resampling.BOX))
        within = guess(small) > 0
        cut = cut_within(small, within, rounds) if within.any() and not within.all() else within  # it needs both kinds
        return cv2.resize(cut.astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)

    return predict


def _middle(length: int, share: float) -> tuple[int, int]:
    """Return where the middle `share` of so many pixels begins and ends."""
    margin = round((1 - share) / 2 * length)
    return margin, length - margin


def baselines(share: float = 0.7, rounds: int = 5, side: int = 256) -> dict[str, tuple[Predictor, str]]:
    """Return each guess and the sentence on it that results carry, by name."""
    sides = f"sides {share:g} of the photo's"
    cut = f"GrabCut from the central box ({sides}), {rounds} rounds, shorter side at most {side} pixels"
    return {
        "everything": (everything, "all of the photo is object"),
        "box": (box(share), f"the central box, {sides}"),
        "ellipse": (ellipse(share), f"the ellipse in the central box, {sides}"),
        "GrabCut": (grab_cut(share, rounds, side), cut),
    }


def measured(
    images: Path, masks: Path, guesses: dict[str, tuple[Predictor, str]], each: Callable[[str, dict], None]
) -> dict[str, dict]:
    """Return what `toolkit eval` would write of each guess, by name; `each` is given one after the other."""
    pairs, found = pair_folders(images, masks), {}
    for name, (predict, protocol) in guesses.items():
        found[name] = evaluate(pairs, predict, images.resolve().parent.name, protocol).result()
        each(name, found[name])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--box", type=float, default=0.7, help="sides of the central box, as a share of the photo's")
    parser.add_argument("--rounds", type=int, default=5, help="of GrabCut")
    parser.add_argument("--side", type=int, default=256, help="pixels of the shorter side for GrabCut, at most")
    record.add_flag(parser, "--out")
    given = parser.parse_args()
    if not 0 < given.box <= 1:
        parser.error(f"--box is {given.box}, but has to be above 0 and at most 1")
    print(f"{'':<12}" + "".join(f"{name:>12}" for name in ("images", *SHOWN)))

    def show(name: str, result: dict) -> None:
        figures = "".join(f"{result['measures'][shown]:12.3f}" for shown in SHOWN)
        print(f"{name:<12}{result['images']:>12}{figures}", flush=True)

    found = measured(given.images, given.masks, baselines(given.box, given.rounds, given.side), show)
    record.write(given.json, "baselines", {name: {"guess": result} for name, result in found.items()})


if __name__ == "__main__":
    main()
