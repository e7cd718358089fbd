"""Deformators: scaled one-hot rows (direction, length) -> latent shifts (Voynov & Babenko 2020, section 3).

One small class a kind. All take rows (B, K), map them to (B, out_dim), and fit that to the latent length D:
columns beyond D fall away, missing ones are zero, as in the published files.
"""

import torch
import torch.nn.functional as F
from torch import nn

from discovery.methods.deformator.kinds import DEFORMATORS
from toolkit.errors import UserError, named


def fitted(rows: torch.Tensor, width: int) -> torch.Tensor:
    """Return rows (B, W) cut, or padded with zeros, to (B, width)."""
    return F.pad(rows, (0, width - rows.shape[1]))


class Deformator(nn.Module):
    """Shifts (B, K), or one row (K,), in the space of direction numbers -> shifts (B, D) in latent space.

    `out_dim` is the map's own output length, D unless a published file says otherwise. `random_init` starts
    linear, proj and ortho maps at random instead of near the identity; the others have one way to start.
    """

    def __init__(
        self, num_directions: int, latent_dim: int, out_dim: int | None = None, random_init: bool = False
    ) -> None:
        super().__init__()
        self.num_directions = num_directions
        self.latent_dim = latent_dim
        self.out_dim = out_dim or latent_dim

    def forward(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return latent shifts (B, D) for shifts (B, K) or (K,)."""
        return fitted(self.deformed(shifts.reshape(-1, self.num_directions)), self.latent_dim)

    def deformed(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return (B, out_dim) for shifts (B, K)."""
        raise NotImplementedError

    @torch.no_grad()
    def walks(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the latent shifts (K, L, D) of every direction at shifts (L,), in evaluation mode."""
        reference = next((t for t in (*self.parameters(), *self.buffers())), lengths)
        lengths = lengths.to(reference)
        units = torch.eye(self.num_directions, device=lengths.device)
        was_training = self.training
        self.eval()
        shifts = self((units[:, None] * lengths[:, None]).flatten(0, 1))
        self.train(was_training)
        return shifts.unflatten(0, (self.num_directions, -1))

    def directions(self, scale: float = 1.0) -> torch.Tensor:
        """Return (K, D): latent shift per unit of shift along each direction, in evaluation mode.

        It is the secant between -scale and +scale. For a matrix this is its column whatever the scale, and a
        bias drops out; for curved maps (fc, proj with a bias) take the scale used in training.
        """
        forward, backward = self.walks(torch.tensor([scale, -scale])).unbind(dim=1)
        return (forward - backward) / (2 * scale)


class FcDeformator(Deformator):
    """Perceptron of three hidden layers with growing skips, added to its input (padded to out_dim)."""

    def __init__(
        self,
        num_directions: int,
        latent_dim: int,
        out_dim: int | None = None,
        random_init: bool = False,
        hidden: int = 1024,
    ) -> None:
        super().__init__(num_directions, latent_dim, out_dim)
        self.fc1, self.bn1 = nn.Linear(num_directions, hidden), nn.BatchNorm1d(hidden)
        self.fc2, self.bn2 = nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden)
        self.fc3, self.bn3 = nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden)
        self.fc4 = nn.Linear(hidden, self.out_dim)

    def deformed(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return (B, out_dim) for shifts (B, K)."""
        first = self.fc1(shifts)
        second = self.fc2(F.elu(self.bn1(first))) + first
        third = self.fc3(F.elu(self.bn2(second))) + second
        return self.fc4(F.elu(self.bn3(third))) + fitted(shifts, self.out_dim)


class LinearDeformator(Deformator):
    """W x + b; W starts at the identity or at 0.1 N(0, 1), b at torch's default, hence not at zero."""

    def __init__(
        self,
        num_directions: int,
        latent_dim: int,
        out_dim: int | None = None,
        random_init: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(num_directions, latent_dim, out_dim)
        self.linear = nn.Linear(num_directions, self.out_dim, bias=bias)
        with torch.no_grad():
            if random_init:
                self.linear.weight.normal_(0, 0.1)
            else:
                nn.init.eye_(self.linear.weight)

    def deformed(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return (B, out_dim) for shifts (B, K)."""
        return self.linear(shifts)


class ProjDeformator(LinearDeformator):
    """W x + b, rescaled to the length of x."""

    def deformed(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return (B, out_dim) for shifts (B, K); a zero row stays zero."""
        images = self.linear(shifts)
        lengths = images.norm(dim=1, keepdim=True).clamp_min(1e-30)
        return images * (shifts.norm(dim=1, keepdim=True) / lengths)


class OrthoDeformator(Deformator):
    """The first K columns of the orthogonal matrix exp(P - P^T), P (out_dim, out_dim) being what is learnt.

    With out_dim = D (the default) K < D directions are orthonormal vectors of the whole latent space. The
    original knows only out_dim = K, a K x K matrix whose images are padded with zeros up to D; use that for
    published files.
    """

    def __init__(
        self, num_directions: int, latent_dim: int, out_dim: int | None = None, random_init: bool = False
    ) -> None:
        super().__init__(num_directions, latent_dim, out_dim)
        if num_directions > self.out_dim:
            raise UserError(
                f"{num_directions} orthogonal directions do not fit {self.out_dim} latent numbers; "
                f"give {named('directions', self.out_dim)} or fewer, or another {named('deformator')}"
            )
        self.log_mat_half = nn.Parameter((1.0 if random_init else 0.001) * torch.randn(self.out_dim, self.out_dim))

    def matrix(self) -> torch.Tensor:
        """Return exp(P - P^T), (out_dim, out_dim).

        It is computed at every call. Nothing shows that P has changed since a kept one: torch's fused optimisers write
        into P without raising its version counter (torch 2.15).
        """
        return torch.linalg.matrix_exp(self.log_mat_half - self.log_mat_half.T)

    def deformed(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return (B, out_dim) for shifts (B, K)."""
        return shifts @ self.matrix()[:, : self.num_directions].T


class IdDeformator(Deformator):
    """The latent axes themselves."""

    def __init__(
        self, num_directions: int, latent_dim: int, out_dim: int | None = None, random_init: bool = False
    ) -> None:
        super().__init__(num_directions, latent_dim, out_dim)
        if num_directions > latent_dim:
            raise UserError(
                f"{num_directions} directions are more than the {latent_dim} latent axes; "
                f"give {named('directions', latent_dim)} or fewer, or another {named('deformator')}"
            )

    def deformed(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return the shifts (B, K)."""
        return shifts


class RandomDeformator(Deformator):
    """A fixed random orthogonal map, kept in the state dict (the original loses it on saving)."""

    linear: torch.Tensor

    def __init__(
        self, num_directions: int, latent_dim: int, out_dim: int | None = None, random_init: bool = False
    ) -> None:
        super().__init__(num_directions, latent_dim, out_dim)
        self.register_buffer("linear", nn.init.orthogonal_(torch.empty(self.out_dim, num_directions)))

    def deformed(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return (B, out_dim) for shifts (B, K)."""
        return shifts @ self.linear.T


class FixedDeformator(Deformator):
    """Directions that are there already: a comparison trains a reconstructor on them and nothing else.

    `units` (K, D), or by layer (K, 1, L, D), are the shifts of length 1 along them.
    """

    vectors: torch.Tensor

    def __init__(self, units: torch.Tensor) -> None:
        super().__init__(len(units), units[0].numel())
        self.shape = units.squeeze(1).shape[1:]
        self.register_buffer("vectors", units.flatten(1))

    def forward(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return latent shifts (B, D), or (B, L, D), for shifts (B, K) or (K,)."""
        return super().forward(shifts).unflatten(1, self.shape)

    def deformed(self, shifts: torch.Tensor) -> torch.Tensor:
        """Return (B, out_dim) for shifts (B, K)."""
        return shifts @ self.vectors


def make_deformator(
    name: str,
    num_directions: int,
    latent_dim: int,
    *,
    random_init: bool = False,
    seed: int = 0,
    out_dim: int | None = None,
) -> Deformator:
    """Return a new deformator of a kind in DEFORMATORS, weights drawn from `seed`; UserError if it cannot be.

    `out_dim` is the map's own output length where a published file was trained with one (see Deformator).
    """
    if name not in DEFORMATORS:
        raise UserError(f"deformator {name!r} is unknown; choose one of {', '.join(DEFORMATORS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DEFORMATORS[name](num_directions, latent_dim, out_dim, random_init)
