"""How much worse the picked direction's masks are than the best of the top ten's, against the truth.

    OMP_NUM_THREADS=1 python -m benchmarks.regret [--mixings 3] [--close-ups]
    OMP_NUM_THREADS=1 python -m benchmarks.regret flowers64 flowers17/images flowers17/masks --inset 3 --out regret

The closed-form scene has exact masks. At each mixing the set holds directions near the true one, each off by a random
way of growing length, every factor alone and random ones; with `--close-ups` the things cover three fifths of the
picture. Prints each finalist's IoU with the truth (its own mask rule, samples that fit the bounds, as a training would
see them) and the regret: the best of these less the picked one's; then the same by the rule that serves each
best, which no picker knows. The truth is used for nothing else.

Of other generators no mask is known. Instead a small U-Net is trained for each finalist, briefly, and measured on
photos with masks, which decide nothing: the order and the rules are those of the pick. Repeated, it resumes in `--out`.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import toolkit
from benchmarks import record
from discovery.picking.picker import Candidate
from discovery.picking.picking import Picked, pick_direction
from discovery.settings import PickSettings
from generators.protocol import render_twins
from generators.scene import FACTORS, SceneGenerator
from segmentation.synthesis.acceptance import UnfilledError
from toolkit.compute.engine import choose_engine
from toolkit.directions import DirectionSet
from toolkit.files.writing import read_json, write_json
from toolkit.masks.filters import area_within, large_components
from toolkit.masks.rules import MASK_RULES
from toolkit.streams import Stream

ENGINE = choose_engine("cpu", "fp32")
SETTINGS = PickSettings()
RULES = [name for name, rule in MASK_RULES.items() if not rule.opposed]
_NEAR = 10  # directions near the true one, from hardly off to half off
_RANDOM = 6
_SAMPLES = 256
_SHORT = {"preset": "quick", "width": 16, "batch": 32, "validation_samples": 0, "device": "cpu", "precision": "auto"}


class CloseUps(SceneGenerator):
    """The scene with things that cover three fifths of the picture."""

    def _cover(self, factors: torch.Tensor) -> torch.Tensor:
        rows, columns = self._axes(factors)
        x, y = (0.1 * torch.tanh(factors[:, i, None, None]) for i in (2, 3))
        distance = ((rows - y) ** 2 + (columns - x) ** 2 + 1e-12).sqrt()
        return torch.sigmoid((0.88 + 0.04 * torch.tanh(factors[:, 4, None, None]) - distance) / 0.04)


def directions_of(generator: SceneGenerator, seed: int) -> DirectionSet:
    """Return directions near the true one, the factors and random ones."""
    stream = Stream(seed, "regret")
    noise = stream.normal(_NEAR + _RANDOM, generator.latent_dim)
    noise = noise / noise.norm(dim=1, keepdim=True)
    off = torch.linspace(0.1, 1.0, _NEAR)[:, None]
    near = generator.contrast_direction() + off * noise[:_NEAR]
    factors = torch.stack([generator.direction(name) for name in FACTORS])
    return DirectionSet(torch.cat([factors, near, noise[_NEAR:]]), generator.name, "regret")


@torch.inference_mode()
def iou_with_truth(generator: SceneGenerator, picked: Picked, candidate: Candidate, seed: int) -> float:
    """Return the mean IoU with the truth of a candidate's masks that keep to the bounds; 0 where none does."""
    latents = generator.sample(_SAMPLES, Stream(seed, "regret-truth"))
    shift = picked.directions.shift(candidate.index, candidate.sign * candidate.alpha)
    before, after = render_twins(generator, latents, shift)
    masks, truth = large_components(MASK_RULES[candidate.mask_rule](before, after)), generator.masks(latents)
    fit = area_within(masks, picked.bounds.min_area, picked.bounds.max_area)
    if not bool(fit.any()):
        return 0.0
    shared = (masks & truth).sum(dim=(1, 2)) / (masks | truth).sum(dim=(1, 2)).clamp_min(1)
    return shared[fit].mean().item()


def regret(generator: SceneGenerator, seed: int, settings: PickSettings = SETTINGS) -> tuple[list[float], Picked]:
    """Return the IoU of each finalist, in their order, and what was picked: the first."""
    picked = pick_direction(generator, directions_of(generator, seed), settings, ENGINE)
    return [iou_with_truth(generator, picked, c, seed) for c in picked.finalists], picked


