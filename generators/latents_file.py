"""Files of photos' latents: the published `.npy` layout, a record beside it, and the state of unfinished work."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generators.protocol import Generator, Latents
from toolkit.errors import UserError
from toolkit.files.artefacts import load_artefact, save_artefact
from toolkit.files.writing import read_json, replacing, write_json

KIND = "latents of photos"
_UNFINISHED = "unfinished latents of photos"


@dataclass
class EmbeddedPhotos:
    """Latents estimated so far, in the order of the photos, with the photos' names and what their images missed.

    `errors` holds, by name, the pyramid error of each photo's reconstruction; `noise` the noise maps where these were
    found along with the latents.
    """

    z: list[torch.Tensor] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    errors: dict[str, list[float]] = field(default_factory=dict)
    noise: list[torch.Tensor] = field(default_factory=list)

    @property
    def consumed(self) -> int:
        """Return how many photos were looked at."""
        return len(self.files) + len(self.left_out)

    def extend(
        self, files: list[str], z: torch.Tensor, errors: dict[str, torch.Tensor], noise: torch.Tensor | None = None
    ) -> None:
        """Append the latents (B, D), or (B, L, D) by layer, of these photos, their errors (B,) and noise (B, N)."""
        self.files += files
        self.z.append(z.cpu())
        self.noise += [] if noise is None else [noise.cpu()]
        for name, values in errors.items():
            self.errors.setdefault(name, []).extend(values.tolist())

    def append(self, others: "EmbeddedPhotos") -> None:
        """Append other photos' latents, names and errors."""
        self.files += others.files
        self.left_out += others.left_out
        self.z += others.z
        self.noise += others.noise
        for name, values in others.errors.items():
            self.errors.setdefault(name, []).extend(values)

    def table(self) -> torch.Tensor:
        """Return the latents (N, D), or (N, L, D) by layer."""
        return torch.cat(self.z)

    def latents(self, rows: torch.Tensor) -> Latents:
        """Return the latents of some rows, with their noise."""
        return Latents(self.table(), noise=torch.cat(self.noise) if self.noise else None)[rows]

    def figures(self) -> dict[str, float]:
        """Return the mean of each error."""
        return {name: float(np.mean(values)) for name, values in self.errors.items()}

    def save(self, path: Path, made: dict[str, Any]) -> None:
        """Write what there is so far and how it was made."""
        card = {"made": made, "files": self.files, "left_out": self.left_out, "errors": self.errors}
        tensors = {name: torch.cat(parts) for name, parts in (("z", self.z), ("noise", self.noise)) if parts}
        save_artefact(path, _UNFINISHED, tensors, card)


def load_unfinished(path: Path) -> tuple[EmbeddedPhotos, dict[str, Any]]:
    """Return what `EmbeddedPhotos.save` wrote and how it was made; UserError for any other file."""
    tensors, card = load_artefact(path, _UNFINISHED)
    try:
        noise = [tensors.pop("noise")] if "noise" in tensors else []
        photos = EmbeddedPhotos(list(tensors.values()), card["files"], card["left_out"], card["errors"], noise)
        _require_whole(photos, card["made"])
    except KeyError as error:
        raise UserError(f"{path} holds no {error}; delete it to start again") from error
    except TypeError as error:
        raise UserError(f"{path} cannot be resumed: {error}; delete it to start again") from error
    return photos, card["made"]


def _require_whole(photos: EmbeddedPhotos, made: Any) -> None:
    """Raise TypeError unless what a file says is of the types and lengths that are written."""
    count = len(photos.files) if isinstance(photos.files, list) else -1
    names = [*photos.files, *photos.left_out] if count >= 0 and isinstance(photos.left_out, list) else [None]
    shapes = [part.dim() in (2, 3) and part.is_floating_point() and len(part) == count for part in photos.z]
    columns = photos.errors.values() if isinstance(photos.errors, dict) else [None]
    figures = [isinstance(c, list) and len(c) == count and all(isinstance(v, int | float) for v in c) for c in columns]
    wrong = {
        "photos' names": not all(isinstance(name, str) for name in names),
        "latents": shapes != ([True] if count else []),
        "errors": not all(figures),
        "noise": any(part.dim() != 2 or len(part) != count for part in photos.noise),
        "record": not isinstance(made, dict),
    }
    for what in (what for what, is_wrong in wrong.items() if is_wrong):
        raise TypeError(f"its {what} cannot be read")


def record_of(path: Path) -> Path:
    """Return where the record of the latents in `path` lies."""
    return Path(path).with_suffix(".json")


def noise_of(path: Path) -> Path:
    """Return where the noise (N, ...) lies that was found along with the latents in `path`."""
    return Path(path).with_suffix(".noise.npy")


def save_latents(path: Path, photos: EmbeddedPhotos, made: dict[str, Any]) -> None:
    """Write latents float32 (N, D), or (N, L, D) by layer, as a `.npy` file, and beside it which photo a row is of."""
    rows = {"files": photos.files, "errors": photos.errors, "left_out": photos.left_out}
    # The record first: latents without one pass for somebody else's, which are never written over.
    write_json(record_of(path), {"kind": KIND, "made": made, "figures": photos.figures(), **rows})
    if photos.noise:
        _save_array(noise_of(path), torch.cat(photos.noise))
    _save_array(path, photos.table())


def _save_array(path: Path, values: torch.Tensor) -> None:
    with replacing(path) as temporary, temporary.open("wb") as handle:  # given a name, numpy would add an ending
        np.save(handle, values.numpy().astype(np.float32))


def read_record(path: Path) -> dict[str, Any] | None:
    """Return how the latents in `path` were made; None for files without a record, as the published ones are."""
    if not record_of(path).is_file():
        return None
    record = read_json(record_of(path))
    if not isinstance(record, dict) or record.get("kind") != KIND:
        return None
    if not isinstance(record.get("made"), dict):
        raise UserError(f"{record_of(path)} does not say how the latents were made; embed the photos again")
    return record["made"]


def require_made_for(path: Path, generator: Generator) -> dict[str, Any]:
    """Return how the latents in `path` were made, as far as is known.

    UserError when the record beside them names another generator, or another length, than those of `generator`.
    """
    made = read_record(path)
    if made is None:
        return {}
    if (made.get("generator"), made.get("latent_dim")) != (generator.name, generator.latent_dim):
        raise UserError(
            f"{path} holds latents of {made.get('generator')} with {made.get('latent_dim')} numbers, but those of "
            f"{generator.name} with {generator.latent_dim} are needed; embed the photos with this generator"
        )
    return made
