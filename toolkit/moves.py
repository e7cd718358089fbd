"""Shifts that depend on the latents they move: along a curve, or to where the mean lies and on from there.

They stand wherever a shift of fixed numbers does that is scaled, turned round, brought to a device and added to latents
(generators.protocol.Latents.shifted).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch

from toolkit.warps import Warp


class Move(ABC):
    """A shift that depends on the latents."""

    @abstractmethod
    def displacement(self, z: torch.Tensor) -> torch.Tensor:
        """Return what is added to latents z (B, D) or (B, L, D): (B, D), or by layer (B, L, D)."""

    @abstractmethod
    def __mul__(self, share: float) -> "Move":
        """Return the move `share` times as far."""

    @abstractmethod
    def tensors(self) -> list[torch.Tensor]:
        """Return the numbers that say which move it is."""

    @abstractmethod
    def to(self, device: torch.device) -> Self:
        """Return the same move on a device."""

    def __rmul__(self, share: float) -> "Move":
        return self * share

    def __neg__(self) -> "Move":
        return self * -1.0


@dataclass(frozen=True)
class _LayeredMove(Move):
    """A move of signed length `alpha`, at the layers alone where `layers` (L,) is true, None for all."""

    alpha: float
    layers: torch.Tensor | None

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
