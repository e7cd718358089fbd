"""The families of published generators, one table, and which of their layouts a file has.

A family is one module or folder of `generators.published`, found there by itself, with one object, FAMILY. A package
adds a family by an entry point of the group `latent_toolkit.families` that names such an object (see toolkit.plug_ins);
it is looked at where a file fits none of ours.
"""

import os
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from generators import published
from generators.protocol import Generator
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors, differences, require_weights
from toolkit.plug_ins import PlugInError, Table

Shapes = Mapping[str, tuple[int, ...]]

_SHOWN = 4
_LEAST_LIKENESS = 0.2
_SHAPELESS = torch.empty(())
# What the modules around the original generators put before every name when they are saved with them.
_ADAPTERS = ("big_gan.", "style_gan2.", "model.", "module.", "_orig_mod.")


OWN_HINT = "; weights of your own network go behind its code, package.module:factory@weights=FILE"


@dataclass(frozen=True)
class Weights:
    """What a file of a published generator holds.

    `tensors` by name, `path` the file they were read from, and `config` what it, or a file beside it, states besides
    (numbers, text, lists and tables of them): the constructor's arguments; empty where nothing is stated.
    """

    tensors: Tensors
    path: Path
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One published layout.

    `what` names it with its article. `shapes` infers from a state the entries (name -> shape) that a whole file of its
    size has: for a state of something else those of any size, or UserError; names for which `optional` is true may be
    absent. `build` makes the generator of weights that have them all and of the options behind its name. Both see names
    without the prefix of an adapter.
    """

    what: str
    shapes: Callable[[Tensors], Shapes]
    build: Callable[[Weights, Options], Generator]
    optional: Callable[[str], bool] = lambda name: False


@dataclass(frozen=True)
class Family:
    """The layouts of one family, and what else its files are like.

    `unwrapped` takes a state out of what a file holds, and returns anything else as it is; `beside` returns the
    configuration that a file beside the weights' states, {} where there is none (`config` of Weights).
    """

    layouts: tuple[Layout, ...]
    unwrapped: Callable[[Any], Any] = lambda held: held
    beside: Callable[[Path], Mapping[str, Any]] = lambda path: {}


def _fault(entry: Any) -> str | None:
    if not isinstance(entry, Family):
        return f"it is {type(entry).__name__}, but has to be a Family"
    right = bool(entry.layouts) and all(isinstance(layout, Layout) for layout in entry.layouts)
    return None if right else "its layouts have to be one Layout or more"


_MODULES = [module.name for module in pkgutil.iter_modules(published.__path__)]
FAMILIES: Table[Family] = Table(
    "generator family", {name: f"generators.published.{name}:FAMILY" for name in _MODULES}, _fault, group="families"
)


def unwrapped(held: Any) -> Any:
    """Return the flat state in what a file of any family of ours holds, and anything else as it is."""
    for name in FAMILIES.own:
        held = FAMILIES[name].unwrapped(held)
    return held


def open_published(weights: Weights, options: Options) -> Generator:
    """Return the generator whose published layout the weights have, names of an adapter or not.

    UserError saying which layout it resembles most and what is missing, unknown or of another shape, or which other
    prefix stands before all names.
    """
    best = _whole(weights)
    return _built(best, _taken(best, weights), options)


def recognised(weights: Weights) -> tuple[str, Weights]:
    """Return what layout the weights have, with its article, and them without an adapter's prefix but configured.

    UserError as for `open_published`.
    """
    best = _whole(weights)
    return best.layout.what, _taken(best, weights)


def _whole(weights: Weights) -> "_Comparison":
    """Return the comparison with the layout that the weights have; UserError as for `open_published`."""
    state, path = weights.tensors, weights.path
    best = _explained(_best(state), state)
    if best.likeness < _LEAST_LIKENESS:
        known = "; ".join(layout.what for name in FAMILIES for layout in FAMILIES[name].layouts)
        raise UserError(
            f"{path} has no layout of a known generator (its entries begin with "
            f"{', '.join(sorted(state)[:_SHOWN]) or 'nothing'}{_of_class(weights)}); known are {known}{OWN_HINT}"
        )
    if best.difference:
        raise UserError(
            f"{path} fits no generator; it resembles {best.layout.what} most, {int(100 * best.likeness)}% of the "
            f"entries{_of_class(weights)}: {best.difference}; check that it is the right file"
        )
    if best.prefix not in ("", *_ADAPTERS):
        raise UserError(
            f"{path} holds {best.layout.what}, but every name in it begins with {best.prefix}; take this prefix off "
            "the names and save it again"
        )
    require_weights(state, path)
    return best


def _of_class(weights: Weights) -> str:
    """Return what a file says of its network's class, where it is none of those that go by one name in all files."""
    name = weights.config.get("class_name")
    return f", of a class {name}" if isinstance(name, str) and name != "Generator" else ""


