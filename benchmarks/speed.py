"""Time of the main steps against the plain way of doing them (benchmarks.reference), in one run.

    OMP_NUM_THREADS=1 python -m benchmarks.speed [--batch 4] [--rounds 3] [--out speed.json]

BigBiGAN at its full size with drawn weights. Prints seconds (median of the rounds, after one to warm up), the ratio to
the plain way, and giga-multiplications a second beside those of one large matrix product: the machine's ceiling.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.reference import PlainBigGAN, plain_components, plain_pairs, plain_peaks
from discovery.reconstructors import make_reconstructor
from generators.bigbigan import BigBiGAN
from generators.biggan import BIGBIGAN, BigGANNetwork, published_shapes
from generators.protocol import Latents, render_twins
from segmentation.settings import SegmentationSettings
from segmentation.synthesis import MaskSynthesizer, PriorSource, SyntheticBatch
from segmentation.training import fresh_network, update
from segmentation.unet import UNet
from toolkit.engine import Engine
from toolkit.masks import histogram_peaks, large_components
from toolkit.streams import Stream

Work = Callable[[], object]
CPU = torch.device("cpu")
ENGINES = {"fp32": Engine(CPU, bf16=False), "bf16": Engine(CPU, bf16=True)}


def drawn_state() -> dict[str, torch.Tensor]:
    """Return a full-size published state of random weights that keep the size of what passes through."""
    state = {}
    for name, size in published_shapes(BIGBIGAN).items():
        noise = torch.randn(size)
        if name.endswith("stored_var"):
            noise = 0.5 + 0.1 * noise.abs()
        elif name.endswith(("weight",)) and noise.dim() > 1:
            noise = noise / noise[0].numel() ** 0.5
        elif not name.endswith(("u0", "gamma")):
            noise = 0.1 * noise
        state[name] = noise
    state["shared.weight"] = state["shared.weight"][:1].repeat(len(state["shared.weight"]), 1)
    return state


def seconds(work: Work, rounds: int) -> float:
    """Return the median time, after one round to warm up."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def twins(state: dict[str, torch.Tensor], fast: BigBiGAN, batch: int) -> dict[str, Work]:
    plain, z = PlainBigGAN(state, BIGBIGAN), Stream(0, "z").normal(batch, fast.latent_dim)
    y, shift = torch.zeros(batch, dtype=torch.long), 5 * torch.eye(fast.latent_dim)[0]

    def slow() -> None:
        with torch.no_grad():
            plain(z, y)
            plain(z + shift, y)

    def quick(engine: Engine) -> Work:
        def work() -> None:
            with torch.inference_mode(), engine.autocast():
                render_twins(fast, Latents(z), shift)

        return work

    return {"plain": slow, **{name: quick(engine) for name, engine in ENGINES.items()}}


def pairs(state: dict[str, torch.Tensor], fast: BigBiGAN, batch: int) -> dict[str, Work]:
    plain, z = PlainBigGAN(state, BIGBIGAN), Stream(0, "z").normal(batch, fast.latent_dim)
    shift = 5 * torch.eye(fast.latent_dim)[0]
    settings = SegmentationSettings(batch=batch, area_filter=False, histogram_filter=False)

    def slow() -> None:
        with torch.no_grad():
            plain_pairs(plain, z, shift)

    def quick(engine: Engine) -> Work:
        synthesizer = MaskSynthesizer(fast, shift, settings, PriorSource(fast), engine=engine)
        return lambda: synthesizer.batch(batch)

    return {"plain": slow, **{name: quick(engine) for name, engine in ENGINES.items()}}


def filters(count: int = 95, side: int = 128) -> dict[str, Work]:
    images = torch.nn.functional.interpolate(torch.randn(count, 3, 16, 16), size=(side, side), mode="bilinear").tanh()
    masks = images[:, 0] > 0.1
    return {
        "plain": lambda: (plain_components(masks), plain_peaks(images)),
        "fp32": lambda: (large_components(masks), histogram_peaks(images)),
    }


