"""A state compared with the entries that a layout has: how alike they are, and which one entry explains the rest."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch

from toolkit.files.artefacts import Tensors, differences

_SHAPELESS = torch.empty(())
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Comparison:
    """The share of entries, of a file and a layout together, that agree; what does not, in words and by name.

    Entries are named as in the file. They differ where only one of the two has them, or in another shape.
    """

    likeness: float
    difference: str = ""
    differing: frozenset[str] = frozenset()


NOTHING_ALIKE = Comparison(0.0)


def without(prefix: str, state: Tensors) -> Tensors:
    """Return the state without a prefix of its names."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def prefixes(state: Tensors, adapters: Iterable[str]) -> list[str]:
    """Return what may stand before names: nothing, an adapter's prefix, or whatever all names begin with."""
    shared = os.path.commonprefix(list(state))  # noqa: RUF071 (letter by letter is meant: these are no paths)
    possible = dict.fromkeys([*adapters, shared[: shared.rfind(".") + 1]])
    met = [prefix for prefix in possible if prefix and any(name.startswith(prefix) for name in state)]
    return ["", *(prefix for prefix in met if len(without(prefix, state)) == len(state))]


def compared(state: Tensors, prefix: str, shapes: Shapes, optional: Callable[[str], bool]) -> Comparison:
    """Return the comparison of a state, without a prefix of its names, with a layout's entries."""
    in_file = {name.removeprefix(prefix): name for name in state}
    sizes = {
        in_file.get(name, prefix + name): tuple(size)
        for name, size in shapes.items()
        if name in in_file or not optional(name)
    }
    names = sizes.keys() | state.keys()
    differing = frozenset(name for name in names if name not in state or sizes.get(name) != tuple(state[name].shape))
    return Comparison(1 - len(differing) / max(1, len(names)), differences(state, sizes), differing)


def explained(found: Comparison, state: Tensors, compare: Callable[[Tensors], Comparison]) -> Comparison:
    """Return the comparison that blames one entry of a file for all that differs, or `found` where there is none.

    `compare` makes that of the state with the entries that a layout infers from another one. Its sizes may rest on an
    entry of another shape, or on one that is there by mistake: all that is right then seems wrong. Hence the layout is
    asked without the shape of every entry in turn, and without it.
    """
    if not found.likeness or not found.differing:
        return found
    suspects = found.differing & state.keys() if len(found.differing) == 1 else state
    for name in suspects:
        rest = {other: tensor for other, tensor in state.items() if other != name}
        for seen in (state | {name: _SHAPELESS}, rest):
            other = compare(seen)
            if other.differing == {name}:
                return other
    return found
