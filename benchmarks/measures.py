"""Time of the measures on maps of 300 x 400 pixels, against the original's way of max F and against PySODMetrics.

    OMP_NUM_THREADS=1 python -m benchmarks.measures [--rounds 5] [--json measures.json]

Prints milliseconds a photo of the fast and the plain way, their ratio, and the share of the speed of a copy in memory
at which a measure reads its map and truth.
"""

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from benchmarks import record
from benchmarks.reference import plain_max_f
from benchmarks.timing import Times, clocked, figures, in_a_line
from segmentation.evaluate.counts import level_counts, threshold_counts
from segmentation.evaluate.measures import e_measure, f_beta, mean_absolute_error
from segmentation.evaluate.scores import score_image
from segmentation.evaluate.structure import s_measure, weighted_f

SHAPE, COUNT = (300, 400), 10
COPIED = 2**24  # bytes

Maps = list[tuple[np.ndarray, np.ndarray]]
Work = Callable[[np.ndarray, np.ndarray], object]


def make_maps() -> Maps:
    rng = np.random.default_rng(0)
    return [make_map(rng) for _ in range(COUNT)]


def make_map(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ground = gaussian_filter(rng.normal(size=SHAPE), 25)
    truth = ground > np.quantile(ground, 0.7)
    logits = gaussian_filter(rng.normal(size=SHAPE), 8) * 20 + np.where(truth, 1, -1)
    return 1 / (1 + np.exp(-logits)), truth


def original_max_f(probability: np.ndarray, truth: np.ndarray) -> float:
    return plain_max_f(torch.from_numpy(probability[None]).float(), torch.from_numpy(truth[None]))


def together(works: Iterable[Work]) -> Work:
    return lambda probability, truth: [work(probability, truth) for work in works]


def works() -> dict[str, tuple[Work, Work]]:
    """Return the plain and the fast way of each row; PySODMetrics is the plain way of what it has, if installed."""
    original: dict[str, tuple[Work, Work]] = {
        "max F, 255 thresholds / original": (original_max_f, lambda p, t: f_beta(threshold_counts(p, t)))
    }
    try:
        import py_sod_metrics as sod  # type: ignore[import-untyped]
    except ImportError:
        return original
    handler = sod.FmeasureHandler(with_dynamic=True, with_adaptive=False, beta=0.3)
    pairs: dict[str, tuple[Any, Work]] = {
        "max F, 256 levels": (sod.FmeasureV2({"f": handler}), lambda p, t: f_beta(level_counts(p, t), both_empty=0)),
        "E-measure": (sod.Emeasure(), lambda p, t: e_measure(level_counts(p, t))),
        "S-measure": (sod.Smeasure(), s_measure),
        "weighted F": (sod.WeightedFmeasure(), weighted_f),
        "MAE": (sod.MAE(), mean_absolute_error),
    }
    theirs = {name: partial(measure.step, normalize=False) for name, (measure, _) in pairs.items()}
    compared = {f"{name} / PySODMetrics": (theirs[name], ours) for name, (_, ours) in pairs.items()}
    return {**original, **compared, "all measures / PySODMetrics' five": (together(theirs.values()), score_image)}


def warmed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds, by the clock and of the processor, after one call to fill the caches."""
    work()
    return clocked(work)


def rows(rounds: int) -> dict[str, dict[str, Times]]:
    """Return the times of a photo, the mean over photos, by each row's "plain" and "fast" way: one thread, by turns."""
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    measured = {title: _row(*ways, rounds) for title, ways in works().items()}
    cv2.setNumThreads(threads[0])
    torch.set_num_threads(threads[1])
    return measured


def _row(plain: Work, fast: Work, rounds: int) -> dict[str, Times]:
    turns = [[[warmed(partial(way, *pair)) for way in (plain, fast)] for _ in range(rounds)] for pair in make_maps()]
    means = np.mean(turns, axis=0)  # (rounds, way, clock or processor)
    return {name: Times(*map(tuple, means[:, i].T.tolist())) for i, name in enumerate(("plain", "fast"))}


def copy_speed(rounds: int) -> float:
    """Return bytes a second read by a copy in memory."""
    source = np.ones(COPIED, np.uint8)
    target = np.empty_like(source)
    return COPIED / min(warmed(lambda: np.copyto(target, source))[1] for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    record.add_flag(parser, "--out")
    given = parser.parse_args()
    ceiling = copy_speed(given.rounds)
    read = SHAPE[0] * SHAPE[1] * (np.dtype(np.float64).itemsize + np.dtype(bool).itemsize)
    print(f"1 thread, a copy reads {ceiling / 1e9:.1f} GB/s")
    measured = rows(given.rounds)
    for title, found in measured.items():
        share = read / found["fast"].work / ceiling
        print(f"{title:<40} {in_a_line(found)}  {share:6.1%} of a copy")
    record.write(given.json, "measures", figures(measured), given.rounds, **{"copy, bytes a second": ceiling})


if __name__ == "__main__":
    main()
