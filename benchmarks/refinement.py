"""What makes a segmenter's soft maps follow the edges of photos: `--refine` against other ways, on photos with masks.

    uv run --with pymatting --with opencv-contrib-python-headless --no-sync \\
        python -m benchmarks.refinement flowers64 flowers17/images flowers17/masks --inset 3 --every 6

- "none": the soft map as the network gives it.
- "dense CRF": what `--refine` does.
- "guided filter" (He et al., ECCV 2010), of OpenCV's contributed modules, and "bilateral solver" (Barron and Poole,
  ECCV 2016), which trusts the network the more, the surer it is.
- "closed-form matting" (Levin et al., CVPR 2006) and "KNN matting" (Chen et al., CVPR 2012) of pymatting, on a trimap:
  within the mask and beyond it what lies further than a band from its outline is known, the band is not.

All work on a copy of the photo whose shorter side is at most `--side`, and stand at their authors' settings. A way
whose package is not installed is omitted, and said to be. `--every 6` takes every sixth photo. The masks are only
measured with. Prints a row for each way, with its processor time a photo, and with `--out` writes all measures.
"""

import argparse
import importlib
import importlib.util
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from PIL import Image

from segmentation.evaluate.evaluation import evaluate
from segmentation.evaluate.pairs import pair_folders
from segmentation.evaluate.settings import EvaluationSettings
from segmentation.predict.dense_crf import dense_crf
from segmentation.predict.segmenter import Segmenter
from toolkit.files.writing import write_json
from toolkit.pictures.scaling import shorter_side

SHOWN = ("iou", "accuracy", "max_f", "boundary_f")
_BAND = 0.06  # of the shorter side, about an eighth of a thing that fills a quarter of the photo

Refinement = Callable[[np.ndarray, np.ndarray], np.ndarray]  # photo uint8 (H, W, 3), probability (H, W) -> (H, W)