def iou_on_photos(chosen: Path, finalist: dict[str, Any], given: argparse.Namespace) -> float:
    """Return the mean IoU on photos with masks of a U-Net trained for some steps on a finalist's pairs.

    `finalist` is as pick.json in the folder `chosen` has it; what is trained and measured is kept beside that folder.
    It is 0 where too few masks pass the filters to train on.
    """
    run = chosen.parent / str(finalist["index"])
    if not (run / "regret.json").is_file():
        alpha, rule = finalist["sign"] * finalist["alpha"], finalist["mask_rule"]
        try:
            network = toolkit.segment(
                chosen, direction=finalist["index"], alpha=alpha, mask_rule=rule, steps=given.steps, out=run, **_SHORT
            )
        except UnfilledError:
            return 0.0
        measured = toolkit.evaluate(network, given.photos, given.masks, device="cpu", inset=given.inset)
        write_json(run / "regret.json", measured.measures)
    return float(read_json(run / "regret.json")["iou"])


def on_photos(given: argparse.Namespace) -> record.Rows:
    """Print every finalist of a direction set and the IoU of its U-Net, and the regret; return the rows of a record."""
    chosen = given.out / "picked"
    if not (chosen / "directions.safetensors").is_file():
        toolkit.pick(given.directions, out=chosen, device="cpu", precision="fp32", progress=True)
    ious = []
    for finalist in read_json(chosen / "pick.json")["candidates"]:
        ious.append(iou_on_photos(chosen, finalist, given))
        walk = f"{finalist['name']} {finalist['sign'] * finalist['alpha']:+.2f} {finalist['mask_rule']}"
        print(f"{walk}: score {finalist['score']:.3f}, IoU {ious[-1]:.3f}; {finalist['reason']}", flush=True)
    print(f"picked {ious[0]:.3f}, best {max(ious):.3f}, regret {max(ious) - ious[0]:.3f}")
    return {"on photos": {"finalists": {"iou": ious, "regret": max(ious) - ious[0]}}}


def on_scene(given: argparse.Namespace) -> record.Rows:
    """Print the figures of every mixing; return the rows of a record."""
    rows = {}
    kind = CloseUps if given.close_ups else SceneGenerator
    for seed in range(given.mixings):
        generator = kind(mixing_seed=seed)
        ious, picked = regret(generator, seed)
        bounds, weak = picked.bounds, ", ".join(point.about for point in picked.weak) or "none"
        print(f"mixing {seed}: area below {bounds.max_area:.2f}, border below {bounds.max_border:.2f}, weak: {weak}")
        print("  IoU, best place first: " + " ".join(f"{iou:.3f}" for iou in ious))
        by_rule = [
            max(iou_with_truth(generator, picked, replace(c, mask_rule=rule), seed) for rule in RULES)
            for c in picked.finalists
        ]
        print("  by the better rule:    " + " ".join(f"{iou:.3f}" for iou in by_rule))
        print(f"  by the better rule regret {max(by_rule) - by_rule[0]:.3f}")
        print(f"  picked {ious[0]:.3f}, best {max(ious):.3f}, regret {max(ious) - ious[0]:.3f}", flush=True)
        rows[f"mixing {seed}"] = {"finalists": {"iou": ious, "regret": max(ious) - ious[0]}}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, meaning in (("directions", "direction set"), ("photos", "folder of photos"), ("masks", "their masks")):
        parser.add_argument(name, nargs="?", help=f"{meaning}; without it the scene is measured")
    parser.add_argument("--out", type=Path, help="folder for the pick and the U-Nets")
    parser.add_argument("--steps", type=int, default=150, help="training steps of each U-Net")
    parser.add_argument("--inset", type=int, default=0, help="pixels that the photos' masks lie inside their things")
    parser.add_argument("--mixings", type=int, default=3, help="of the scene")
    parser.add_argument("--close-ups", action="store_true", help="things that cover three fifths of the picture")
    record.add_flag(parser)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.directions is None:
        rows = on_scene(given)
    elif given.masks is None or given.out is None:
        parser.error("a direction set needs photos, masks and --out")
    else:
        rows = on_photos(given)
    record.write(given.json, "regret", rows)


if __name__ == "__main__":
    main()
