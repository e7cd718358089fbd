"""Time of the main steps against the plain way of doing them (benchmarks.reference), in one run.

    python -m benchmarks.speed [--batch 8] [--rounds 5] [--device cpu] [--only twins,unet] [--json speed.json]

BigBiGAN at its full size with drawn weights. Prints rates (median of the rounds, the ways taking turns, after one to
warm up), ratios to the plain way (of processor time; on GPUs by the clock), the original code's where it was measured,
and the networks' multiplications a second beside those of one large matrix product, the machine's ceiling.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import cv2
import torch

from benchmarks import filters, measures, originals, photos, record
from benchmarks.networks import copy_speed, multiplications, product_speed, waiting
from benchmarks.reference import PlainBigGAN, plain_pairs, plain_unet
from benchmarks.timing import Times, Work, by_turns, figures, in_a_line
from discovery.methods.deformator.training import DiscoveryState, ShiftBatch, draw_batch, update
from discovery.settings import DiscoverySettings
from generators.protocol import Latents, render_twins
from generators.published.biggan.generator import BigBiGAN
from generators.published.biggan.network import BIGBIGAN, BigGANNetwork, BigGANShape, published_shapes
from segmentation.synthesis.synthesizer import MaskSynthesizer, PriorSource, Share, SyntheticBatch
from segmentation.unet.settings import SegmentationSettings
from segmentation.unet.training import fresh_network
from segmentation.unet.training import update as segment_step
from toolkit.compute.engine import Engine
from toolkit.compute.memory import peak_memory
from toolkit.masks.filters import area_within, multimodal
from toolkit.streams import Stream


@dataclass(frozen=True)
class Row:
    """Ways to do `count` pieces of some work, of which `unit` names the plural."""

    works: dict[str, Work]
    count: int
    unit: str


@dataclass(frozen=True)
class Bench:
    """What the rows need: the same weights twice, the device, and the batch."""

    state: dict[str, torch.Tensor]
    generator: BigBiGAN
    device: torch.device
    batch: int

    @property
    def engines(self) -> dict[str, Engine]:
        """Return an engine of each precision."""
        return {name: Engine(self.device, bf16=name == "bf16") for name in ("fp32", "bf16")}

    @property
    def z(self) -> torch.Tensor:
        """Return latents (B, D)."""
        return Stream(0, "z").normal(self.batch, self.generator.latent_dim).to(self.device)

    @property
    def shift(self) -> torch.Tensor:
        """Return a shift (D,)."""
        return 5 * torch.eye(self.generator.latent_dim, device=self.device)[0]


def drawn_state(shape: BigGANShape = BIGBIGAN) -> dict[str, torch.Tensor]:
    """Return a full-size published state of random weights that keep the size of what passes through."""
    state = {}
    for name, size in published_shapes(shape).items():
        noise = torch.randn(size)
        if name.endswith("stored_var"):
            noise = 0.5 + 0.1 * noise.abs()
        elif name.endswith("weight") and noise.dim() > 1:
            noise = noise / noise[0].numel() ** 0.5
        elif not name.endswith(("u0", "gamma")):
            noise = 0.1 * noise
        state[name] = noise
    state["shared.weight"] = state["shared.weight"][:1].repeat(len(state["shared.weight"]), 1)
    return state


def drawn_bigbigan(state: dict[str, torch.Tensor] | None = None) -> BigBiGAN:
    """Return BigBiGAN at its full size with these weights, else drawn ones."""
    state = drawn_state() if state is None else state
    return BigBiGAN(BigGANNetwork(BIGBIGAN, {**state, "shared.weight": state["shared.weight"][:1]}))


def twins(bench: Bench) -> Row:
    """Images and their shifted twins; plainly one after the other."""
    plain, y = PlainBigGAN(bench.state, BIGBIGAN), torch.zeros(bench.batch, dtype=torch.long, device=bench.device)

    def slow() -> None:
        with torch.no_grad():
            plain(bench.z, y)
            plain(bench.z + bench.shift, y)

    def quick(engine: Engine) -> Work:
        def work() -> None:
            with torch.inference_mode(), engine.autocast():
                render_twins(bench.generator, Latents(bench.z), bench.shift)

        return work

    works = {"plain": slow, **{name: quick(engine) for name, engine in bench.engines.items()}}
    return Row(works, 2 * bench.batch, "images")


def pairs(bench: Bench) -> Row:
    """Images with masks, filters included; what they say of drawn weights' images is left unheard."""
    plain = PlainBigGAN(bench.state, BIGBIGAN)
    settings = SegmentationSettings(batch=bench.batch, area_filter=False, histogram_filter=False)

    def slow() -> None:
        with torch.no_grad():
            plain_pairs(plain, bench.z, bench.shift)

    def quick(engine: Engine) -> Work:
        synthesizer = MaskSynthesizer(
            bench.generator, bench.shift, settings, PriorSource(bench.generator), engine=engine
        )

        def work() -> None:
            batch = synthesizer.batch(bench.batch)
            area_within(batch.masks), multimodal(batch.images)

        return work

    works = {"plain": slow, **{name: quick(engine) for name, engine in bench.engines.items()}}
    return Row(works, bench.batch, "pairs")


