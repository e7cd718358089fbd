"""How much worse the picked direction's masks are than the best of the top ten's, against the truth.

    OMP_NUM_THREADS=1 python -m benchmarks.regret [--mixings 3] [--close-ups]

The closed-form scene has exact masks. At each mixing the set holds directions near the true one, each off by a random
way of growing length, every factor alone and random ones; with `--close-ups` the things cover three fifths of the
picture. Prints each finalist's IoU with the truth (its own mask rule, samples that fit the bounds, as a training would
see them) and the regret: the best of these less the picked one's; then the same by the rule that serves each
best, which no picker knows. The truth is used for nothing else.
"""

import argparse
from dataclasses import replace

import torch

from discovery.picking.picker import Candidate
from discovery.picking.picking import Picked, pick_direction
from discovery.settings import PickSettings
from generators.protocol import render_twins
from generators.scene import FACTORS, SceneGenerator
from toolkit.compute.engine import choose_engine
from toolkit.directions import DirectionSet
from toolkit.masks.filters import area_within, large_components
from toolkit.masks.rules import MASK_RULES
from toolkit.streams import Stream

ENGINE = choose_engine("cpu", "fp32")
SETTINGS = PickSettings()
RULES = [name for name, rule in MASK_RULES.items() if not rule.opposed]
_NEAR = 10  # directions near the true one, from hardly off to half off
_RANDOM = 6
_SAMPLES = 256


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mixings", type=int, default=3)
    parser.add_argument("--close-ups", action="store_true", help="things that cover three fifths of the picture")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kind = CloseUps if given.close_ups else SceneGenerator
    for seed in range(given.mixings):
        generator = kind(mixing_seed=seed)
        ious, picked = regret(generator, seed)
        bounds, weak = picked.bounds, ", ".join(point.reason for point in picked.weak) or "none"
        print(f"mixing {seed}: area below {bounds.max_area:.2f}, border below {bounds.max_border:.2f}, weak: {weak}")
        print("  IoU, best place first: " + " ".join(f"{iou:.3f}" for iou in ious))
        by_rule = [
            max(iou_with_truth(generator, picked, replace(c, mask_rule=rule), seed) for rule in RULES)
            for c in picked.finalists
        ]
        print("  by the better rule:    " + " ".join(f"{iou:.3f}" for iou in by_rule))
        print(f"  by the better rule regret {max(by_rule) - by_rule[0]:.3f}")
        print(f"  picked {ious[0]:.3f}, best {max(ious):.3f}, regret {max(ious) - ious[0]:.3f}", flush=True)


if __name__ == "__main__":
    main()
