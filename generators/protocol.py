"""What a generator is to the rest of the toolkit."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import nn

from toolkit.compute.batches import even_slices, rows_at_once
from toolkit.directions import DirectionSet
from toolkit.errors import UserError, named
from toolkit.files.writing import existing_file
from toolkit.moves import AnyShift, Move
from toolkit.shifts import read_layers
from toolkit.streams import Stream
from toolkit.untrusted.foreign import naming_others
from toolkit.untrusted.text import guarded

_LONGEST_HEADER = 10_000  # bytes, which is numpy's own bound, though only once it has asked for their memory


@dataclass(frozen=True)
class Latents:
    """Points in the space where directions live, and what else an image needs, which no direction changes.

    z (B, D) float32, or (B, L, D) where each of the L layers of a generator has a latent of its own (W+); y (B,) int64,
    the classes of a conditional generator or the numbers of fresh noise, else None; noise (B, N), all noise maps of an
    image in place of those in a generator's weights, else None. A shifted copy keeps y and noise, so an image and its
    twin always show the same ones.
    """

    z: torch.Tensor
    y: torch.Tensor | None = None
    noise: torch.Tensor | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.z)

    def __repr__(self) -> str:
        more = "" if self.y is None else ", with a class or noise each"
        return f"<Latents: {len(self)} of {self.z.shape[-1]} numbers{more}>"

    def __getitem__(self, rows: slice | torch.Tensor) -> Self:
        y, noise = (None if one is None else one[rows] for one in (self.y, self.noise))
        return replace(self, z=self.z[rows], y=y, noise=noise)

    def to(self, device: torch.device) -> Self:
        """Return the same latents on `device`."""
        y, noise = (None if one is None else one.to(device) for one in (self.y, self.noise))
        return replace(self, z=self.z.to(device), y=y, noise=noise)

    def shifted(self, shift: AnyShift) -> Self:
        """Return z + shift with the same classes; shift (B, D) or (D,), or by layer (B, L, D) or (1, L, D).

        Latents of one z for all layers are spread over them by a shift by layer. A move says itself how far (see
        toolkit.moves).
        """
        z, step = self.z, shift.displacement(self.z) if isinstance(shift, Move) else shift
        if step.dim() == 3 and z.dim() == 2:
            z = z[:, None]
        if step.dim() == 2 and z.dim() == 3:
            step = step[:, None]
        return replace(self, z=z + step)

    def layered(self, num_layers: int) -> Self:
        """Return the same latents with one z for each layer, z (B, L, D)."""
        z = self.z if self.z.dim() == 3 else self.z[:, None].expand(-1, num_layers, -1)
        return replace(self, z=z)

    @staticmethod
    def cat(parts: "list[Latents]") -> "Latents":
        """Return the latents of all parts in order, by layer where one of them is."""
        layers = next((part.z.shape[1] for part in parts if part.z.dim() == 3), None)
        if layers is not None:
            parts = [part.layered(layers) for part in parts]
        classes = [part.y for part in parts if part.y is not None]
        noises = [part.noise for part in parts if part.noise is not None]
        z = torch.cat([part.z for part in parts])
        return Latents(
            z, torch.cat(classes) if classes else None, noise=torch.cat(noises) if len(noises) == len(parts) else None
        )


@runtime_checkable
class Generator(Protocol):
    """Images from latents. Any object with these members is one; nothing has to be inherited."""

    name: str
    latent_dim: int
    image_size: int
    """The side of the images in pixels; of those that are not square the longer one (see image_shape)."""

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        """Return `count` latents on the CPU from the stream's next rows."""
        ...

    def __call__(self, latents: Latents) -> torch.Tensor:
        """Return images (B, 3, H, W) in [-1, 1] on the device of the latents, square unless `image_shape` is there."""
        ...

    def to(self, device: torch.device) -> Self:
        """Return the generator on `device`."""
        ...


def image_shape(generator: Generator) -> tuple[int, int]:
    """Return height and width of a generator's images: its `image_shape` where it has one, else a square."""
    height, width = getattr(generator, "image_shape", (generator.image_size, generator.image_size))
    return int(height), int(width)


def in_a_line(generator: Generator) -> str:
    """Return a generator as one line: what `repr` shows of ours."""
    height, width = image_shape(generator)
    side = f"{width} x {height} pixels"
    return f"<{type(generator).__name__} {generator.name}: {generator.latent_dim} latent numbers -> {side}>"


@runtime_checkable
class Inspectable(Protocol):
    """A generator whose inside is known: what SeFa and GANSpace need besides images.

    `network` is the module that renders; `feature_layer` names its submodule (as in `named_modules`) whose output
    GANSpace analyses unless another is named, or is "latents" where the latents are mapped features themselves (W).
    """

    network: nn.Module
    feature_layer: str

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of every linear map that reads the latent directly, float32."""
        ...


@runtime_checkable
class Layered(Protocol):
    """A generator of `num_layers` layers, each of which takes a latent of its own: z (B, num_layers, D), as in W+.

    z (B, D) is one latent for all layers.
    """

    num_layers: int


@runtime_checkable
class Truncated(Protocol):
    """A generator that may draw its latents towards their mean, so that they vary less."""

    def variation(self, layers: torch.Tensor | None) -> float:
        """Return how far the latents vary over how far they would untruncated, at layers (L,) or all (None)."""
        ...


@runtime_checkable
class ReadByLayer(Protocol):
    """A layered generator whose `first_weights` are not one map a layer, but which knows these too."""

    def layer_weights(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of the map of every layer that reads its latent, float32."""
        ...