def discovery(bench: Bench) -> Row:
    """Training steps with ResNet-18; plainly gradients reach the generator's weights, as in the original."""
    settings = DiscoverySettings(batch=bench.batch)

    def begin(engine: Engine) -> tuple[DiscoveryState, Callable[[], ShiftBatch]]:
        state = DiscoveryState.start(bench.generator, settings, engine)
        return state, lambda: draw_batch(state.streams, bench.generator, bench.generator.latent_dim, settings, engine)

    def slow() -> Work:
        state, draw = begin(bench.engines["fp32"])
        constant = ("u0", "sv0", "stored_mean", "stored_var")
        leaves = {
            name: tensor.detach().requires_grad_(not name.endswith(constant)) for name, tensor in bench.state.items()
        }
        plain, y = PlainBigGAN(leaves, BIGBIGAN), torch.zeros(bench.batch, dtype=torch.long, device=bench.device)

        def work() -> None:
            batch = draw()
            shift = state.deformator(batch.basis(bench.generator.latent_dim))
            z = batch.latents.z
            logits, length = state.reconstructor(plain(z, y), plain(z + shift, y))
            loss = torch.nn.functional.cross_entropy(logits, batch.index) + 0.25 * (length - batch.alpha).abs().mean()
            optimisers = [o for o in (state.deformator_optimiser, state.reconstructor_optimiser) if o is not None]
            for optimiser in optimisers:
                optimiser.zero_grad()
            loss.backward()
            for optimiser in optimisers:
                optimiser.step()
            for leaf in leaves.values():
                leaf.grad = None

        return work

    def quick(engine: Engine) -> Work:
        state, draw = begin(engine)
        return lambda: update(state, bench.generator, draw(), settings, engine)

    works = {"plain": slow(), **{name: quick(engine) for name, engine in bench.engines.items()}}
    return Row(works, 1, "steps")


def unet(bench: Bench) -> Row:
    """Training steps of the U-Net of the published width."""
    images = torch.randn(bench.batch, 3, 128, 128, device=bench.device).tanh()
    samples = SyntheticBatch(images, torch.rand(bench.batch, 128, 128, device=bench.device) > 0.5)
    plain = plain_unet(width=64).to(bench.device)
    plain_optimiser = torch.optim.Adam(plain.parameters())

    def slow() -> None:
        loss = torch.nn.functional.cross_entropy(plain(samples.images), samples.masks.long())
        plain_optimiser.zero_grad()
        loss.backward()
        plain_optimiser.step()

    def quick(engine: Engine) -> Work:
        network = fresh_network(64, 0, engine)
        optimiser = torch.optim.Adam(network.parameters(), fused=True)
        return lambda: segment_step(network, optimiser, Share.whole(samples), 1e-3, engine)

    works = {"plain": slow, **{name: quick(engine) for name, engine in bench.engines.items()}}
    return Row(works, 1, "steps")