def _taken(best: "_Comparison", weights: Weights) -> Weights:
    """Return weights without an adapter's prefix, with the configuration of the file beside them if they have none."""
    config = weights.config or FAMILIES.attempt(best.family, lambda: FAMILIES[best.family].beside(weights.path))
    return replace(weights, tensors=_without(best.prefix, weights.tensors), config=config)


def _built(best: "_Comparison", weights: Weights, options: Options) -> Generator:
    """Return the generator; one of a plug-in is tried out before anything relies on it."""

    def build() -> Generator:
        return best.layout.build(weights, options)

    if best.family in FAMILIES.own:
        return build()
    from generators.own.checking import checked

    return checked(FAMILIES.attempt(best.family, build), str(weights.path))


def fits(state: Tensors) -> bool:
    """Return whether `state` has a published layout, whole and with nothing else in it, so that it opens."""
    best = _best(state)
    return not best.difference and best.likeness >= _LEAST_LIKENESS


def _best(state: Tensors) -> "_Comparison":
    """Return the comparison with the likeliest layout; plug-ins are asked where the state fits none of ours."""
    best = _best_of(FAMILIES.own, state)
    if best.likeness == 1:
        return best
    others = [name for name in FAMILIES if name not in FAMILIES.own]
    return max([best, *([_best_of(others, state)] if others else [])], key=lambda comparison: comparison.likeness)


def _best_of(families: Iterable[str], state: Tensors) -> "_Comparison":
    layouts = [(name, layout) for name in families for layout in FAMILIES[name].layouts]
    comparisons = (_compared(*layout, prefix, state) for prefix in _prefixes(state) for layout in layouts)
    return max(comparisons, key=lambda comparison: comparison.likeness)


def _prefixes(state: Tensors) -> list[str]:
    """Return what may stand before names: nothing, an adapter's prefix, or whatever all names begin with."""
    shared = os.path.commonprefix(list(state))  # noqa: RUF071 (letter by letter is meant: these are no paths)
    prefixes = dict.fromkeys([*_ADAPTERS, shared[: shared.rfind(".") + 1]])
    met = [prefix for prefix in prefixes if prefix and any(name.startswith(prefix) for name in state)]
    return ["", *(prefix for prefix in met if len(_without(prefix, state)) == len(state))]


def _without(prefix: str, state: Tensors) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


@dataclass(frozen=True)
class _Comparison:
    """`differing` are the entries that only the file or only the layout has, or that have another shape in each."""

    family: str
    layout: Layout
    prefix: str
    likeness: float
    difference: str = ""
    differing: frozenset[str] = frozenset()


def _explained(best: _Comparison, state: Tensors) -> _Comparison:
    """Return the comparison that blames one entry of the file for all that differs, or `best` where there is none.

    The sizes that a layout infers may rest on an entry of another shape, or on one that is there by mistake: all that
    is right then seems wrong. Hence the layout is asked without the shape of every entry in turn, and without it.
    """
    if not best.likeness:
        return best
    suspects = best.differing if len(best.differing) == 1 else state
    for name in suspects if best.differing else ():
        rest = {other: tensor for other, tensor in state.items() if other != name}
        for seen in (state | {name: _SHAPELESS}, rest):
            other = _compared(best.family, best.layout, best.prefix, state, seen)
            if other.differing == {name}:
                return other
    return best


def _compared(family: str, layout: Layout, prefix: str, state: Tensors, seen: Tensors | None = None) -> _Comparison:
    """Return the share of entries, of the file and the layout together, that agree, and what does not.

    Entries are named as in the file. The layout infers its sizes from `seen`, by default the state.
    """
    try:
        shapes = FAMILIES.attempt(family, lambda: layout.shapes(_without(prefix, state if seen is None else seen)))
    except PlugInError:
        raise
    except UserError:  # sizes that no network of this layout can have
        return _Comparison(family, layout, prefix, 0.0)
    in_file = {name.removeprefix(prefix): name for name in state}
    sizes = {
        in_file.get(name, prefix + name): tuple(size)
        for name, size in shapes.items()
        if name in in_file or not layout.optional(name)
    }
    names = sizes.keys() | state.keys()
    differing = frozenset(name for name in names if name not in state or sizes.get(name) != tuple(state[name].shape))
    likeness = 1 - len(differing) / max(1, len(names))
    return _Comparison(family, layout, prefix, likeness, differences(state, sizes), differing)
