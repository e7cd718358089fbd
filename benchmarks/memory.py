"""Whether memory grows with the number of training steps.

    OMP_NUM_THREADS=1 python -m benchmarks.memory [--steps 1000]

Tiny trainings in one process on the closed-form scene. Prints the peak memory of the process after the first 100 steps
and after all: a leak of 10 KB a step would show as 9 MB.
"""

import argparse
from collections.abc import Callable, Iterator

from benchmarks import record
from discovery.methods.deformator.training import DiscoveryState, discover
from discovery.settings import DiscoverySettings
from generators.scene import SceneGenerator
from segmentation.synthesis.prefetch import Prefetched
from segmentation.synthesis.synthesizer import MaskSynthesizer, PriorSource
from segmentation.unet.settings import SegmentationSettings
from segmentation.unet.training import SegmentationState, train
from toolkit.compute.engine import choose_engine
from toolkit.compute.memory import peak_memory

ENGINE = choose_engine("cpu", "fp32")
GENERATOR = SceneGenerator(image_size=32)
SHIFT = 5 * GENERATOR.contrast_direction()
EARLY = 100


def segmenting(steps: int) -> Iterator[object]:
    settings = SegmentationSettings(
        steps=steps, batch=8, width=4, validation_samples=16, validate_every=50, augment=True
    )
    source = PriorSource(GENERATOR)
    return train(SegmentationState.start(GENERATOR, SHIFT, settings, ENGINE, source), settings, ENGINE)


def discovering(steps: int) -> Iterator[object]:
    settings = DiscoverySettings(steps=steps, batch=8, reconstructor="lenet")
    return discover(DiscoveryState.start(GENERATOR, settings, ENGINE), GENERATOR, settings, ENGINE)


def prefetching(steps: int) -> Iterator[object]:
    synthesizer = MaskSynthesizer(GENERATOR, SHIFT, SegmentationSettings(), PriorSource(GENERATOR))
    with Prefetched(synthesizer, count=8) as prefetched:
        for _ in range(steps):
            yield prefetched.batch()


TRAININGS: dict[str, Callable[[int], Iterator[object]]] = {
    "segment": segmenting,
    "discover": discovering,
    "batches in advance": prefetching,
}


def growth(steps: int) -> dict[str, tuple[int, int]]:
    """Return the process's peak bytes after 100 steps (or `steps`, if fewer) of each training, and after all."""
    return {name: _peaks(training(steps), min(EARLY, steps)) for name, training in TRAININGS.items()}


def _peaks(training: Iterator[object], early: int) -> tuple[int, int]:
    for _ in range(early):
        next(training)
    first = peak_memory(ENGINE.device)
    for _ in training:
        pass
    return first, peak_memory(ENGINE.device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    record.add_flag(parser)
    given = parser.parse_args()
    found = growth(given.steps)
    for name, (first, last) in found.items():
        print(
            f"{name:<20} {first / 1e6:7.1f} MB after {min(EARLY, given.steps)} steps, {last / 1e6:7.1f} MB after "
            f"{given.steps}: {(last - first) / 1e6:+.1f} MB"
        )
    rows = {name: {"peak, bytes": {"early": early, "late": late}} for name, (early, late) in found.items()}
    record.write(given.json, "memory", rows, steps=given.steps)


if __name__ == "__main__":
    main()
