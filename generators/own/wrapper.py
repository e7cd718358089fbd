"""A generator of one's own: any network from latents to images, wrapped as the toolkit expects it."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import nn

from generators.protocol import Latents, in_a_line
from toolkit.errors import UserError
from toolkit.streams import Stream

LATENT_KINDS = ("normal", "uniform")
_MOST = 1_000_000  # classes, latent numbers or pixels a side: a card may say anything
_FULL = (-1.0, 1.0)


class OwnGenerator:
    """Any network that renders latents z (B, D), as a generator (see generators.protocol).

    `network(z)`, or `network(z, y)` with classes y (B,) int64 where `num_classes` is given, returns images
    (B, 3, S, S), or grey (B, 1, S, S), with values in `value_range`: (-1, 1) unless given. `image_size` is S, or height
    and width of images that are not square. A torch module is put into
    evaluation mode and frozen; gradients have to reach z. `latents` says what z was drawn from in training: "normal",
    N(0, I), or "uniform", U(-1, 1). `classes` are those that samples are drawn from (empty: all).

    `first_layers` names the submodules that read z itself and are linear in it: they make the generator Inspectable.
    `feature_layer` names the submodule GANSpace analyses, the first of these unless given.

    UserError for a value that cannot be.
    """

    def __new__(cls, *_args: Any, first_layers: Sequence[str] = (), **_options: Any) -> "OwnGenerator":
        """Return an Inspectable generator where the first layers are named: others must not have `first_weights`."""
        if first_layers and not issubclass(cls, InspectableOwnGenerator):
            if cls is not OwnGenerator:
                raise UserError(f"{cls.__name__} names first_layers; let it inherit from InspectableOwnGenerator")
            return super().__new__(InspectableOwnGenerator)
        return super().__new__(cls)

    def __init__(
        self,
        network: Callable[..., torch.Tensor],
        *,
        latent_dim: int,
        image_size: int | tuple[int, int],
        name: str = "own",
        num_classes: int | None = None,
        classes: Sequence[int] = (),
        value_range: Sequence[float] | None = None,
        latents: str = "normal",
        first_layers: Sequence[str] = (),
        feature_layer: str | None = None,
    ) -> None:
        _require(isinstance(name, str) and bool(name), "name", name, "a text that is not empty")
        shape = _shape(image_size)
        for key, value in {"latent_dim": latent_dim, "num_classes": num_classes}.items():
            known = value is not None or key == "num_classes"
            _require(known and (value is None or _is_count(value)), key, value, f"a whole number from 1 to {_MOST}")
        _require(latents in LATENT_KINDS, "latents", latents, f"one of {', '.join(LATENT_KINDS)}")
        _require(value_range is None or _is_range(value_range), "value_range", value_range, "two rising numbers")
        allowed = range(num_classes or 0)
        whole = f"from 0 to {len(allowed) - 1}" if allowed else "empty without num_classes"
        _require(all(index in allowed for index in classes), "classes", list(classes), whole)
        _require(feature_layer is None or bool(first_layers), "feature_layer", feature_layer, "given with first_layers")
        self.network = network.eval() if isinstance(network, nn.Module) else network
        for weight in network.parameters() if isinstance(network, nn.Module) else ():
            weight.requires_grad_(False)  # one by one: TorchScript modules refuse to do it for all
        self.name = name
        self.latent_dim = latent_dim
        self.image_shape = shape
        self.image_size = max(shape)
        self.num_classes = num_classes or 0
        self.classes = tuple(classes) or tuple(allowed)
        self.states_range = value_range is not None
        self.value_range = _FULL if value_range is None else (float(value_range[0]), float(value_range[1]))
        self.latents = latents
        self.first_layers = tuple(first_layers)
        self.feature_layer = feature_layer or next(iter(first_layers), "")
        for layer in self.first_layers:
            _matrix(_layer(network, layer), layer, latent_dim)
        if self.feature_layer:
            _layer(network, self.feature_layer)

    def __repr__(self) -> str:
        return in_a_line(self)

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        """Return `count` latents, restricted to +-`truncation` if given, with drawn classes if there are any."""
        picks = rng.beside("class")
        draw = rng.normal if self.latents == "normal" else functools.partial(draw_uniform, rng)
        z = draw(count, self.latent_dim, truncation)
        if not self.classes:
            return Latents(z)
        return Latents(z, torch.tensor(self.classes)[picks.integers(count, len(self.classes))])

    def __call__(self, latents: Latents) -> torch.Tensor:
        """Return images (B, 3, S, S) float32 in [-1, 1]; gradients reach the latents.

        UserError for latents without classes where there are some, and for a network that returns no tensor.
        """
        if self.classes and latents.y is None:
            raise UserError(f"these latents have no classes, but {self.name} needs one a latent; draw them with sample")
        images = self.network(latents.z, latents.y) if self.classes else self.network(latents.z)
        if not isinstance(images, torch.Tensor):
            raise UserError(f"the network of {self.name} returns {type(images).__name__}; let it return images alone")
        images = images.float()
        if self.value_range != _FULL:
            low, high = self.value_range
            images = (images - low) * (2 / (high - low)) - 1
        return images.repeat(1, 3, 1, 1) if images.dim() == 4 and images.shape[1] == 1 else images

    def to(self, device: torch.device) -> Self:
        """Return the generator on `device`; a network that is no torch module stays, for it alone knows its tensors."""
        if isinstance(self.network, nn.Module):
            self.network.to(device)
        return self


class InspectableOwnGenerator(OwnGenerator):
    """One whose first layers are known (see generators.protocol.Inspectable)."""

    network: nn.Module

    def first_weights(self) -> list[torch.Tensor]:
        """Return the matrix (M_i, D) float32 by which every first layer reads the latent."""
        return [_matrix(_layer(self.network, name), name, self.latent_dim) for name in self.first_layers]


def draw_uniform(rng: Stream, count: int, width: int, truncation: float | None) -> torch.Tensor:
    """Return latents (count, width) float32 from U(-1, 1), or from +-`truncation`; UserError for one not above 0."""
    if truncation is not None and not truncation > 0:
        raise UserError(f"truncation is {truncation}, but has to be above 0; omit it for none")
    reach = 1.0 if truncation is None else min(1.0, truncation)
    return (reach * (2 * rng.uniform(count, width) - 1)).float()


def _layer(network: Callable[..., torch.Tensor], name: str) -> nn.Module:
    layers = dict(network.named_modules()) if isinstance(network, nn.Module) else {}
    shown = [layer for layer in layers if layer][:24]
    _require(bool(name) and name in layers, "a layer", name, f"one of {', '.join(shown)}" if shown else "in a module")
    return layers[name]


@torch.no_grad()
def _matrix(layer: nn.Module, name: str, latent_dim: int) -> torch.Tensor:
    """Return the layer as a matrix (M, D) on latents.

    Read off its answers: its weights would leave out what it scales them by, and how it pads. UserError for a layer
    that does not take the whole latent, or is not linear in it.
    """
    axes = torch.eye(latent_dim, device=next((weight.device for weight in layer.parameters()), None))
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        axes = axes[:, :, None, None]
    try:
        none, once, twice = (layer(factor * axes).flatten(1).T for factor in (0, 1, 2))
    except Exception as error:  # whatever a layer of someone else's raises at an input that it does not take
        raise UserError(
            f"first layer {name} does not take latents of {latent_dim} numbers ({type(error).__name__}); name layers "
            "that read all of them"
        ) from error
    matrix = once - none
    if not torch.allclose(twice - none, 2 * matrix, rtol=1e-3, atol=1e-4 * float(matrix.abs().max())):
        raise UserError(f"first layer {name} is not linear; name the linear maps that read the latent")
    return matrix.float().contiguous()


def _shape(image_size: Any) -> tuple[int, int]:
    """Return height and width of images of `image_size`: one side of a square, or both; UserError for anything else."""
    sides = tuple(image_size) if isinstance(image_size, Sequence) else (image_size, image_size)
    fits = len(sides) == 2 and all(_is_count(side) for side in sides)
    _require(fits, "image_size", image_size, f"a whole number from 1 to {_MOST}, or height and width")
    return sides


def _is_count(value: object) -> bool:
    return type(value) is int and 1 <= value <= _MOST


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, Sequence) and all(isinstance(v, int | float) and math.isfinite(v) for v in value)
    return numbers and len(value) == 2 and value[0] < value[1]


def _require(condition: bool, key: str, value: object, expected: str) -> None:
    if not condition:
        raise UserError(f"{key} of an own generator is {value!r}, but has to be {expected}")
