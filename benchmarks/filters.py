"""Time of the mask filters on 95 masks and images of 128 x 128, against the plain way.

    OMP_NUM_THREADS=1 python -m benchmarks.filters

Prints milliseconds a batch (median of the rounds, the ways taking turns, one thread). `specks` are masks of one disc
and about 50 specks, like those of a generator; `smooth` ones have a few large components and no specks.
"""

import argparse

import cv2
import torch
import torch.nn.functional as F

from benchmarks import record
from benchmarks.reference import plain_components, plain_peaks
from benchmarks.timing import Times, Work, by_turns, figures, in_a_line
from toolkit.masks.filters import area_within, histogram_peaks, large_components

COUNT, SIDE, SPECKS = 95, 128, 50


KINDS = ("specks", "smooth")


def smooth_images(rng: torch.Generator) -> torch.Tensor:
    coarse = torch.randn(COUNT, 3, SIDE // 8, SIDE // 8, generator=rng)
    return F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear").tanh()


def specked_masks(rng: torch.Generator) -> torch.Tensor:
    """Return masks (95, 128, 128) of a disc somewhere and specks of 2 x 2 pixels."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    middle = SIDE * (0.3 + 0.4 * torch.rand(2, COUNT, 1, 1, generator=rng))
    radius = SIDE * (0.1 + 0.2 * torch.rand(COUNT, 1, 1, generator=rng))
    seeds = torch.rand(COUNT, 1, SIDE - 1, SIDE - 1, generator=rng) < SPECKS / SIDE**2
    specks = F.max_pool2d(seeds.float(), 2, stride=1, padding=1)[:, 0] > 0
    return specks | ((y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2)


def plain_area(masks: torch.Tensor) -> torch.Tensor:
    return masks.float().mean(dim=(1, 2)) < 0.5


def ways(kind: str) -> dict[str, Work]:
    """Return all three filters in each way, on masks of a kind: `specks`, or else smooth ones."""
    rng = torch.Generator().manual_seed(0)
    images = smooth_images(rng)
    masks = specked_masks(rng) if kind == "specks" else images[:, 0] > 0.1
    return {
        "plain": lambda: (plain_area(plain_components(masks)), plain_peaks(images)),
        "fast": lambda: (area_within(large_components(masks)), histogram_peaks(images)),
    }


def rows(rounds: int) -> dict[str, dict[str, Times]]:
    """Return the times of a batch, by what is filtered and by way: plain and fast."""
    return {f"filters, 95 masks, {kind}": by_turns(ways(kind), rounds) for kind in KINDS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    record.add_flag(parser)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    measured = rows(given.rounds)
    for title, found in measured.items():
        print(f"{title:<28} {in_a_line(found)}", flush=True)
    record.write(given.json, "filters", figures(measured), given.rounds)


if __name__ == "__main__":
    main()
