"""Principal components of a stream of features, in memory that does not grow with it."""

from typing import Any

import torch


class IncrementalPCA:
    """The leading principal components of all rows seen so far (Ross et al., IJCV 2008, section 3.1).

    `rank` components are kept. With `scaled` = S V^T of what was seen, those of old and new rows together follow from
    the singular values of [scaled; centred new rows; the shift of the mean], of which only the small Gram matrix is
    decomposed. What lies outside the kept components is forgotten at every update.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.count = 0
        self.mean = torch.zeros(0)
        self.scaled = torch.zeros(0, 0)
        self._squares = 0.0

    def update(self, rows: torch.Tensor) -> None:
        """Take in rows (B, F)."""
        rows = rows.detach().double()
        seen, new = self.count, len(rows)
        mean = rows.mean(dim=0)
        centred = rows - mean
        if seen:
            moved = (self.mean - mean) * (seen * new / (seen + new)) ** 0.5
            centred = torch.cat([centred, moved[None]])
            stacked = torch.cat([self.scaled, centred])
            self.mean = (seen * self.mean + new * mean) / (seen + new)
        else:
            stacked, self.mean = centred, mean
        self._squares += float(centred.square().sum())
        _, vectors = torch.linalg.eigh(stacked @ stacked.T)  # rising eigenvalues
        rank = min(self.rank, stacked.shape[1])
        self.scaled = vectors.flip(1)[:, :rank].T @ stacked  # U^T A = S V^T
        self.count = seen + new

    def components(self) -> torch.Tensor:
        """Return the components (K, F) as unit rows, the strongest first."""
        return torch.nn.functional.normalize(self.scaled, dim=1)

    def deviations(self) -> torch.Tensor:
        """Return the standard deviation (K,) along every component."""
        return self.scaled.norm(dim=1) / max(1, self.count - 1) ** 0.5

    def shares(self) -> torch.Tensor:
        """Return the share (K,) of the rows' whole variance that every component explains."""
        return self.scaled.square().sum(dim=1) / max(self._squares, 1e-300)

    def state_dict(self) -> dict[str, Any]:
        """Return what was gathered."""
        return {"count": self.count, "mean": self.mean, "scaled": self.scaled, "squares": self._squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.count, self.mean, self.scaled = state["count"], state["mean"], state["scaled"]
        self._squares = state["squares"]


class Regression:
    """Least squares with an intercept, gathered batch by batch: targets (B, D) from inputs (B, K)."""

    def __init__(self) -> None:
        self._products = torch.zeros(0, 0)
        self._targets = torch.zeros(0, 0)
        self._squares = torch.zeros(0, 0)

    def update(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Take in inputs (B, K) and targets (B, D)."""
        inputs = torch.cat([inputs.double(), torch.ones_like(inputs[:, :1]).double()], dim=1)
        targets = targets.double()
        gathered = inputs.T @ inputs, inputs.T @ targets, targets.T @ targets
        if len(self._products):
            gathered = self._products + gathered[0], self._targets + gathered[1], self._squares + gathered[2]
        self._products, self._targets, self._squares = gathered

    def slopes(self) -> torch.Tensor:
        """Return (K, D): the change of the targets per unit of each input."""
        return torch.linalg.lstsq(self._products, self._targets, driver="gelsd").solution[:-1]

    def mean(self) -> torch.Tensor:
        """Return the mean target (D,)."""
        return self._targets[-1] / self._products[-1, -1]

    def deviations(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the standard deviation (M,) of the targets along unit vectors (M, D)."""
        vectors, count = vectors.double(), self._products[-1, -1]
        squares = ((vectors @ self._squares) * vectors).sum(dim=1)
        return ((squares / count - (vectors @ self.mean()).square()) * count / (count - 1)).clamp_min(0).sqrt()

    def state_dict(self) -> dict[str, Any]:
        """Return what was gathered."""
        return {"products": self._products, "targets": self._targets, "squares": self._squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._products, self._targets, self._squares = state["products"], state["targets"], state["squares"]
