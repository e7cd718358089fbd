"""Self-describing artefacts (one safetensors file: tensors, kind, card) and checkpoints that resume."""

import json
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from toolkit.errors import UserError
from toolkit.files.unfinished import require_finished
from toolkit.files.writing import existing_file, replacing, write_bytes
from toolkit.untrusted.foreign import naming_others, program_kind, require_no_other
from toolkit.untrusted.old_pickles import BoundedFile
from toolkit.untrusted.pickled_values import PLAIN_VALUES
from toolkit.untrusted.plain_values import require_honest_sizes, require_plain
from toolkit.untrusted.text import guarded, parse_json, reason_of
from toolkit.untrusted.wrapped import find_state

Tensors = dict[str, torch.Tensor]
# Whole numbers are counters of batches and classes. Eight bits, Booleans and complex numbers are nobody's weights here.
_WEIGHTS = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)


def save_artefact(path: Path, kind: str, tensors: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> None:
    """Write one safetensors file whose metadata holds `kind` and the JSON `card` (how it was made)."""
    # safetensors refuses views and channels-last memory, hence the plain copies.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"kind": kind, "card": json.dumps(card, allow_nan=False)}
    # Serialised here rather than by safetensors' own writer, whose files only their owner can read.
    write_bytes(path, _in_one_order(save(plain, metadata=metadata)))


def _in_one_order(serialised: bytes) -> bytes:
    """Return a safetensors file with its metadata sorted by name.

    safetensors (0.8) writes metadata in the order of a hash map, another one at each call, so that the same tensors
    and card would not give the same file.
    """
    start = 8 + int.from_bytes(serialised[:8], "little")
    header = json.loads(serialised[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors' place is a multiple of 8
    return b"".join([len(text).to_bytes(8, "little"), text, memoryview(serialised)[start:]])


def halved(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Return the tensors with matrices and convolutions in 16 bits, at half the size; vectors stay as they are."""
    return {name: tensor.half() if tensor.dim() > 1 else tensor for name, tensor in tensors.items()}


def load_artefact(path: Path, kind: str) -> tuple[Tensors, dict[str, Any]]:
    """Return (tensors, card) of an artefact; UserError when it is another kind of file, damaged or not finite."""
    found, tensors, card = _read_safetensors(path, kind)
    if found != kind:
        is_what = f"{_with_article(found)} artefact" if found else "a safetensors file without a toolkit card"
        raise UserError(f"{path} is {is_what}, but {_with_article(kind)} is needed")
    if not isinstance(card, dict):
        raise UserError(f"{path} holds no table of how it was made; make or download it again")
    require_finite(tensors, path)
    return tensors, card


def _with_article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def artefact_kind(path: Path) -> str | None:
    """Return the kind written in an artefact, or None when `path` is no artefact of this toolkit."""
    if not Path(path).is_file():
        return None
    try:
        with safe_open(path, framework="pt") as handle:
            return (handle.metadata() or {}).get("kind")
    except (SafetensorError, OSError):
        return None


def _read_safetensors(path: Path, what: str) -> tuple[str | None, Tensors, dict[str, Any]]:
    require_finished(path)
    existing_file(path, what)
    with (
        guarded(f"{path} is not a whole safetensors file", "make or download it again"),
        naming_others(path, what),
        safe_open(path, framework="pt") as handle,
    ):
        metadata = handle.metadata() or {}
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a dict)
    return metadata.get("kind"), tensors, parse_json(metadata.get("card", "{}"), f"the card in {path}")


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a resumable state (tensors, numbers, strings, nested dicts and lists) whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as handle:
        try:
            torch.save(_interned(dict(state)), handle)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch hides a full disk behind a line of its own
                raise error.__context__ from error
            raise


def _interned(value: Any) -> Any:
    """Return nested dicts and lists with equal strings as one object.

    A pickle names a string it has met before by number, so that otherwise the file of a resumed run, whose strings
    were read, would differ from an unbroken run's.
    """
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, list):
        return [_interned(item) for item in value]
    if type(value) in (dict, OrderedDict):
        copied = type(value)((_interned(key), _interned(item)) for key, item in value.items())
        for name, more in getattr(value, "__dict__", {}).items():  # a state dict's versions
            setattr(copied, name, _interned(more))
        return copied
    return value


def load_pickled(path: Path, what: str) -> Any:
    """Return what a `.pt`/`.pth` file holds, read with `weights_only=True`; UserError for anything else."""
    existing_file(path, what)
    program = program_kind(path)
    if program is not None:
        raise UserError(f"{path} is a {program} program, which is not run here; {what} means a file of tensors")
    try:
        require_honest_sizes(Path(path))
        # Training scripts like to save their arguments, plain values too, beside the weights.
        with (
            warnings.catch_warnings(),
            torch.serialization.safe_globals(PLAIN_VALUES),
            BoundedFile(Path(path)) as file,
        ):
            warnings.simplefilter("ignore")  # of unusual pickles, which it then reads or refuses
            held = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds
        require_no_other(path, what)
        raise UserError(
            f"cannot read {path} as {what}: it is damaged, cut short, or no plain weights file ({_reason(error)}); "
            "make or download it again"
        ) from error
    require_plain(held, Path(path))
    return held


def _reason(error: Exception) -> str:
    text = str(error).strip()
    if text.startswith("Weights only load failed"):  # torch goes on with how to load it unsafely
        return "it is no pickle of tensors and plain values alone"
    return reason_of(error)


def load_state_file(
    path: Path,
    what: str,
    unwrapped: Callable[[Any], Any] = lambda held: held,
    fits: Callable[[Tensors], bool] | None = None,
    hint: str = "",
) -> Tensors:
    """Return the name-to-tensor dictionary in a `.pth`, `.pt` or `.safetensors` file from outside.

    `unwrapped` takes it out of what a known layout holds besides, `fits` distinguishes it from other tables in the file
    (see toolkit.untrusted.wrapped). UserError, which ends with `hint`, where it is not clear which is meant.
    """
    is_safetensors = Path(path).suffix.lower() == ".safetensors"
    held = unwrapped(_read_safetensors(path, what)[1] if is_safetensors else load_pickled(path, what))
    return find_state(held, path, what, fits, hint)


def match_state(
    state: Tensors, shapes: Mapping[str, Iterable[int]], path: Path, what: str, optional: Iterable[str] = ()
) -> None:
    """Check that `state` has exactly the names and shapes of `shapes`, all finite; UserError naming what differs.

    Names in `optional` may be absent.
    """
    difference = differences(state, shapes, optional)
    if difference:
        raise UserError(f"{path} does not fit {what}: {difference}; check that it is the right file")
    require_weights(state, path)


def differences(state: Tensors, shapes: Mapping[str, Iterable[int]], optional: Iterable[str] = ()) -> str:
    """Return in words in which names `state` differs from `shapes`, else in which shapes, or "" where it does not.

    Names in `optional` may be absent.
    """
    missing = sorted(set(shapes) - set(state) - set(optional))
    unknown = sorted(set(state) - set(shapes))
    wrong = [
        f"{name} is {list(state[name].shape)}, expected {list(shape)}"
        for name, shape in shapes.items()
        if name in state and list(state[name].shape) != list(shape)
    ]
    # Sizes are inferred from entries: where some are missing, wrong ones may be no fault of those that are there.
    parts = (("missing: ", missing), ("unknown: ", unknown), ("", [] if missing or unknown else wrong))
    return "; ".join(word + _shortened(names) for word, names in parts if names)


def require_weights(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise UserError naming the first tensors that are no weights: empty, of a kind no network has, not finite."""
    odd = [name for name, tensor in tensors.items() if tensor.dtype not in _WEIGHTS or not tensor.numel()]
    if odd:
        what = f"{str(tensors[odd[0]].dtype).removeprefix('torch.')} {list(tensors[odd[0]].shape)}"
        raise UserError(f"{path} holds {what} in {_shortened(odd)}, but weights are floating-point numbers; check it")
    require_finite(tensors, path)


def require_finite(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise UserError naming the first tensors that hold NaN or infinite values."""
    bad = not_finite(tensors)
    if bad:
        raise UserError(f"{path} holds NaN or infinite numbers in {_shortened(bad)}; make or download it again")


def not_finite(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of tensors with a value that is NaN or infinite.

    A tensor's ends say so, at a third of the time of each value: NaN is an end too where there is one.
    """
    numbers = {name: one.detach() for name, one in tensors.items() if one.is_floating_point() and one.numel()}
    return [name for name, one in numbers.items() if not torch.stack(torch.aminmax(one)).isfinite().all()]


def _shortened(names: list[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
