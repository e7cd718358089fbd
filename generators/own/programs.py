"""Generators saved together with their code (TorchScript, torch.export), each with a JSON card beside the file.

Opening such a file runs the code in it, so it is opened where generators.own.trust admits it.
"""

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from generators.own.checking import attempt, checked
from generators.own.trust import Code, Trust
from generators.own.wrapper import OwnGenerator
from generators.protocol import Generator
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.files.writing import read_json
from toolkit.untrusted.foreign import program_kind

_NEEDED = ("latent_dim", "image_size")
_ANY = 2**31  # torch writes no bound as an infinity of its own, which says of itself that it is finite
_OPTIONAL = ("latents", "value_range", "num_classes", "name")
_EXAMPLE = json.dumps({"latent_dim": 128, "image_size": 64, "latents": "normal", "value_range": [-1, 1]})


class ExportedNetwork(nn.Module):
    """The network of a torch.export file; its mode is the one it was exported in."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self._program = program
        self._device = torch.device("cpu")
        self.graph = program.module()

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return what the program returns."""
        return self.graph(*inputs)

    def train(self, mode: bool = True) -> Self:
        """Return the network as it is: its graph refuses to change its mode."""
        self.training = mode
        return self

    def to(self, device: torch.device) -> Self:  # type: ignore[override]
        """Return the network on another device, to which the constants of its graph have to move too."""
        from torch.export.passes import move_to_device_pass

        if device != self._device:
            self._program, self._device = move_to_device_pass(self._program, device), device
            self.graph = self._program.module()
        return self.requires_grad_(False)


def open_program(path: Path, options: Options, trust: Trust) -> Generator | None:
    """Return the generator in a TorchScript or torch.export file, tried out (generators.own.checking), else None.

    Which it is, the names in the archive show; nothing is unpickled for that. `model.json` beside `model.pt` holds
    latent_dim and image_size, and latents, value_range, num_classes and name where they are not OwnGenerator's
    defaults; option `classes` names the classes to draw from. UserError where the program may not run, and for a
    missing or wrong card, a damaged file and a fixed batch size.
    """
    load, code = _loader(path), program_code(path, options)
    if load is None or code is None:
        return None
    card = _card(path)
    trust.admit(code)
    network, classes = load(path), options.integers("classes")
    count = card.get("num_classes") or 0
    for index in classes:
        if isinstance(count, int) and index >= count:
            has = f"classes 0 to {count - 1}" if count else "no classes"
            raise UserError(f"class {index} is unknown; {path} has {has}, as {path.with_suffix('.json')} says")
    try:
        generator = OwnGenerator(network, **{"name": path.stem, **card}, classes=classes)
    except UserError as error:
        raise UserError(f"{path.with_suffix('.json')} does not fit: {error}; an example: {_EXAMPLE}") from error
    return checked(generator, str(path))


def program_card(path: Path) -> Path | None:
    """Return where the card of a TorchScript or torch.export file lies, or None for other files."""
    return None if _loader(path) is None else path.with_suffix(".json")


def program_code(path: Path, options: Options) -> Code | None:
    """Return what `open_program` would run, or None for other files."""
    return None if _loader(path) is None else Code(options.spec, path, options.left(), is_program=True)


def is_card(path: Path) -> bool:
    """Return whether a file is the card of a program."""
    try:
        card = read_json(path)
    except UserError:
        return False
    return isinstance(card, dict) and set(_NEEDED) <= set(card) <= {*_NEEDED, *_OPTIONAL}


def _loader(path: Path) -> Callable[[Path], nn.Module] | None:
    return {"torch.export": load_exported, "TorchScript": load_script, None: None}[program_kind(path)]


def _card(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise UserError(f"{path} needs a card beside it that says its sizes; write {beside} like {_EXAMPLE}")
    card = read_json(beside)
    keys = set(card) if isinstance(card, dict) else set()
    missing, unknown = sorted(set(_NEEDED) - keys), sorted(keys - {*_NEEDED, *_OPTIONAL})
    if missing or unknown:
        faults = {"lacks": missing, "has unknown": unknown}
        parts = [f"{word} {', '.join(names)}" for word, names in faults.items() if names]
        raise UserError(f"{beside} {' and '.join(parts)}; a card is like {_EXAMPLE}, and may have num_classes and name")
    return card


def load_script(path: Path) -> nn.Module:
    """Return the program in a TorchScript file, whose code the caller trusts; UserError where it cannot be read."""
    with warnings.catch_warnings():
        # Such files will be around for long; whoever opens one cannot do anything about it here.
        warnings.filterwarnings("ignore", message=".*torch.jit.load")
        return attempt(lambda: torch.jit.load(str(path), map_location="cpu"), f"reading {path}")


def load_exported(path: Path) -> nn.Module:
    """Return the program in a torch.export file, whose code the caller trusts; UserError also for a fixed batch."""
    quiet = logging.root.manager.disable
    logging.disable(logging.WARNING)  # of a file that does not open torch logs its own traces
    try:
        program = attempt(lambda: torch.export.load(path), f"reading {path}")
    finally:
        logging.disable(quiet)
    inputs = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    sizes = [node.meta["val"].shape[:1] for node in inputs]
    if not sizes or not all(size and _is_free(size[0], program) for size in sizes):
        every = ", ".join(["{0: batch}"] * max(1, len(sizes)))
        raise UserError(
            f"{path} was exported for one batch size; export it with batch = torch.export.Dim('batch'), "
            f"dynamic_shapes=({every},)"
        )
    return ExportedNetwork(program)


def _is_free(size: "int | torch.SymInt", program: torch.export.ExportedProgram) -> bool:
    if isinstance(size, int):
        return False
    limits = program.range_constraints.get(size.node.expr)
    return limits is None or bool(limits.upper > _ANY)
