"""The best, middling and worst images of an evaluation, as a picture to look at."""

import numpy as np

from segmentation.evaluate.evaluation import Evaluation
from segmentation.evaluate.measures import stretched
from segmentation.evaluate.pairs import Pair
from toolkit.pictures.outlines import overlay
from toolkit.pictures.pixels import from_bytes, grid, mask_picture, resize, stack_rows, to_bytes


def choose_cases(evaluation: Evaluation, each: int = 2) -> dict[str, list[Pair]]:
    """Return up to `each` best, median and worst pairs by IoU, best first, no pair twice."""
    ious = [row["iou"] for row in evaluation.rows()]
    order = sorted(range(len(ious)), key=lambda index: (-ious[index], index))
    middle = max(0, (len(order) - each) // 2)
    wanted = {"best": order[:each], "median": order[middle : middle + each], "worst": order[-each:]}
    chosen: dict[str, list[Pair]] = {}
    seen: set[int] = set()
    for kind, indices in wanted.items():
        chosen[kind] = [evaluation.pairs[index] for index in indices if index not in seen]
        seen.update(indices)
    return chosen


_WIDEST = 8  # times as wide as high: a strip of 20000 x 1 pixels would be enlarged to gigabytes


def cases_picture(evaluation: Evaluation, each: int = 2, height: int = 160) -> np.ndarray:
    """Return a uint8 (H, W, 3) picture of best, median and worst cases, a row each, `height` pixels high.

    A row shows the photo (or predicted map), the truth, the probability, and the mask at the threshold drawn
    over the photo. The chosen cases are predicted anew.
    """
    chosen = choose_cases(evaluation, each)
    return stack_rows([_case_row(evaluation, pair, height) for pairs in chosen.values() for pair in pairs])


def _case_row(evaluation: Evaluation, pair: Pair, height: int) -> np.ndarray:
    picture, probability, truth = evaluation.measured(pair)
    if evaluation.settings.stretch:
        probability = stretched(probability)
    levels = np.repeat((probability * 255).round().astype(np.uint8)[..., None], 3, axis=-1)
    drawn = overlay(picture, probability >= evaluation.settings.threshold)
    panels = np.stack([picture, mask_picture(truth.mask), levels, drawn])
    width = min(max(1, round(picture.shape[1] * height / picture.shape[0])), _WIDEST * height)  # strips are squeezed
    return grid(to_bytes(resize(from_bytes(panels), (height, width))), columns=4, gap=4)
