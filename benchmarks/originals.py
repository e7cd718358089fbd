"""What the originals' own code measured, which is not part of this repository: kept as constants, with where and how.

    python -m benchmarks.originals          # prints the table of docs/processors.md

The plain ways of benchmarks.reference and benchmarks.plain are re-writings from the papers' specification; these are
not, and they say how far the re-writings carry.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """A kind of processor: its units as the table names them, and multiplications a second of one large product."""

    name: str
    units: str
    threads: int
    product: dict[str, float]


@dataclass(frozen=True)
class Ratio:
    """How many times faster this toolkit does one piece of work, by precision, and where that is from.

    `row` is the row of benchmarks.speed that measures the same against the plain way, if one does.
    """

    work: str
    times: dict[str, float]
    row: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Ratios against one base (the originals' code, or its re-writing) on one machine."""

    against: str
    machine: Machine
    source: str
    ratios: tuple[Ratio, ...]


EPYC = Machine("AMD EPYC", "avx512_bf16, no AMX", 1, {"fp32": 43e9, "bf16": 99e9})
XEON = Machine("Intel Xeon", "AMX", 2, {})

ORIGINAL_CODE = Comparison(
    "the originals' code",
    EPYC,
    "processor seconds, one run, torch 2.15, 2026-11-29",
    (
        Ratio("BigBiGAN-128 images and their twins", {"fp32": 1.98, "bf16": 3.7}, "twins"),
        Ratio("image and mask pairs, filters included", {"fp32": 2.05, "bf16": 4.0}, "pairs"),
        Ratio("discovery step, BigGAN-128, ResNet-18", {"fp32": 3.5, "bf16": 6.8}, "discovery"),
        Ratio("U-Net step, width 64, 128 px", {"fp32": 1.15, "bf16": 2.2}, "unet"),
        Ratio("`predict`, width 64", {"fp32": 1.15, "bf16": 2.4}, "predict, width 64, 128 px"),
        Ratio("`eval` of 100 photos, width 64", {"fp32": 2.2}),
        Ratio("filters of 95 masks with specks", {"fp32": 6.2}, "filters, 95 masks, specks"),
        Ratio("filters of 95 smooth masks", {"fp32": 4.3}, "filters, 95 masks, smooth"),
        Ratio("max F of a photo", {"fp32": 154.0}, "max F, 255 thresholds / original"),
        Ratio("all measures, against PySODMetrics' five", {"fp32": 4.0}, "all measures / PySODMetrics' five"),
    ),
)
REWRITTEN = Comparison(
    "its re-writing",
    XEON,
    "by the clock, median of five rounds by turns, torch 2.15, 2026-11-22",
    (
        Ratio("BigBiGAN-128 images and their twins", {"fp32": 2.8, "bf16": 9.6}, "twins"),
        Ratio("image and mask pairs, filters included", {"fp32": 2.6, "bf16": 9.2}, "pairs"),
        Ratio("discovery step, BigGAN-128, ResNet-18", {"fp32": 4.0, "bf16": 11.5}, "discovery"),
        Ratio("U-Net step, width 64, 128 px", {"fp32": 1.1, "bf16": 3.5}, "unet"),
        Ratio("`predict`, width 64", {"fp32": 1.7, "bf16": 5.1}, "predict, width 64, 128 px"),
        Ratio("filters of 95 masks with specks", {"fp32": 5.4}, "filters, 95 masks, specks"),
        Ratio("filters of 95 smooth masks", {"fp32": 3.1}, "filters, 95 masks, smooth"),
        Ratio("max F of a photo", {"fp32": 139.0}, "max F, 255 thresholds / original"),
        Ratio("all measures, against PySODMetrics' five", {"fp32": 3.7}, "all measures / PySODMetrics' five"),
    ),
)


@dataclass(frozen=True)
class Quality:
    """Max F-beta, IoU and accuracy of the originals' paper, by data set, for one way to draw latents."""

    latents: str
    by_data: dict[str, tuple[float, float, float]]


PAPER = "Voynov, Morozov and Babenko (ICML 2021)"
PUBLISHED = (
    Quality(
        "BigBiGAN, z from N(0, I)",
        {
            "CUB-200-2011": (0.794, 0.683, 0.930),
            "Flowers-102": (0.760, 0.540, 0.765),
            "ECSSD": (0.782, 0.672, 0.899),
            "DUTS-TE": (0.608, 0.498, 0.878),
            "DUT-OMRON": (0.549, 0.453, 0.856),
        },
    ),
    Quality(
        "E-BigBiGAN, no z-noise",
        {"CUB-200-2011": (0.750, 0.619, 0.918), "Flowers-102": (0.814, 0.689, 0.874)},
    ),
    Quality(
        "E-BigBiGAN, with z-noise",
        {
            "CUB-200-2011": (0.834, 0.710, 0.940),
            "Flowers-102": (0.878, 0.804, 0.904),
            "ECSSD": (0.797, 0.684, 0.906),
            "DUTS-TE": (0.624, 0.511, 0.882),
            "DUT-OMRON": (0.563, 0.464, 0.860),
        },
    ),
)


def told(row: str, way: str) -> str:
    """Return how many times faster than the originals' code a way of a row of benchmarks.speed was; "" if unknown."""
    precision = "fp32" if way == "fast" else way
    ratios = (ratio.times for ratio in ORIGINAL_CODE.ratios if ratio.row == row)
    return "".join(f"  original {times[precision]:g}x" for times in ratios if precision in times)


def table() -> str:
    """Return a row of Markdown for each piece of work and kind of processor."""
    lines = ["| work | processor | against | fp32 | bf16 |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *_lines()]) + "\n"


def _lines() -> Iterator[str]:
    for ratio in ORIGINAL_CODE.ratios:
        for comparison in (ORIGINAL_CODE, REWRITTEN):
            found = next((other for other in comparison.ratios if other.work == ratio.work), None)
            if found is not None:
                times = (f"{found.times[way]:g}x" if way in found.times else "" for way in ("fp32", "bf16"))
                cells = (ratio.work, comparison.machine.units, comparison.against, *times)
                yield f"| {' | '.join(cells)} |".replace("|  |", "| |")


if __name__ == "__main__":
    print(table(), end="")