@runtime_checkable
class KnowsDirections(Protocol):
    """A generator of whose latent space some directions are known without a search."""

    def own_directions(self) -> dict[str, torch.Tensor]:
        """Return the directions (D,) by name; empty where the latents have none."""
        ...


@runtime_checkable
class Noted(Protocol):
    """A generator with something to say about how it was opened: a line for the user each in `notes`."""

    notes: tuple[str, ...]


def layers_of(generator: Generator) -> int | None:
    """Return how many layers of a generator take a latent of their own; None where one latent is for all of it."""
    return generator.num_layers if isinstance(generator, Layered) else None


def layers_named(text: str, generator: Generator, flag: str = "layers") -> torch.Tensor | None:
    """Return which layers (L,) of a generator a text such as `0-3,7` names, None for all of them.

    UserError where it has none; `flag` is the name of what the text was passed as.
    """
    count = layers_of(generator)
    if count is None:
        raise UserError(
            f"{named(flag)} is {text!r}, but {generator.name} takes no latent for each layer, as style-based "
            "generators do; omit it"
        )
    return read_layers(text, count, flag)


def fitting(
    directions: DirectionSet, generator: Generator, layers: str | None = None, index: int | None = None
) -> DirectionSet:
    """Return a set for a generator, its directions, or the one of `index`, moving the layers that are named.

    For None they move those that they did. UserError where the generator has another latent space than the set's, or
    not these layers.
    """
    if layers is not None:
        directions = directions.moving(layers_named(layers, generator), index)
    directions.require_dim(generator.latent_dim, generator.name, layers_of(generator))
    return directions


def render_twins(
    generate: Callable[[Latents], torch.Tensor], latents: Latents, *shifts: AnyShift
) -> tuple[torch.Tensor, ...]:
    """Return images (B, 3, H, W) before, and after adding each of `shifts` (as in Latents.shifted), all in one batch.

    `generate` is a generator, or another way to call one.
    """
    images = generate(Latents.cat([latents, *(latents.shifted(shift) for shift in shifts)]))
    return images.chunk(1 + len(shifts))


@torch.no_grad()
def rendered(
    generator: Generator, latents: Latents, device: torch.device | None = None, most: int | None = None
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield (rows, images of these rows, float32) for all latents, as many at a time as `rows_at_once` says.

    Without gradients; on `device`, to which latents that lie elsewhere are moved as they are needed. `most` is another
    number at a time.
    """
    device = device or latents.z.device
    for rows in even_slices(len(latents), most or rows_at_once(math.prod(image_shape(generator)), device)):
        yield rows, generator(latents[rows].to(device)).float()


def every_shift(latents: Latents, shifts: torch.Tensor | Sequence[AnyShift]) -> Latents:
    """Return M * N latents: all N of `latents` moved by the first of shifts (M, D), (M, 1, L, D), then by the next."""
    return Latents.cat([latents.shifted(shift) for shift in shifts])


def load_latents(path: Path, latent_dim: int, num_layers: int | None = None) -> torch.Tensor:
    """Return the latents (N, D) float32 in a `.npy` file, or by layer (N, L, D), of a generator of `num_layers`.

    UserError when it is missing, no array, of another shape than these, empty or not finite.
    """
    array = _mapped(existing_file(path, "latents file (.npy)"))
    shapes = [(latent_dim,), *([] if num_layers is None else [(num_layers, latent_dim)])]
    if not isinstance(array, np.ndarray) or not array.ndim or array.shape[1:] not in shapes or not len(array):
        shape = getattr(array, "shape", "several arrays")
        needed = " or ".join(f"(N, {', '.join(map(str, one))})" for one in shapes)
        raise UserError(f"{path} has shape {shape}, but latents of shape {needed} are needed")
    real = np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)
    with np.errstate(over="ignore"):
        array = array.astype(np.float32) if real else np.full(1, np.nan)
    if not np.isfinite(array).all():
        raise UserError(f"{path} holds values that are no finite numbers; make it again")
    return torch.from_numpy(array)


def _mapped(path: Path) -> np.ndarray | None:
    """Return the array in a `.npy` file, or None where there are several; UserError for anything else.

    It is mapped, not read: numpy then finds that a header promises more than the file has before memory is asked for.
    """
    with (
        guarded(f"cannot read {path} as a .npy array", "save it with numpy.save"),
        naming_others(path, "a latents file (.npy)"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        with path.open("rb") as handle:
            magic, version, length = handle.read(6), handle.read(2), int.from_bytes(handle.read(4), "little")
        if magic == b"\x93NUMPY" and version[:1] > b"\1" and length > _LONGEST_HEADER:
            raise ValueError(f"its header has {length} bytes")
        if magic[:2] == b"PK":  # several arrays; opened here, since numpy leaves a damaged archive open
            with path.open("rb") as handle, np.load(handle, allow_pickle=False):
                return None
        if magic and magic != b"\x93NUMPY":  # numpy takes it for a pickle, and advises to load that
            raise ValueError("it does not begin as one")
        return np.load(path, mmap_mode="r", allow_pickle=False)
