"""Generators written as programs that render without this toolkit: TorchScript, torch.export, ONNX.

TorchScript and torch.export files get the card beside them with which this toolkit opens them again
(generators.own.programs); an ONNX file carries its card in itself.
"""

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from generators.own.program_layouts import GENERATOR_LAYOUTS
from generators.own.programs import is_card, load_exported, load_script
from generators.own.wrapper import LATENT_KINDS, draw_uniform
from generators.protocol import Generator, Latents, image_shape
from toolkit.compute.programs import save_exported, save_script
from toolkit.errors import UserError, named
from toolkit.files.writing import replacing, writable_file, write_json
from toolkit.streams import Stream

NEEDS = "the onnx extra: pip install 'latent-segmentation-toolkit[onnx]'"
_OPSET = 18
_TRACED = 2  # latents it is traced with: torch.export takes a batch of one for a case of its own
_TRIED = 3  # latents that the written program is tried with, and one alone
_DRIFT = 1e-3  # of [-1, 1]: sums in another order move fp32 images by some 1e-5


@dataclass(frozen=True)
class ExportedGenerator:
    """What was written: the card, and by how much the program's images differ from the generator's at most."""

    card: dict[str, Any]
    difference: float


class Rendering(nn.Module):
    """Latents z (B, D), and classes y (B,) int64 where there are some, -> images (B, 3, H, W) in [-1, 1]."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self._generator = generator
        network = getattr(generator, "network", None)
        if isinstance(network, nn.Module):  # registered, its weights are named in the program as in the network
            self.network = network

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        """Return the images."""
        return self._generator(Latents(z, y))


def export_generator(generator: Generator, out: Path, layout: str) -> ExportedGenerator:
    """Write a generator to `out` in a layout of GENERATOR_LAYOUTS, whole or not at all, and return what was written.

    The program takes any number of latents, in float32 on the CPU. It is tried before it is kept. UserError for an
    ending that is not the layout's, latents that no card can describe, and a program that renders other images.
    """
    writable_file(out, GENERATOR_LAYOUTS[layout])
    if layout != "generator-onnx":
        _require_room_for_card(out.with_suffix(".json"))
    generator = generator.to(torch.device("cpu"))
    card = card_of(generator)
    network = Rendering(generator).eval()
    with replacing(out) as temporary, _quiet():
        z, *classes = _inputs(generator, _TRACED)
        # With gradients asked for, networks take the way that lets them through, whatever the number of latents.
        render = _WRITERS[layout](temporary, network, (z.requires_grad_(), *classes), card)
        difference = max(_difference(render, network, _inputs(generator, count)) for count in (_TRIED, 1))
        if not difference <= _DRIFT:  # nan too
            raise UserError(
                f"the program written of {generator.name} renders other images than it does (by up to "
                f"{difference:.3g} of [-1, 1]); choose another {named('layout')}"
            )
        if layout != "generator-onnx":
            write_json(out.with_suffix(".json"), card)
    return ExportedGenerator(card, difference)


def card_of(generator: Generator) -> dict[str, Any]:
    """Return what generators.own.programs reads of a program. UserError for latents that it has no words for."""
    height, width = image_shape(generator)
    classes = _class_count(generator)
    return {
        "name": generator.name,
        "latent_dim": generator.latent_dim,
        "image_size": height if height == width else [height, width],
        "latents": _kind_of_latents(generator),
        "value_range": [-1, 1],
        **({"num_classes": classes} if classes else {}),
    }


def _kind_of_latents(generator: Generator) -> str:
    """Return the distribution of LATENT_KINDS that a generator draws from, which it shows by its own samples."""
    latents = generator.sample(_TRIED, Stream(0, "export"))
    shape = (_TRIED, generator.latent_dim)
    draws = (Stream(0, "export").normal(*shape), draw_uniform(Stream(0, "export"), *shape, None))
    for kind, draw in zip(LATENT_KINDS, draws, strict=True):
        if torch.equal(latents.z, draw) and latents.noise is None:
            return kind
    raise UserError(
        f"{generator.name} draws its latents neither from N(0, I) nor evenly (features of W, or truncated ones), "
        "which no card of a program says; name it without truncation, and a style-based one with @space=z"
    )


def _class_count(generator: Generator) -> int:
    latents = generator.sample(1, Stream(0, "export"))
    if latents.y is None:
        return 0
    count = getattr(generator, "num_classes", None) or getattr(getattr(generator, "network", None), "num_classes", 0)
    if not count or getattr(generator, "fresh_noise", False):
        raise UserError(
            f"{generator.name} draws a number for the noise of each image, which a program does not; omit noise=fresh"
        )
    return int(count)


def _inputs(generator: Generator, count: int) -> tuple[torch.Tensor, ...]:
    latents = generator.sample(count, Stream(1, "export"))
    return (latents.z,) if latents.y is None else (latents.z, latents.y)


def _difference(
    render: Callable[..., torch.Tensor], network: Callable[..., torch.Tensor], inputs: tuple[torch.Tensor, ...]
) -> float:
    with torch.no_grad():
        return float((render(*inputs) - network(*inputs)).abs().max())


def _require_room_for_card(card: Path) -> None:
    """UserError where the place of the card is taken by something else."""
    if card.exists() and not is_card(card):
        raise UserError(
            f"the card would be written to {card}, which holds something else; choose another {named('out')}"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch writes about its own exporters from the user, who cannot do anything about it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _batches(inputs: tuple[torch.Tensor, ...]) -> tuple[dict[int, Any] | None, ...]:
    batch = torch.export.Dim("batch", min=1)
    given = tuple({0: batch} for _ in inputs)
    return given if len(given) == 2 else (*given, None)


def _write_script(
    path: Path, network: nn.Module, inputs: tuple[torch.Tensor, ...], _card: dict[str, Any]
) -> Callable[..., torch.Tensor]:
    save_script(torch.jit.trace(network, inputs, check_trace=False), path)
    return load_script(path)


def _write_exported(
    path: Path, network: nn.Module, inputs: tuple[torch.Tensor, ...], _card: dict[str, Any]
) -> Callable[..., torch.Tensor]:
    program = torch.export.export(network, inputs, dynamic_shapes=_batches(inputs)[: len(inputs)])
    save_exported(program, path)
    return load_exported(path)


def _write_onnx(
    path: Path, network: nn.Module, inputs: tuple[torch.Tensor, ...], card: dict[str, Any]
) -> Callable[..., torch.Tensor]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{named('layout', 'generator-onnx')} needs {NEEDS}; or choose another") from error
    names = ["z", "y"][: len(inputs)]
    program = torch.onnx.export(
        network,
        inputs,
        input_names=names,
        output_names=["images"],
        opset_version=_OPSET,
        dynamic_shapes=_batches(inputs)[: len(inputs)],
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.functions,
        *(n for f in model.functions for n in f.node),
    ):
        del part.metadata_props[:]  # the exporter's notes, with paths of this machine
    model.metadata_props.add(key="kind", value="generator")
    model.metadata_props.add(key="card", value=json.dumps(card, allow_nan=False))
    onnx.checker.check_model(model)
    content = model.SerializeToString(deterministic=True)
    path.write_bytes(content)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def render(*given: torch.Tensor) -> torch.Tensor:
        arrays = {name: one.numpy() for name, one in zip(names, given, strict=True)}
        return torch.from_numpy(session.run(None, arrays)[0])

    return render


_WRITERS = {
    "generator-onnx": _write_onnx,
    "generator-torch-export": _write_exported,
    "generator-torchscript": _write_script,
}
