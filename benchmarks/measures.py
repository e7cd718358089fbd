"""Time of the measures on 50 maps of 300 x 400 pixels, against a loop over thresholds and against PySODMetrics.

    OMP_NUM_THREADS=1 python benchmarks/measures.py

Prints milliseconds a map (median of the rounds, after one to warm up) and ratios measured in the same run.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from segmentation.counts import THRESHOLDS, level_counts, threshold_counts
from segmentation.measures import e_measure, f_beta, mean_absolute_error
from segmentation.scores import Tally, score_image
from segmentation.structure import s_measure, weighted_f

SHAPE, COUNT, ROUNDS = (300, 400), 50, 5
NAIVE_COUNT = 5  # the loop is slow; its time a map does not depend on how many maps there are

Maps = list[tuple[np.ndarray, np.ndarray]]


def make_maps() -> Maps:
    rng = np.random.default_rng(0)
    return [make_map(rng) for _ in range(COUNT)]


def make_map(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ground = gaussian_filter(rng.normal(size=SHAPE), 25)
    truth = ground > np.quantile(ground, 0.7)
    logits = gaussian_filter(rng.normal(size=SHAPE), 8) * 20 + np.where(truth, 1, -1)
    return 1 / (1 + np.exp(-logits)), truth


def max_f(maps: Maps) -> float:
    return float(np.mean([f_beta(threshold_counts(p, t)) for p, t in maps], axis=0).max())


def naive_max_f(maps: Maps) -> float:
    curves = []
    for probability, truth in maps:
        values, curve = probability.astype(np.float32), []
        for threshold in THRESHOLDS:
            predicted = values > threshold
            hits = (predicted & truth).sum()
            precision = hits / predicted.sum() if predicted.any() else 1.0
            recall = hits / truth.sum() if truth.any() else 1.0
            weighted = 0.3 * precision + recall
            curve.append(1.3 * precision * recall / weighted if weighted else 0.0)
        curves.append(curve)
    return float(np.mean(curves, axis=0).max())


def milliseconds(work: Callable[[Maps], object], maps: Maps) -> float:
    """Return the median time a map, after one round to warm up."""
    work(maps)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work(maps)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times) / len(maps)


def each(measure: Callable[[np.ndarray, np.ndarray], object]) -> Callable[[Maps], object]:
    return lambda maps: [measure(probability, truth) for probability, truth in maps]


def everything(maps: Maps) -> dict[str, float]:
    tally = Tally()
    for probability, truth in maps:
        tally.add(score_image(probability, truth))
    return tally.summary()


def oracle(make: Callable[[], object]) -> Callable[[Maps], object]:
    def work(maps: Maps) -> object:
        measure = make()
        for probability, truth in maps:
            measure.step(probability, truth, normalize=False)  # type: ignore[attr-defined]
        return measure.get_results()  # type: ignore[attr-defined]

    return work


def show(name: str, ours: float, other: float, against: str) -> None:
    print(f"{name:<22} {ours:8.2f} ms   {against} {other:8.2f} ms   {other / ours:6.1f} times as fast")


def main() -> None:
    maps = make_maps()
    few = maps[:NAIVE_COUNT]
    assert abs(max_f(few) - naive_max_f(few)) < 1e-9
    show("max F, 255 thresholds", milliseconds(max_f, maps), milliseconds(naive_max_f, few), "loop        ")
    print(f"{'all measures':<22} {milliseconds(everything, maps):8.2f} ms")
    try:
        import py_sod_metrics as sod
    except ImportError:
        print("pysodmetrics is not installed; no comparison with it")
        return
    handler = {"with_dynamic": True, "with_adaptive": False, "beta": 0.3}
    rows = {
        "max F, 256 levels": (
            each(lambda p, t: f_beta(level_counts(p, t))),
            lambda: sod.FmeasureV2({"f": sod.FmeasureHandler(**handler)}),
        ),
        "E-measure, 256 levels": (each(lambda p, t: e_measure(level_counts(p, t))), sod.Emeasure),
        "S-measure": (each(s_measure), sod.Smeasure),
        "weighted F": (each(weighted_f), sod.WeightedFmeasure),
        "MAE": (each(mean_absolute_error), sod.MAE),
    }
    for name, (ours, theirs) in rows.items():
        show(name, milliseconds(ours, maps), milliseconds(oracle(theirs), maps), "PySODMetrics")


if __name__ == "__main__":
    main()
