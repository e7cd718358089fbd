"""How a layout names and shapes the entries of the one form of shape.entry_shapes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from generators.frozen import FIRST_SIDE
from generators.published.stylegan2.shape import (
    MOST_BLOCKS,
    MOST_MAPPING_LAYERS,
    RESNET,
    SKIP,
    Shapes,
    StyleGAN2Shape,
    entry_shapes,
    infer_shape,
)
from toolkit.files.artefacts import Tensors

# Between them they have an entry of every name.
_LARGEST = [
    StyleGAN2Shape((1,) * MOST_BLOCKS, mapping_layers=MOST_MAPPING_LAYERS, num_classes=1, architecture=architecture)
    for architecture in (SKIP, RESNET)
]


@dataclass(frozen=True)
class Entry:
    """An entry in a file: its name, and how many axes of length 1 it has before and behind those of ours."""

    name: str
    before: int = 0
    behind: int = 0

    def shaped(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape in the file of an entry of `shape` of ours."""
        return (1,) * self.before + shape + (1,) * self.behind

    def ours(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return an entry of a file in our shape, or None where its axes are others."""
        size = tuple(tensor.shape)
        inner = size[self.before : len(size) - self.behind]
        return tensor.reshape(inner) if self.shaped(inner) == size else None


@dataclass(frozen=True)
class Naming:
    """The names of one layout: `mapping(entry)` of those behind `mapping.`, `block(i, entry)` of those of block i.

    None where the layout has no such entry; several of ours may be one of its. `converted` makes our value of an entry,
    by our name, out of that of the file.
    """

    mapping: Callable[[str], Entry | None]
    block: Callable[[int, str], Entry | None]
    converted: Callable[[str, torch.Tensor], torch.Tensor] = lambda name, tensor: tensor

    def entry(self, name: str) -> Entry | None:
        """Return the entry in the file of one of ours, or None where it has none."""
        network, _, rest = name.partition(".")
        if network == "mapping":
            return self.mapping(rest)
        block, _, rest = rest.partition(".")
        return self.block((int(block[1:]) // FIRST_SIDE).bit_length() - 1, rest)

    @cached_property
    def _known(self) -> dict[str, Entry]:
        found = {name: self.entry(name) for shape in _LARGEST for name in entry_shapes(shape)}
        return {name: entry for name, entry in found.items() if entry is not None}

    def ours(self, state: Tensors) -> Tensors:
        """Return the entries of a file under our names and in our shapes, values unconverted; unknown ones omitted."""
        found = {name: entry.ours(state[entry.name]) for name, entry in self._known.items() if entry.name in state}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def table(self, shape: StyleGAN2Shape) -> Shapes:
        """Return name -> shape of every entry of a whole file of this network."""
        found = ((self.entry(name), size) for name, size in entry_shapes(shape).items())
        return {entry.name: entry.shaped(size) for entry, size in found if entry is not None}

    def shapes(self, state: Tensors) -> Shapes:
        """Return name -> shape of every entry that a whole file of a state's size has."""
        return self.table(infer_shape(self.ours(state)))

    def canonical(self, state: Tensors) -> Tensors:
        """Return the state in our form; tensors that need no conversion share their memory."""
        return {name: self.converted(name, tensor) for name, tensor in self.ours(state).items()}