NETWORKS: dict[str, Callable[[Bench], Row]] = {"twins": twins, "pairs": pairs, "discovery": discovery, "unet": unet}
OTHERS: dict[str, Callable[[int], dict[str, dict[str, Times]]]] = {  # times of a piece of work, by way
    "filters": filters.rows,
    "photos": lambda rounds: photos.rows(rounds, count=16),
    "measures": measures.rows,
}


def measured_row(row: Row, bench: Bench, ceilings: dict[str, float], rounds: int) -> dict[str, dict[str, Any]]:
    """Return, by way, the times, pieces a second, ratio, multiplications a second and their share of the ceiling."""
    took = by_turns({name: waiting(bench.device, work) for name, work in row.works.items()}, rounds)
    found = {}
    compared = attrgetter("work" if bench.device.type == "cpu" else "seconds")
    for name, times in took.items():
        value = times.seconds
        speed = multiplications(row.works[name]) / value
        found[name] = {
            **vars(times),
            f"{row.unit} a second": row.count / value,
            "ratio": compared(took["plain"]) / compared(times),
            "multiplications a second": speed,
            "share of the ceiling": speed / ceilings["bf16" if name == "bf16" else "fp32"],
        }
    return found


def shown_row(name: str, bench: Bench, ceilings: dict[str, float], rounds: int) -> dict[str, dict[str, Any]]:
    """Measure a row of NETWORKS, print it, and return it as `measured_row` does."""
    row = NETWORKS[name](bench)
    found = measured_row(row, bench, ceilings, rounds)
    print(f"{name} ({row.unit} a second)")
    for way, values in found.items():
        print(
            f"  {way:<8} {values[f'{row.unit} a second']:9.2f}  {values['ratio']:6.1f}x  "
            f"{values['multiplications a second'] / 1e9:8.0f} 10^9/s  {values['share of the ceiling']:4.0%}"
            f"{originals.told(name, way)}",
            flush=True,
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default=",".join([*NETWORKS, *OTHERS]), help="rows, comma-separated")
    record.add_flag(parser, "--out")
    given = parser.parse_args()
    torch.manual_seed(0)
    cv2.setNumThreads(torch.get_num_threads())
    device, chosen = torch.device(given.device), given.only.split(",")
    ceilings = {
        "fp32": product_speed(device, torch.float32, given.rounds),
        "bf16": product_speed(device, torch.bfloat16, given.rounds),
        "bytes": copy_speed(device, given.rounds),
    }
    print(f"{Engine(device, bf16=False).describe()}, torch {torch.__version__}, batch {given.batch}")
    print("ceilings, 10^9 a second: " + ", ".join(f"{name} {value / 1e9:.0f}" for name, value in ceilings.items()))
    measured: dict[str, dict[str, dict[str, Any]]] = {}
    if set(chosen) & set(NETWORKS):
        state = {name: tensor.to(device) for name, tensor in drawn_state().items()}
        bench = Bench(state, drawn_bigbigan(state).to(device), device, given.batch)
        measured |= {name: shown_row(name, bench, ceilings, given.rounds) for name in NETWORKS if name in chosen}
    for name, rows in OTHERS.items():
        found = rows(given.rounds) if name in chosen else {}
        for title, took in found.items():
            print(f"{title:<40} {in_a_line(took)}{originals.told(title, 'fast')}", flush=True)
        measured |= figures(found)
    memory = peak_memory(device)
    print(f"peak memory {memory / 1e6:.0f} MB")
    further = {"ceilings": ceilings, "batch": given.batch, "device": str(device), "peak memory": memory}
    record.write(given.json, "speed", measured, given.rounds, **further)


if __name__ == "__main__":
    main()
