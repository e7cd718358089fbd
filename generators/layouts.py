"""The layouts of published generator files, and which of them a file has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from generators.bigbigan import from_published
from generators.biggan import BIGGAN_128, infer_shape, published_shapes
from generators.protocol import Generator
from generators.spec import Options
from toolkit.artefacts import Tensors, require_finite
from toolkit.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]

_SHOWN = 4
_LEAST_LIKENESS = 0.2


@dataclass(frozen=True)
class Layout:
    """One published layout.

    `shapes` tells from a state the entries (name -> shape) that a whole file of its size has; names for which
    `optional` is true may be absent. `build` makes the generator of a state that has them all.
    """

    what: str
    shapes: Callable[[Tensors], Shapes]
    build: Callable[[Tensors, Path, Options], Generator]
    optional: Callable[[str], bool] = lambda name: False


LAYOUTS = (
    Layout(
        "a BigGAN or BigBiGAN (BigGAN-PyTorch layout)",
        lambda state: published_shapes(infer_shape(state, BIGGAN_128)),
        from_published,
        lambda name: name.endswith(".sv0"),
    ),
)


def open_published(state: Tensors, path: Path, options: Options) -> Generator:
    """Return the generator whose published layout `state`, read from `path`, has.

    UserError saying which layout it resembles most and what is missing, unknown or of another shape.
    """
    comparisons = [_compared(layout, state) for layout in LAYOUTS]
    best = max(comparisons, key=lambda comparison: comparison.likeness)
    if best.difference:
        if best.likeness < _LEAST_LIKENESS:
            known = "; ".join(layout.what for layout in LAYOUTS)
            raise UserError(
                f"{path} has no layout of a known generator (its entries begin with "
                f"{', '.join(sorted(state)[:_SHOWN]) or 'nothing'}); known are {known}"
            )
        raise UserError(
            f"{path} fits no generator; it resembles {best.layout.what} most, {best.likeness:.0%} of the entries: "
            f"{best.difference}; check that it is the right file"
        )
    require_finite(state, path)
    return best.layout.build(state, path, options)


@dataclass(frozen=True)
class _Comparison:
    layout: Layout
    likeness: float
    difference: str


def _compared(layout: Layout, state: Mapping[str, torch.Tensor]) -> _Comparison:
    """Return the share of entries, of the file and the layout together, that agree, and what does not."""
    try:
        shapes = layout.shapes(dict(state))
    except UserError:  # sizes that no network of this layout can have
        return _Comparison(layout, 0.0, "its sizes")
    missing = [name for name in shapes if name not in state and not layout.optional(name)]
    unknown = [name for name in state if name not in shapes]
    wrong = [
        f"{name} is {list(state[name].shape)}, expected {list(size)}"
        for name, size in shapes.items()
        if name in state and tuple(state[name].shape) != tuple(size)
    ]
    agreeing = sum(name in state for name in shapes) - len(wrong)
    parts = (("missing", missing), ("unknown", unknown), ("of another shape", wrong))
    difference = "; ".join(f"{word}: {_shortened(names)}" for word, names in parts if names)
    return _Comparison(layout, agreeing / max(1, len(set(shapes) | set(state))), difference)


def _shortened(names: list[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
