"""An image of a modern generator: our way in float32 and bfloat16, and the plain way.

    OMP_NUM_THREADS=2 python -m benchmarks.modern stylegan3t [--rounds 3] [--only fp32] [--json figures.json]

Networks are of the official widths with drawn weights. Prints the median processor seconds an image of each way, how
many times faster than the plain one it is, the largest difference from it in units of the images' deviation, and the
process's peak memory: with --only fp32 that of our way alone. Then the machine's limit: its multiplications at the
speed of the fastest large matrix product or convolution.
"""

import argparse
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks import record
from benchmarks.networks import multiplications, product_speed
from benchmarks.plain import biggan_deep as plain_biggan_deep
from benchmarks.plain import proggan as plain_proggan
from benchmarks.plain import stylegan2ada as plain_stylegan2
from benchmarks.plain import stylegan3 as plain_stylegan3
from benchmarks.reference import PlainBigGAN
from benchmarks.speed import drawn_state
from benchmarks.timing import by_turns, seconds
from generators.layouts import Weights, open_published
from generators.protocol import Generator, Latents
from generators.published.biggan.layout import BIGBIGAN, BIGGAN_128, BigGANShape
from generators.published.biggan_deep.config import configured_shape
from generators.published.biggan_deep.layout import published_shapes as biggan_deep_shapes
from generators.published.proggan import PROGGAN_1024, ProgGANShape
from generators.published.proggan import published_shapes as proggan_shapes
from generators.published.stylegan2.nvlabs import NAMING
from generators.published.stylegan2.shape import StyleGAN2Shape
from generators.published.stylegan3 import filters
from generators.published.stylegan3.geometry import Constants
from generators.published.stylegan3.layout import StyleGAN3Shape, published_shapes
from generators.spec import Options
from toolkit.compute.memory import peak_memory
from toolkit.streams import Stream

Way = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Case:
    """Ways to render the same latents, `plain` first."""

    latents: torch.Tensor
    ways: dict[str, Way]


def _opened(tensors: dict[str, torch.Tensor], config: dict[str, object]) -> Generator:
    return open_published(Weights(tensors, Path("drawn"), config), Options({}, "drawn"))


