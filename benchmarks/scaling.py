"""How cost grows: with batch, image side, number of directions, number of photos, and processes.

    python -m benchmarks.scaling [--rounds 3] [--json scaling.json] [--only batch,side,directions,photos,processes]

BigGAN networks at their full size with drawn weights, in the precision that `auto` chooses. Prints a line a point.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import record
from benchmarks.measures import make_map
from benchmarks.speed import drawn_bigbigan, drawn_state
from benchmarks.timing import seconds
from discovery.methods.deformator.training import DiscoveryState, draw_batch, update
from discovery.settings import DiscoverySettings
from generators.protocol import Latents, render_twins
from generators.published.biggan.network import BIGGAN_128, BigGANNetwork
from segmentation.evaluate.scores import Tally, score_image
from toolkit.compute.engine import choose_engine
from toolkit.streams import Stream

Points = Iterator[tuple[str, float, str]]  # what, figure, unit


def by_batch(rounds: int) -> Points:
    engine, generator = choose_engine("auto", "auto"), drawn_bigbigan()
    generator = generator.to(engine.device)
    for batch in (1, 2, 4, 8, 16, 32):
        z, shift = Stream(0, "z").normal(batch, 120).to(engine.device), 5 * torch.eye(120)[0].to(engine.device)

        def work(z: torch.Tensor = z, shift: torch.Tensor = shift) -> None:
            with torch.inference_mode(), engine.autocast():
                render_twins(generator, Latents(z), shift)

        yield f"batch {batch}", 2 * batch / seconds(work, rounds), "images/s"


def by_side(rounds: int) -> Points:
    engine = choose_engine("auto", "auto")
    larger = {256: (140, 128), 512: (128, 64)}  # latent length, side of the attention (as published)
    shapes = {128: BIGGAN_128} | {
        side: replace(BIGGAN_128, resolution=side, dim_z=length, attention_resolution=attention)
        for side, (length, attention) in larger.items()
    }
    for side, shape in shapes.items():
        network = BigGANNetwork(shape, drawn_state(shape)).to(engine.device)
        z, y = torch.randn(2, network.latent_dim, device=engine.device), torch.zeros(2, dtype=torch.long)

        def work(network: BigGANNetwork = network, z: torch.Tensor = z, y: torch.Tensor = y) -> None:
            with torch.inference_mode(), engine.autocast():
                network(z, y.to(engine.device))

        yield f"side {side}", 2 / seconds(work, rounds), "images/s"


def by_directions(rounds: int) -> Points:
    engine = choose_engine("auto", "auto")
    generator = drawn_bigbigan().to(engine.device)
    for count in (15, 60, 120, 480):
        kind = "ortho" if count <= 120 else "proj"  # an orthonormal set has no more members than latent numbers
        settings = DiscoverySettings(batch=4, directions=count, deformator=kind)
        state = DiscoveryState.start(generator, settings, engine)

        def work(state: DiscoveryState = state, settings: DiscoverySettings = settings, count: int = count) -> None:
            update(state, generator, draw_batch(state.streams, generator, count, settings, engine), settings, engine)

        yield f"{count} directions, batch 4", 1 / seconds(work, rounds), "steps/s"


def by_photos(rounds: int) -> Points:
    import numpy as np

    probability, truth = make_map(np.random.default_rng(0))
    for count in (10, 100, 1000):

        def work(count: int = count) -> None:
            tally = Tally()
            for _ in range(count):
                tally.add(score_image(probability, truth))
            tally.summary()

        yield f"{count} maps of 300 x 400, all measures", count / seconds(work, 1 if count > 100 else rounds), "maps/s"


def by_processes(rounds: int) -> Points:
    del rounds
    works = {
        "segment, batch 32, width 32": (
            *("segment", "flowers64", "--steps", "40", "--batch", "32", "--width", "32", "--validation-samples", "0"),
            *("--mask-rule", "mean_thr"),
        ),
        "discover, batch 32, lenet": ("discover", "--steps", "60", "--reconstructor", "lenet"),
        "synthesize, batch 32": ("synthesize", "flowers64", "--samples", "1280", "--batch", "32"),
    }
    for name, words in works.items():
        for processes in (1, 2):
            yield f"{name}, {processes} process(es)", _rate(words, processes), "steps/s"


def _rate(words: tuple[str, ...], processes: int) -> float:
    """Return the steps a second that the command tells at its end."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-c", "from cli.app import main; main()", *words]
        line += ["--out", str(Path(folder) / "run"), "--processes", str(processes)]
        told = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return float(re.findall(r"(\d+)/\1, ([\d.]+) (?:steps|batches)/s", told)[0][1])


KINDS: dict[str, Callable[[int], Points]] = {
    "batch": by_batch,
    "side": by_side,
    "directions": by_directions,
    "photos": by_photos,
    "processes": by_processes,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    record.add_flag(parser, "--out")
    parser.add_argument("--only", default=",".join(KINDS), help="kinds of growth, comma-separated")
    given = parser.parse_args()
    print(f"torch {torch.__version__}, {choose_engine('auto', 'auto').describe()}")
    found: dict[str, dict[str, dict[str, float]]] = {}
    for kind in given.only.split(","):
        for what, figure, unit in KINDS[kind](given.rounds):
            found.setdefault(kind, {})[what] = {unit: figure}
            print(f"{what:<48} {figure:9.2f} {unit}", flush=True)
    record.write(given.json, "scaling", found, given.rounds)


if __name__ == "__main__":
    main()
