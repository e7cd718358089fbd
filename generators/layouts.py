"""The families of published generators, one table, and which of their layouts a file has.

A family is one module or folder of `generators.published`, found there by itself, with one object, FAMILY. A package
adds a family by an entry point of the group `latent_toolkit.families` that names such an object (see toolkit.plug_ins);
it is looked at where a file fits none of ours.
"""

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from generators import published
from generators.protocol import Generator
from generators.recognition.comparing import NOTHING_ALIKE, Comparison, Shapes, compared, explained, prefixes, without
from generators.recognition.unopened import unopened
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors, require_weights
from toolkit.plug_ins import PlugInError, Table

_SHOWN = 4
_LEAST_LIKENESS = 0.2
_MOST_OF_OTHERS = 0.9  # likeness up to which a state may be one of another kind altogether
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
    other = unopened(state) if best.likeness < _MOST_OF_OTHERS else None
    if other is not None:
        raise UserError(f"{path} is {other.what}, which is not opened here; {other.advice}")
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
    return replace(weights, tensors=without(best.prefix, weights.tensors), config=config)


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
    comparisons = (_compared(*layout, prefix, state) for prefix in prefixes(state, _ADAPTERS) for layout in layouts)
    return max(comparisons, key=lambda comparison: comparison.likeness)


@dataclass(frozen=True)
class _Comparison:
    family: str
    layout: Layout
    prefix: str
    found: Comparison

    @property
    def likeness(self) -> float:
        return self.found.likeness

    @property
    def difference(self) -> str:
        return self.found.difference


def _explained(best: _Comparison, state: Tensors) -> _Comparison:
    """Return a comparison that blames one entry for all that differs, where there is one that does."""
    compare = partial(_found, best.family, best.layout, best.prefix, state)
    return replace(best, found=explained(best.found, state, compare))


def _compared(family: str, layout: Layout, prefix: str, state: Tensors) -> _Comparison:
    """Return the comparison of a state, without a prefix of its names, with a layout."""
    return _Comparison(family, layout, prefix, _found(family, layout, prefix, state, state))


def _found(family: str, layout: Layout, prefix: str, state: Tensors, seen: Tensors) -> Comparison:
    """Return how alike a state is to the layout of the sizes that `seen` shows."""
    try:
        shapes = FAMILIES.attempt(family, lambda: layout.shapes(without(prefix, seen)))
    except PlugInError:
        raise
    except UserError:  # sizes that no network of this layout can have
        return NOTHING_ALIKE
    return compared(state, prefix, shapes, layout.optional)
