"""How recognisable discovered directions are, against random orthonormal ones and the latent axes.

    OMP_NUM_THREADS=1 python -m benchmarks.directions

RCA (Voynov & Babenko 2020, section 4) on the closed-form scene, rotated so that no factor is an axis: 8 directions of
64 latent numbers, 8 combinations of which change the image. Each set gets a reconstructor trained anew in the same way.
Prints the mean and the standard deviation over seeds of the RCA, of the share of the directions' squared length that
changes the image (1/8 for random ones), and seconds. With shifts as short as the default's the reconstructor hardly
begins to learn random directions in so many steps; with `--shift 2` it does, and the difference is smaller.
"""

import argparse
import dataclasses
from collections.abc import Callable

import torch

from benchmarks import record
from benchmarks.timing import Times, clocked
from discovery.comparing.comparison import Recognition, reconstruction
from discovery.comparing.settings import CompareSettings
from discovery.methods.deformator.deformators import make_deformator
from discovery.methods.deformator.training import DiscoveryState, direction_set, discover
from discovery.methods.deformator.validation import confusion
from discovery.settings import DiscoverySettings
from generators.scene import FACTORS, SceneGenerator
from toolkit.compute.engine import choose_engine
from toolkit.directions import DirectionSet

K, LATENT_DIM = 8, 64
COMPARISON = CompareSettings(steps=2000, directions=K, max_alpha=1.0, min_alpha=0.1)
DISCOVERY = dataclasses.replace(COMPARISON.training(), steps=1500, deformator="ortho", deformator_rate=1e-2)
ENGINE = choose_engine("cpu", "fp32")


def discovered(generator: SceneGenerator, settings: DiscoverySettings) -> DirectionSet:
    state = DiscoveryState.start(generator, settings, ENGINE)
    for _ in discover(state, generator, settings, ENGINE):
        pass
    return direction_set(state, generator, settings, {})


def fixed(kind: str, generator: SceneGenerator, seed: int) -> DirectionSet:
    """Return K directions of a deformator that learns nothing: the latent axes (id) or random orthonormal ones."""
    vectors = make_deformator(kind, K, generator.latent_dim, seed=seed).directions()
    return DirectionSet(vectors, generator.name, kind)


def rca(generator: SceneGenerator, directions: DirectionSet, settings: CompareSettings) -> float:
    state = reconstruction(generator, directions, settings, ENGINE)
    for _ in discover(state, generator, settings.training(), ENGINE):
        pass
    return Recognition.of(confusion(state, generator, settings.training(), ENGINE)).rca


def factor_share(generator: SceneGenerator, directions: DirectionSet) -> float:
    """Return the share of the directions' squared length that lies in the factors which change the image."""
    factors = torch.stack([generator.direction(name) for name in FACTORS])
    return (directions.vectors @ factors.T).square().sum(dim=1).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="two or more")
    parser.add_argument("--discover-steps", type=int, default=DISCOVERY.steps)
    parser.add_argument("--steps", type=int, default=COMPARISON.steps)
    parser.add_argument("--shift", type=float, default=COMPARISON.max_alpha, help="largest shift")
    record.add_flag(parser)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[tuple[float, float]]] = {}
    took: dict[str, list[tuple[float, float]]] = {}
    for seed in range(given.seeds):
        generator = SceneGenerator(image_size=32, latent_dim=LATENT_DIM, mixing_seed=seed)
        comparison = dataclasses.replace(COMPARISON, steps=given.steps, max_alpha=given.shift, seed=seed)
        discovery = dataclasses.replace(DISCOVERY, steps=given.discover_steps, max_alpha=given.shift, seed=seed)
        makers = {
            "discovered (ortho)": lambda g=generator, d=discovery: discovered(g, d),
            "random orthonormal": lambda g=generator, s=seed: fixed("random", g, s),
            "latent axes": lambda g=generator, s=seed: fixed("id", g, s),
        }
        for name, make in makers.items():

            def judged(make: Callable[[], DirectionSet] = make, name: str = name) -> None:
                directions = make()
                figures = rca(generator, directions, comparison), factor_share(generator, directions)  # noqa: B023
                found.setdefault(name, []).append(figures)

            took.setdefault(name, []).append(clocked(judged))
            accuracy, share = found[name][-1]
            print(f"seed {seed}  {name:<20} rca {accuracy:.3f}  factor share {share:.2f}", flush=True)
    print(f"\nK = {K} of {generator.latent_dim}, chance {1 / K:.3f}, {given.seeds} seeds, mean +- standard deviation")
    print(f"{'directions':<20} {'RCA':>16} {'factor share':>16} {'seconds':>8}")
    times = {name: Times(*zip(*each, strict=True)) for name, each in took.items()}
    for name, rows in found.items():
        values = torch.tensor([(*row, wall) for row, wall in zip(rows, times[name].wall, strict=True)])
        mean, spread = values.mean(dim=0).tolist(), values.std(dim=0).tolist()
        print(f"{name:<20} {mean[0]:7.3f} +- {spread[0]:.3f} {mean[1]:8.2f} +- {spread[1]:.2f} {mean[2]:8.1f}")
    kept = {
        name: {"by seed": {**vars(times[name]), "rca": [rca for rca, _ in rows], "factor share": [s for _, s in rows]}}
        for name, rows in found.items()
    }
    record.write(given.json, "directions", kept, given.seeds)


if __name__ == "__main__":
    main()