def discovery(state: dict[str, torch.Tensor], fast: BigBiGAN, batch: int) -> dict[str, Work]:
    """Forward and backward through twins and ResNet-18; the plain way lets gradients into the generator's weights."""
    z = Stream(0, "z").normal(batch, fast.latent_dim)
    y, learnt = torch.zeros(batch, dtype=torch.long), torch.randn(fast.latent_dim, requires_grad=True)
    reconstructor = make_reconstructor("resnet", fast.latent_dim)

    def slow() -> None:
        fixed = ("u0", "sv0", "stored_mean", "stored_var")
        leaves = {name: tensor.detach().requires_grad_(not name.endswith(fixed)) for name, tensor in state.items()}
        plain = PlainBigGAN(leaves, BIGBIGAN)
        logits, shift = reconstructor(plain(z, y), plain(z + learnt, y))
        (logits.logsumexp(dim=1).mean() + shift.mean()).backward()

    def quick(engine: Engine) -> Work:
        def work() -> None:
            with engine.autocast():
                with torch.no_grad():
                    before = fast(Latents(z))
                logits, shift = reconstructor(before, fast(Latents(z + learnt)))
            loss = logits.logsumexp(dim=1).mean() + shift.mean()
            loss.backward(inputs=[learnt, *(w for w in reconstructor.parameters() if w.requires_grad)])

        return work

    return {"plain": slow, **{name: quick(engine) for name, engine in ENGINES.items()}}


def unet(batch: int) -> dict[str, Work]:
    samples = SyntheticBatch(torch.randn(batch, 3, 128, 128).tanh(), torch.rand(batch, 128, 128) > 0.5)

    def stepping(network: UNet, engine: Engine, optimiser: torch.optim.Optimizer) -> Work:
        return lambda: update(network.train(), optimiser, samples, 1e-3, engine)

    plain = UNet(width=64)
    works = {"plain": stepping(plain, ENGINES["fp32"], torch.optim.Adam(plain.parameters(), foreach=False))}
    for name, engine in ENGINES.items():
        network = fresh_network(64, 0, engine)
        works[name] = stepping(network, engine, torch.optim.Adam(network.parameters(), foreach=True))
    return works


def ceiling(engine: Engine, side: int = 2048, rounds: int = 5) -> float:
    """Return giga-multiplications a second of one large matrix product."""
    a, b = torch.randn(side, side), torch.randn(side, side)
    if engine.bf16:
        a, b = a.bfloat16(), b.bfloat16()
    return side**3 / seconds(lambda: a @ b, rounds) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    given = parser.parse_args()
    state = drawn_state()
    fast = BigBiGAN(BigGANNetwork(BIGBIGAN, {**state, "shared.weight": state["shared.weight"][:1]}))
    rows = {
        f"BigBiGAN-128 twins, batch {given.batch}": lambda: twins(state, fast, given.batch),
        f"image and mask pairs, batch {given.batch}": lambda: pairs(state, fast, given.batch),
        "filters alone, 95 masks": filters,
        f"discovery step (ResNet-18), batch {given.batch}": lambda: discovery(state, fast, given.batch),
        f"U-Net step, width 64, batch {given.batch}": lambda: unet(given.batch),
    }
    measured: dict[str, dict[str, float]] = {}
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, engine in ENGINES.items():
        measured.setdefault("ceiling, giga-multiplications a second", {})[name] = ceiling(engine)
    print({name: round(value) for name, value in measured["ceiling, giga-multiplications a second"].items()})
    for title, make in rows.items():
        found = {name: seconds(work, given.rounds) for name, work in make().items()}
        measured[title] = found
        ratios = "  ".join(f"{name} {value:7.3f} s ({found['plain'] / value:4.1f}x)" for name, value in found.items())
        print(f"{title:<42} {ratios}", flush=True)
    if given.out is not None:
        given.out.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
