"""The layouts of published generator files, and which of them a file has."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from generators.protocol import Generator
from generators.published import proggan, sngan
from generators.published.biggan import generator as bigbigan
from generators.published.stylegan2 import generator as stylegan2
from generators.published.stylegan2 import layout as stylegan2_layout
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors, differences, require_weights

Shapes = Mapping[str, tuple[int, ...]]

_SHOWN = 4
_LEAST_LIKENESS = 0.2
# What the modules around the original generators put before every name when they are saved with them.
_ADAPTERS = ("big_gan.", "style_gan2.", "model.", "module.", "_orig_mod.")


OWN_HINT = "; weights of your own network go behind its code, package.module:factory@weights=FILE"


@dataclass(frozen=True)
class Layout:
    """One published layout.

    `shapes` tells from a state the entries (name -> shape) that a whole file of its size has; names for which
    `optional` is true may be absent. `build` makes the generator of a state that has them all. Both see names without
    the prefix of an adapter.
    """

    what: str
    shapes: Callable[[Tensors], Shapes]
    build: Callable[[Tensors, Path, Options], Generator]
    optional: Callable[[str], bool] = lambda name: False


def _sngan(preset: sngan.SNGANShape) -> Layout:
    return Layout(
        f"an SNGAN of {preset.image_size} px (GANLatentDiscovery layout)",
        lambda state: sngan.published_shapes(sngan.infer_shape(state, preset)),
        lambda state, path, _options: sngan.from_published(state, path, preset),
        sngan.is_optional,
    )


LAYOUTS = (
    Layout(
        "a BigGAN or BigBiGAN (BigGAN-PyTorch layout)",
        bigbigan.published_entries,
        bigbigan.from_published,
        lambda name: name.endswith(".sv0"),
    ),
    Layout(
        "a StyleGAN2 (rosinality layout)",
        lambda state: stylegan2_layout.published_shapes(stylegan2_layout.infer_shape(state)),
        stylegan2.from_published,
        lambda name: name == stylegan2_layout.MEAN_LATENT,
    ),
    _sngan(sngan.SNGAN_32),
    _sngan(sngan.SNGAN_64),
    Layout(
        "a ProgGAN (GANLatentDiscovery layout)",
        lambda state: proggan.published_shapes(proggan.infer_shape(state)),
        lambda state, _path, _options: proggan.from_published(state),
    ),
)


def open_published(state: Tensors, path: Path, options: Options) -> Generator:
    """Return the generator whose published layout `state`, read from `path`, has, names of an adapter or not.

    UserError saying which layout it resembles most and what is missing, unknown or of another shape, or which other
    prefix stands before all names.
    """
    best = _best(state)
    if best.likeness < _LEAST_LIKENESS:
        known = "; ".join(layout.what for layout in LAYOUTS)
        raise UserError(
            f"{path} has no layout of a known generator (its entries begin with "
            f"{', '.join(sorted(state)[:_SHOWN]) or 'nothing'}); known are {known}{OWN_HINT}"
        )
    if best.difference:
        raise UserError(
            f"{path} fits no generator; it resembles {best.layout.what} most, {int(100 * best.likeness)}% of the "
            f"entries: {best.difference}; check that it is the right file"
        )
    if best.prefix not in ("", *_ADAPTERS):
        raise UserError(
            f"{path} holds {best.layout.what}, but every name in it begins with {best.prefix}; take this prefix off "
            "the names and save it again"
        )
    require_weights(state, path)
    return best.layout.build(_without(best.prefix, state), path, options)


def fits(state: Tensors) -> bool:
    """Return whether `state` has a published layout, whole and with nothing else in it, so that it opens."""
    best = _best(state)
    return not best.difference and best.likeness >= _LEAST_LIKENESS


def _best(state: Tensors) -> "_Comparison":
    comparisons = (_compared(layout, prefix, state) for prefix in _prefixes(state) for layout in LAYOUTS)
    return max(comparisons, key=lambda comparison: comparison.likeness)


def _prefixes(state: Tensors) -> list[str]:
    """Return what may stand before names: nothing, an adapter's prefix, or whatever all names begin with."""
    shared = os.path.commonprefix(list(state))  # noqa: RUF071 (letter by letter is meant: these are no paths)
    prefixes = dict.fromkeys(["", *_ADAPTERS, shared[: shared.rfind(".") + 1]])
    return [prefix for prefix in prefixes if len(_without(prefix, state)) == len(state)]


def _without(prefix: str, state: Tensors) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


@dataclass(frozen=True)
class _Comparison:
    layout: Layout
    prefix: str
    likeness: float
    difference: str = ""


def _compared(layout: Layout, prefix: str, state: Tensors) -> _Comparison:
    """Return the share of entries, of the file and the layout together, that agree, and what does not.

    Entries are named as in the file.
    """
    try:
        shapes = layout.shapes(_without(prefix, state))
    except UserError:  # sizes that no network of this layout can have
        return _Comparison(layout, prefix, 0.0)
    in_file = {name.removeprefix(prefix): name for name in state}
    sizes = {
        in_file.get(name, prefix + name): tuple(size)
        for name, size in shapes.items()
        if name in in_file or not layout.optional(name)
    }
    agreeing = sum(name in state and tuple(state[name].shape) == size for name, size in sizes.items())
    likeness = agreeing / max(1, len(sizes.keys() | state.keys()))
    return _Comparison(layout, prefix, likeness, differences(state, sizes))
