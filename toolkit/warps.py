"""Curved walks: functions of the latent space whose gradients say, at every point, where a walk goes on."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from toolkit.errors import UserError

STEP = 0.2  # latent units of each straight piece of a walk, as the authors' own walks have


@dataclass(frozen=True)
class Warp:
    """One function f(z) = sum of weights[i] exp(-gamma |z - centres[i]|^2), of which a walk follows the gradient.

    `centres` (N, D) and `weights` (N,) are on one device.
    """

    centres: torch.Tensor
    weights: torch.Tensor
    gamma: float

    def way(self, z: torch.Tensor) -> torch.Tensor:
        """Return the unit gradient (..., D) of f at z (..., D); 0 where f is flat."""
        distances = torch.cdist(z[None].flatten(0, -2), self.centres, compute_mode="donot_use_mm_for_euclid_dist")
        exponents = -self.gamma * distances.square()
        # The length is lost anyway: without the largest exponent nothing far from all centres becomes 0 / 0.
        pulls = self.weights * (exponents - exponents.amax(dim=1, keepdim=True)).exp()
        gradient = pulls @ self.centres - pulls.sum(dim=1, keepdim=True) * z.reshape(len(pulls), -1)
        return F.normalize(gradient, dim=1).reshape(z.shape)

    @torch.no_grad()
    def walked(self, z: torch.Tensor, alpha: float) -> torch.Tensor:
        """Return z (..., D) after a walk of signed length `alpha`: whole steps, and what is left of the last one.

        So the ends of shorter walks lie on the longer ones.
        """
        centres = Warp(self.centres.to(z), self.weights.to(z), self.gamma)
        sign, left = (1.0 if alpha > 0 else -1.0), abs(alpha)
        while left > 0:
            length = min(STEP, left)
            z = z + sign * length * centres.way(z)
            left = left - length if left - length > 1e-6 * STEP else 0.0
        return z


@dataclass(frozen=True)
class Warps:
    """K functions (see Warp): centres (K, N, D), weights (K, N), gammas (K,) above 0, float32 on the CPU.

    Tzelepis, Tzimiropoulos and Patras, "WarpedGANSpace: Finding non-linear RBF paths in GAN latent space" (ICCV 2021,
    2109.13357), equation 2. UserError for tensors that do not fit one another.
    """

    centres: torch.Tensor
    weights: torch.Tensor
    gammas: torch.Tensor

    def __post_init__(self) -> None:
        shapes = [list(each.shape) for each in (self.centres, self.weights, self.gammas)]
        count = shapes[0][:1]
        fit = self.centres.dim() == 3 and shapes[1:] == [shapes[0][:2], count] and self.centres.numel() > 0
        if not fit or not all(bool(torch.isfinite(each).all()) for each in (self.centres, self.weights, self.gammas)):
            raise UserError(
                f"warps have centres {shapes[0]}, weights {shapes[1]} and gammas {shapes[2]}; finite ones (K, N, D), "
                "(K, N) and (K,) are needed"
            )
        if not bool((self.gammas > 0).all()):
            raise UserError("a warp has a gamma that is not above 0; gammas say how narrow its functions are")

    def __len__(self) -> int:
        return len(self.centres)

    def __getitem__(self, index: int) -> Warp:
        return Warp(self.centres[index], self.weights[index], float(self.gammas[index]))

    def taken(self, rows: list[int]) -> "Warps":
        """Return the functions of these numbers."""
        return Warps(self.centres[rows], self.weights[rows], self.gammas[rows])

    def ways(self, z: torch.Tensor) -> torch.Tensor:
        """Return the unit gradients (K, D) of all functions at one point z (D,)."""
        return torch.stack([self[index].way(z[None])[0] for index in range(len(self))])

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what a file holds of the warps, by name."""
        return {"warps.centres": self.centres, "warps.weights": self.weights, "warps.gammas": self.gammas}

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor]) -> "Warps | None":
        """Return the warps in a file's tensors, None where there are none; KeyError for a part that is missing."""
        if not any(name.startswith("warps.") for name in tensors):
            return None
        centres, weights, gammas = (tensors[f"warps.{part}"] for part in ("centres", "weights", "gammas"))
        return cls(centres, weights, gammas)