def guided_filter(photo: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """Return the soft map as a linear function of the photo's colours around each pixel."""
    radius = max(2, round(min(soft.shape) / 32))
    return importlib.import_module("cv2.ximgproc").guidedFilter(photo, soft.astype(np.float32), radius, 1e-4 * 255**2)


def bilateral_solver(photo: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """Return the map, constant in the cells of a grid over position and colour, that is smooth from cell to cell.

    It stays near the soft map where that is sure. Smoothness weighs 128, cells are 8 pixels and 8 levels of brightness
    and colour wide, 25 rounds of conjugate gradients: OpenCV's defaults, whose own solver is in none of its wheels.
    """
    luma = np.moveaxis(cv2.cvtColor(photo, cv2.COLOR_RGB2YCrCb), -1, 0)
    axes = [*np.indices(soft.shape), *luma]
    places = np.stack([(axis // 8).ravel() for axis in axes], 1).astype(np.int64)
    strides = np.cumprod([1, *(places.max(0)[:-1] + 3)])
    known, cell = np.unique((places + 1) @ strides, return_inverse=True)
    blur = scipy.sparse.identity(len(known), format="csr") * (2.0 * len(axes))
    for stride in strides:
        after = np.minimum(np.searchsorted(known, known + stride), len(known) - 1)
        here = np.flatnonzero(known[after] == known + stride)
        beside = scipy.sparse.csr_matrix((np.ones(len(here)), (here, after[here])), blur.shape)
        blur = blur + beside + beside.T
    pixels, evened = np.bincount(cell).astype(float), np.ones(len(known))
    for _ in range(10):  # until the blur's rows and columns sum to the pixels of each cell
        evened = np.sqrt(evened * pixels / (blur @ evened))
    spread = scipy.sparse.diags(evened * (blur @ evened)) - scipy.sparse.diags(evened) @ blur @ scipy.sparse.diags(
        evened
    )
    sure = np.abs(2 * soft - 1).ravel()
    trust, told = np.bincount(cell, sure), np.bincount(cell, sure * soft.ravel())
    start = told / np.maximum(trust, 1e-6)
    found, _ = scipy.sparse.linalg.cg(128 * spread + scipy.sparse.diags(trust), told, start, maxiter=25)
    return found[cell].reshape(soft.shape)


def trimap(soft: np.ndarray) -> np.ndarray:
    """Return (H, W) float64 for a soft map: 1 object, 0 background, 0.5 within a band around the mask's outline."""
    mask = np.pad(soft >= 0.5, 1, mode="edge").astype(np.uint8)
    band = _BAND * min(soft.shape)
    inside, outside = (cv2.distanceTransform(side, cv2.DIST_L2, 5)[1:-1, 1:-1] for side in (mask, 1 - mask))
    known = np.full(soft.shape, 0.5)
    known[inside > band], known[outside > band] = 1, 0
    return known


def matting(name: str) -> Refinement:
    """Return what refines by pymatting's `estimate_alpha_<name>`; a map without sure object and ground stays as is."""

    def refine(photo: np.ndarray, soft: np.ndarray) -> np.ndarray:
        known = trimap(soft)
        if not ((known == 1).any() and (known == 0).any()):
            return soft
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of solvers that stop at their last iteration
            estimate = getattr(importlib.import_module("pymatting"), f"estimate_alpha_{name}")
            return np.asarray(estimate(photo / 255.0, known), np.float32)

    return refine


def refinements() -> dict[str, tuple[str, Refinement]]:
    """Return each way by name: the package that it needs, or "", and what refines."""
    return {
        "none": ("", lambda photo, soft: soft),
        "dense CRF": ("", dense_crf),
        "guided filter": ("opencv-contrib-python-headless", guided_filter),
        "bilateral solver": ("", bilateral_solver),
        "closed-form matting": ("pymatting", matting("cf")),
        "KNN matting": ("pymatting", matting("knn")),
    }


def installed(package: str) -> bool:
    """Return whether the package that a way needs is there."""
    if package.startswith("opencv"):
        return hasattr(cv2, "ximgproc")
    return not package or importlib.util.find_spec(package) is not None


@dataclass
class Refined:
    """Predicts a photo's soft map, refined on a copy of at most `side` pixels, and counts the time of refining."""

    soft_maps: dict[bytes, np.ndarray]
    predict: Callable[[np.ndarray], np.ndarray]
    refine: Refinement
    side: int
    seconds: float = 0.0

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        key = photo.tobytes()[: 2**16] + bytes(str(photo.shape), "ascii")
        if key not in self.soft_maps:
            self.soft_maps[key] = self.predict(photo)
        soft, size = self.soft_maps[key], (photo.shape[0], photo.shape[1])
        height, width = shorter_side(*size, self.side) if min(size) > self.side else size
        small = np.array(Image.fromarray(photo).resize((width, height), Image.Resampling.BOX))
        began = time.process_time()
        found = self.refine(small, cv2.resize(soft, (width, height), interpolation=cv2.INTER_AREA))
        self.seconds += time.process_time() - began
        return cv2.resize(np.clip(found, 0, 1).astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("segmenter", help="a file of a segmenter, or the name of a shipped one")
    parser.add_argument("images", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--inset", type=float, default=0.0, help="pixels by which the masks lie within their things")
    parser.add_argument("--every", type=int, default=1, help="take every n-th photo")
    parser.add_argument("--side", type=int, default=384, help="pixels of the shorter side that is refined, at most")
    parser.add_argument("--out", type=Path, help="JSON file for all measures")
    given = parser.parse_args()
    segmenter, found = Segmenter.load(given.segmenter), {}
    soft_maps: dict[bytes, np.ndarray] = {}
    pairs = pair_folders(given.images, given.masks)[:: given.every]
    dataset = given.images.resolve().parent.name
    print(f"{'':<20}" + "".join(f"{name:>12}" for name in ("images", *SHOWN, "ms a photo")))
    for name, (package, refine) in refinements().items():
        if not installed(package):
            print(f"{name:<20}omitted: {package} is not installed")
            continue
        refined = Refined(soft_maps, segmenter.probability, refine, given.side)
        found[name] = evaluate(pairs, refined, dataset, name, EvaluationSettings(inset=given.inset)).result()
        figures = "".join(f"{found[name]['measures'][shown]:12.3f}" for shown in SHOWN)
        print(f"{name:<20}{len(pairs):>12}{figures}{1000 * refined.seconds / len(pairs):12.0f}", flush=True)
    if given.out is not None:
        write_json(given.out, found)


if __name__ == "__main__":
    main()
