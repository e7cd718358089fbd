"""Reading a file of stylegan2-ada-pytorch or stylegan3: a pickled table of networks, of which G_ema is wanted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from generators.layouts import Weights
from generators.nvlabs.modules import Module, ModuleTree
from generators.nvlabs.tensorflow import NETWORKS, AveragedNetwork, networks_in
from generators.nvlabs.values import ALLOWED, PERSISTENT_OBJECT, PlainValues, table, unknown_names
from toolkit.errors import UserError
from toolkit.untrusted.foreign import naming_others
from toolkit.untrusted.inert_pickles import read_pickle
from toolkit.untrusted.inert_records import Made, Name, is_call
from toolkit.untrusted.old_pickles import BoundedFile
from toolkit.untrusted.pickled_arrays import ARRAYS
from toolkit.untrusted.pickled_tensors import TensorReader
from toolkit.untrusted.printable import one_line
from toolkit.untrusted.text import bounded, existing_file, guarded, reason_of

_WANTED = "G_ema"
_VERSION = 6
_NEWEST_PROTOCOL = 5
_TORCH = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # with which files of torch.save begin that are no archive
_PACKERS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_SHOWN = 6


def is_plain_pickle(path: Path) -> bool:
    """Return whether a file is a pickle, whatever its name, and not one of torch.save.

    Old pickles begin like any text: those are taken by the ending `.pkl`, as is whatever else has it but archives.
    False for what cannot be read at all.
    """
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except OSError:
        return False
    if start[:1] == b"\x80":
        return start[1:2] <= bytes([_NEWEST_PROTOCOL]) and _TORCH not in start
    return path.suffix.lower() == ".pkl" and not start.startswith(b"PK\3\4")


def read_networks(path: Path, say: Callable[[str], None] = lambda line: None) -> Weights:
    """Return the state dict of G_ema in a pickle, and as its config the class's name, version and init_kwargs.

    Of TensorFlow's StyleGAN2 it is that of Gs, as StyleGAN2-ADA in torch has it. Nothing in the file is run or
    imported, and of the other networks no number is read. `say` gets a line where the file is of another version than
    is known here. UserError for anything else than such a file: what it is, or what in it is none of these networks'
    parts.
    """
    path = existing_file(path, "pickle")
    with (
        guarded(f"{path} is no whole pickle of a generator", "make or download it again"),
        naming_others(path, "a pickle of a generator"),
        BoundedFile(path) as file,
    ):
        _require_unpacked(file.peek(8), path)
        held = read_pickle(file, file.bytes)
        reader = TensorReader(file, file.bytes)
        networks = networks_in(held)
        if networks:
            return _of_tensorflow(networks, reader, path)
        weights, versions = _of_torch(_wanted(held, path), reader, path)
    for version in sorted(versions - {_VERSION}):
        say(f"note: {path} is of version {version} of its kind, of which {_VERSION} is known here; look at its samples")
    return weights


def _of_torch(network: Made, reader: TensorReader, path: Path) -> tuple[Weights, set[int]]:
    """Return the weights of G_ema, and the versions of all its modules."""
    _require_known(network, ALLOWED, _WANTED, path)
    module, tree = Module.of(network), ModuleTree(network, reader)
    arguments = PlainValues(reader).plain(module.state.get("_init_kwargs", {}))
    config = _config(module.class_name, module.version, arguments, path)
    return Weights(tree.state_dict(), path, config), tree.versions


def _of_tensorflow(networks: list[Made], reader: TensorReader, path: Path) -> Weights:
    try:
        _require_known(networks[-1], ALLOWED | set(NETWORKS), "Gs", path)
        network = AveragedNetwork(networks, reader)
        config = _config("Network", network.version, network.arguments(), path)
        return Weights(network.state_dict(), path, config)
    except ValueError as error:
        raise UserError(
            f"{path} is a TensorFlow pickle that is not read here ({reason_of(error)}); convert it with legacy.py of "
            "the stylegan3 repository, which reads StyleGAN2 (configurations E and F) and StyleGAN2-ADA, and open what "
            "that writes"
        ) from error


def _config(class_name: str, version: int, arguments: Any, path: Path) -> dict[str, Any]:
    config = {"class_name": class_name, "version": version, "init_kwargs": arguments}
    return bounded(config, f"the table of arguments in {path}", finite=True)


def _require_known(network: Made, allowed: set[tuple[str, str]], where: str, path: Path) -> None:
    unknown = next(unknown_names(network, allowed), None)
    if unknown is not None:
        raise UserError(
            f"{path} holds {one_line(str(unknown), 80)} in {where}, which is no part of StyleGAN2 or StyleGAN3 and is "
            "not run; save a snapshot of the original training, or wrap the network as your own generator: "
            "package.module:factory"
        )


def _wanted(held: Any, path: Path) -> Made:
    """Return the record of G_ema; UserError saying what else the pickle holds."""
    try:
        networks = table(held, "the pickle")
    except ValueError:
        raise UserError(
            f"{path} is a pickle of {_described(held)}, not of a table with a generator's {_WANTED}; check that it is "
            "the right file"
        ) from None
    wanted = networks.get(_WANTED)
    if isinstance(wanted, Made) and is_call(wanted, PERSISTENT_OBJECT):
        return wanted
    others = [name for name, value in networks.items() if is_call(value, PERSISTENT_OBJECT)]
    if others:
        raise UserError(
            f"{path} holds no {_WANTED}, only {_listed(others)}; {_WANTED} is the average of the generators of a "
            "training, and the others are none: save it too"
        )
    raise UserError(
        f"{path} is a pickle of {_described(held)}, without a generator's {_WANTED} among them; check that it is the "
        "right file"
    )


def _require_unpacked(start: bytes, path: Path) -> None:
    for magic, packer in _PACKERS.items():
        if start.startswith(magic):
            raise UserError(f"{path} is packed by {packer}; unpack it first")


def _described(held: Any) -> str:
    """Return in words what a pickle holds."""
    if is_call(held, *ARRAYS):
        return "a NumPy array"
    while isinstance(held, Made):
        held = held.what
    if isinstance(held, Name):
        return one_line(str(held), 80)
    if isinstance(held, dict):
        return f"a table of {_listed([name for name in held if isinstance(name, str)])}"
    return "a list" if isinstance(held, list | tuple) else "a single value"


def _listed(names: list[str]) -> str:
    shown = one_line(", ".join(names[:_SHOWN]) or "nothing by name", 200)
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