def _ours(generator: Generator, classes: torch.Tensor | None = None) -> dict[str, Way]:
    def halved(z: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return generator(Latents(z, classes))

    return {"fp32": lambda z: generator(Latents(z, classes)), "bf16": halved}


def stylegan3(side: int, rounded: bool) -> Case:
    """StyleGAN3-T, or -R, of `side` px; the plain way with 2-D filters, and with those along one axis each."""
    base, most = (65536, 1024) if rounded else (32768, 512)
    base //= 2 if side == 256 else 1  # as published
    config = {"img_resolution": side}
    cutoffs, rates = plain_stylegan3.rates(config)
    sizes = [*(rate + 20 for rate in rates[:-2]), side, side]
    channels = [round(min(base / 2 / cutoff, most)) for cutoff in cutoffs[:-1]] + [3]
    shape = StyleGAN3Shape(
        tuple(zip(sizes, channels, strict=True)), kernel=1 if rounded else 3, round_layers=12 if rounded else 0
    )
    state = {name: _drawn(name, size) for name, size in published_shapes(shape).items()}
    for layer in shape.geometry(Constants()):
        designed = {"up_filter": filters.up_filter(layer), "down_filter": filters.down_filter(layer)}
        state |= {
            f"synthesis.{layer.name}.{kind}": torch.from_numpy(t) for kind, t in designed.items() if t is not None
        }
    ways = {
        "plain": plain_stylegan3.plain(state, config),
        "plain, 1-D": plain_stylegan3.plain(state, config, separable=True),
        **_ours(_opened(state, {"init_kwargs": config})),
    }
    return Case(torch.randn(1, shape.num_slots, shape.style_dim), ways)


def _drawn(name: str, size: tuple[int, ...]) -> torch.Tensor:
    if name.endswith("magnitude_ema"):
        return torch.ones(())
    if name.endswith("transform"):
        return torch.eye(3)
    if name.endswith("input.affine.bias"):
        return torch.tensor([1.0, 0, 0, 0])
    scale = 0.0 if name.endswith("input.affine.weight") else 1.0
    return scale * torch.randn(size) + (1.0 if name.endswith("affine.bias") else 0.0)


def stylegan2ada(side: int, batch: int, base: int = 32768) -> Case:
    """StyleGAN2-ADA of `side` px."""
    sides = [4 * 2**i for i in range((side // 4).bit_length())]
    shape = StyleGAN2Shape(tuple(min(base // each, 512) for each in sides), mapping_layers=2)
    state = {name: _drawn_styled(name, size) for name, size in NAMING.table(shape).items()}
    config = {"synthesis_kwargs": {"conv_clamp": 256}}
    ways = {"plain": plain_stylegan2.plain(state, config), **_ours(_opened(state, {"init_kwargs": config}))}
    return Case(torch.randn(batch, shape.num_slots, shape.style_dim), ways)


def _drawn_styled(name: str, size: tuple[int, ...]) -> torch.Tensor:
    if name.endswith("resample_filter"):
        taps = torch.tensor([1.0, 3, 3, 1]) / 8
        return taps.outer(taps)
    scales = {"noise_strength": 0.0, "affine.weight": 0.5, "torgb.weight": 0.2, "bias": 0.1}
    scale = next((scale for ending, scale in scales.items() if name.endswith(ending)), 1.0)
    offset = 1.0 if name.endswith("affine.bias") else 0.2 if name.endswith("noise_strength") else 0.0
    return offset + scale * torch.randn(size)


def biggan_deep(side: int, batch: int, width: int = 128) -> Case:
    """BigGAN-deep of `side` px, of a class an image."""
    stages = {128: (16, 16, 8, 4, 2, 1), 256: (16, 16, 8, 8, 4, 2, 1), 512: (16, 16, 8, 8, 4, 2, 1, 1)}[side]
    layers = [block for ends in pairwise(stages) for block in ([False, ends[0], ends[0]], [True, *ends])]
    config = {"layers": layers, "channel_width": width, "eps": 1e-4, "num_classes": 1000}
    shape = configured_shape(config)
    assert shape.image_size == side
    state: dict[str, torch.Tensor] = {}
    for name, size in biggan_deep_shapes(shape).items():
        kind = name.rpartition(".")[2]
        if kind == "weight_orig":
            state |= _drawn_spectral(name.removesuffix("_orig"), size)
        elif kind not in ("weight_u", "weight_v"):
            offset = {"running_vars": 0.5, "gamma": 0.5}.get(kind, 0.2 if name == "generator.bn.weight" else 0.0)
            state[name] = offset + (1.0 if kind == "weight" and offset == 0 else 0.1) * torch.rand(size)
    generator = _opened(state, config)
    latents = generator.sample(batch, Stream(0, "z"))
    plain = plain_biggan_deep.plain(state, {**config, "attention_layer_position": shape.attention})
    ways = {"plain": lambda z: plain(z, latents.y), **_ours(generator, latents.y)}
    return Case(latents.z, ways)


def proggan(shape: ProgGANShape = PROGGAN_1024) -> Case:
    """One image of a ProgGAN."""
    state = {}
    for name, size in proggan_shapes(shape).items():
        fan_in = math.prod(proggan_shapes(shape)[name.replace("wscale.scale", "conv.weight")][1:])
        state[name] = (
            torch.full(size, math.sqrt(2 / fan_in))
            if name.endswith("scale")
            else 0.1 * torch.randn(size)
            if name.endswith("wscale.b")
            else torch.randn(size)
        )
    return Case(torch.randn(1, shape.latent_dim), {"plain": plain_proggan.plain(state), **_ours(_opened(state, {}))})


def biggan(shape: BigGANShape, batch: int) -> Case:
    """A conditional BigGAN, or BigBiGAN."""
    state, classes = drawn_state(shape), torch.arange(batch)
    if shape != BIGBIGAN:  # of which all classes are one
        state["shared.weight"] = torch.randn(state["shared.weight"].shape)
    plain = PlainBigGAN(state, shape)
    return Case(
        torch.randn(batch, shape.dim_z), {"plain": lambda z: plain(z, classes), **_ours(_opened(state, {}), classes)}
    )


def _drawn_spectral(name: str, size: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Return a weight behind torch's hook of spectral norm, its vectors near those of the norm."""
    weight = torch.randn(size)
    u, v = torch.randn(size[0]), torch.empty(0)
    for _ in range(4):
        v = torch.nn.functional.normalize(u @ weight.flatten(1), dim=0)
        u = torch.nn.functional.normalize(weight.flatten(1) @ v, dim=0)
    return {f"{name}_orig": weight, f"{name}_u": u, f"{name}_v": v}


CASES: dict[str, Callable[[], Case]] = {
    "proggan-1024": proggan,
    "bigbigan-128": lambda: biggan(BIGBIGAN, batch=4),
    "biggan-128": lambda: biggan(BIGGAN_128, batch=4),
    "biggan-256": lambda: biggan(replace(BIGGAN_128, resolution=256, dim_z=140, attention_resolution=128), batch=2),
    "biggan-512": lambda: biggan(replace(BIGGAN_128, resolution=512, dim_z=128), batch=1),
    "biggan-deep": lambda: biggan_deep(256, batch=4),
    "biggan-deep-alone": lambda: biggan_deep(256, batch=1),
    "stylegan2ada": lambda: stylegan2ada(256, batch=4, base=16384),
    "stylegan2ada-1024": lambda: stylegan2ada(1024, batch=1),
    "stylegan3t": lambda: stylegan3(256, rounded=False),
    "stylegan3r": lambda: stylegan3(256, rounded=True),
    "stylegan3t-1024": lambda: stylegan3(1024, rounded=False),
    "stylegan3r-1024": lambda: stylegan3(1024, rounded=True),
}


@torch.inference_mode()
def measured(case: Case, rounds: int, only: str | None = None) -> dict[str, dict[str, Any]]:
    """Return, by way, the times of an image, the ratio of the plain way's, and the difference from its image."""
    images: dict[str, torch.Tensor] = {}

    def keeping(name: str, way: Way) -> Callable[[], None]:
        return lambda: images.update({name: way(case.latents)})

    took = by_turns({name: keeping(name, way) for name, way in case.ways.items() if only in (None, name)}, rounds)
    first = next(iter(took))
    return {
        name: {
            **vars(whole.each(len(case.latents))),
            "ratio": took[first].work / whole.work,
            "difference": float((images[name] - images[first]).abs().max() / images[first].std()),
        }
        for name, whole in took.items()
    }


@torch.inference_mode()
def limit(case: Case, rounds: int) -> float:
    """Return the seconds an image that the multiplications of our way take at the machine's fastest."""
    features, weight = torch.randn(1, 512, 32, 32), torch.randn(512, 512, 3, 3)
    layout = {"memory_format": torch.channels_last}
    features, weight = features.contiguous(**layout), weight.contiguous(**layout)

    def convolved() -> torch.Tensor:
        return torch.nn.functional.conv2d(features, weight, padding=1)

    fastest = max(
        product_speed(torch.device("cpu"), torch.float32, rounds),
        multiplications(convolved) / seconds(convolved, rounds),
    )
    return multiplications(lambda: case.ways["fp32"](case.latents)) / fastest / len(case.latents)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="one way: plain, fp32, bf16")
    record.add_flag(parser, "--out")
    given = parser.parse_args()
    torch.manual_seed(0)
    case = CASES[given.case]()
    figures = measured(case, given.rounds, given.only)
    memory = peak_memory(torch.device("cpu"))
    least = limit(case, given.rounds)
    print(f"{given.case}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name, row in figures.items():
        work = statistics.median(row["cpu"])
        print(f"  {name:<18} {work:8.3f} s  {row['ratio']:5.2f}x  difference {row['difference']:.1e}")
    print(f"  {'limit':<18} {least:8.3f} s")
    print(f"peak memory {memory / 1e6:.0f} MB")
    further = {"limit": least, "peak memory": memory}
    record.write(given.json, "modern", {given.case: figures}, given.rounds, **further)


if __name__ == "__main__":
    main()
