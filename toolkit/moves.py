"""Shifts that depend on the latents they move: along a curve, or to where the mean lies and on from there.

They stand wherever a shift of fixed numbers does that is scaled, turned round, brought to a device and added to latents
(generators.protocol.Latents.shifted).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch

from toolkit.warps import Warp


class Move(ABC):
    """A shift that depends on the latents, and moves the layers alone where `layers` (L,) is true, None for all."""

    layers: torch.Tensor | None

    @abstractmethod
    def displacement(self, z: torch.Tensor) -> torch.Tensor:
        """Return what is added to latents z (B, D) or (B, L, D): (B, D), or by layer (B, L, D)."""

    @abstractmethod
    def __mul__(self, share: float) -> "Move":
        """Return the move `share` times as far."""

    @abstractmethod
    def tensors(self) -> list[torch.Tensor]:
        """Return the numbers that say which move it is."""

    @property
    @abstractmethod
    def latent_dim(self) -> int:
        """Return how many numbers the latents it moves have."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Return the device it is on, which is that of the latents it moves."""

    @abstractmethod
    def to(self, device: torch.device) -> Self:
        """Return the same move on a device."""

    def __rmul__(self, share: float) -> "Move":
        return self * share

    def __neg__(self) -> "Move":
        return self * -1.0


AnyShift = torch.Tensor | Move  # numbers that are the same for all latents, (D,) or by layer (1, L, D), or a move


def together(shifts: Sequence[AnyShift]) -> AnyShift:
    """Return several shifts as one: their sum, or, where there are moves, one after another."""
    plain = [shift for shift in shifts if isinstance(shift, torch.Tensor)]
    return torch.stack(plain).sum(dim=0) if len(plain) == len(shifts) else _Together(tuple(shifts))


@dataclass(frozen=True)
class _LayeredMove(Move):
    """A move of signed length `alpha`, at the layers alone where `layers` (L,) is true, None for all."""

    alpha: float
    layers: torch.Tensor | None

    @property
    @abstractmethod
    def numbers(self) -> torch.Tensor:
        """Return numbers (..., D) on its device."""

    @property
    def latent_dim(self) -> int:
        """Return how many numbers the latents it moves have."""
        return self.numbers.shape[-1]

    @property
    def device(self) -> torch.device:
        """Return the device it is on, which is that of the latents it moves."""
        return self.numbers.device

    def __mul__(self, share: float) -> Self:
        return replace(self, alpha=self.alpha * share)

    def displacement(self, z: torch.Tensor) -> torch.Tensor:
        """Return what is added to latents z (B, D) or (B, L, D): (B, D), or by layer (B, L, D)."""
        shift = self.everywhere(z)
        if self.layers is None:
            return shift
        return (shift if z.dim() == 3 else shift[:, None]) * self.layers.to(shift)[:, None]

    def tensors(self) -> list[torch.Tensor]:
        """Return the numbers that say which move it is."""
        return [torch.tensor([self.alpha]), *([] if self.layers is None else [self.layers])]

    @abstractmethod
    def everywhere(self, z: torch.Tensor) -> torch.Tensor:
        """Return what would be added to z (..., D) if all layers moved."""


@dataclass(frozen=True)
class Curve(_LayeredMove):
    """A walk along a warp's curve."""

    warp: Warp

    @property
    def numbers(self) -> torch.Tensor:
        """Return numbers (..., D) on its device."""
        return self.warp.centres

    def everywhere(self, z: torch.Tensor) -> torch.Tensor:
        """Return where the curve leads from z (..., D), less z."""
        return self.warp.walked(z, self.alpha) - z

    def tensors(self) -> list[torch.Tensor]:
        """Return the numbers that say which move it is."""
        return [*super().tensors(), self.warp.centres, self.warp.weights, torch.tensor([self.warp.gamma])]

    def to(self, device: torch.device) -> Self:
        """Return the same move on a device."""
        warp = replace(self.warp, centres=self.warp.centres.to(device), weights=self.warp.weights.to(device))
        return replace(self, warp=warp)


@dataclass(frozen=True)
class Centred(_LayeredMove):
    """A way of `alpha` along `unit` (D,) that begins at `centre` along it, wherever the latents lie.

    So GANSpace's centred strips show the same stretch of a component for every latent (Harkonen et al. 2020).
    """

    unit: torch.Tensor
    centre: float

    @property
    def numbers(self) -> torch.Tensor:
        """Return numbers (..., D) on its device."""
        return self.unit

    def everywhere(self, z: torch.Tensor) -> torch.Tensor:
        """Return what brings z (..., D) to `centre` + `alpha` along the unit vector."""
        unit = self.unit.to(z)
        return (self.centre + self.alpha - z @ unit)[..., None] * unit

    def tensors(self) -> list[torch.Tensor]:
        """Return the numbers that say which move it is."""
        return [*super().tensors(), self.unit, torch.tensor([self.centre])]

    def to(self, device: torch.device) -> Self:
        """Return the same move on a device."""
        return replace(self, unit=self.unit.to(device))


@dataclass(frozen=True)
class _Together(Move):
    """Shifts of which each begins where the one before it has led."""

    parts: tuple[AnyShift, ...]
    layers: None = None

    @property
    def latent_dim(self) -> int:
        """Return how many numbers the latents it moves have."""
        first = self.parts[0]
        return first.latent_dim if isinstance(first, Move) else first.shape[-1]

    @property
    def device(self) -> torch.device:
        """Return the device it is on, which is that of the latents it moves."""
        return self.parts[0].device

    def displacement(self, z: torch.Tensor) -> torch.Tensor:
        """Return what is added to latents z (B, D) or (B, L, D): (B, D), or by layer (B, L, D)."""
        end = z
        for part in self.parts:
            step = part.displacement(end) if isinstance(part, Move) else part
            end = (end[:, None] if step.dim() > end.dim() else end) + step
        return end - (z[:, None] if end.dim() > z.dim() else z)

    def __mul__(self, share: float) -> "_Together":
        return _Together(tuple(part * share for part in self.parts))

    def tensors(self) -> list[torch.Tensor]:
        """Return the numbers that say which move it is."""
        return [tensor for part in self.parts for tensor in (part.tensors() if isinstance(part, Move) else [part])]

    def to(self, device: torch.device) -> Self:
        """Return the same move on a device."""
        return replace(self, parts=tuple(part.to(device) for part in self.parts))
