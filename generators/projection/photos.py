"""Photos that a picture needs now: projected where there is no encoder, and remembered for the next command."""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch

from generators.catalogue import code_of
from generators.encoder.embedding import require_fit
from generators.encoder.method import Whose
from generators.encoder.network import load_encoder
from generators.encoder.opening import own_encoder
from generators.projection.canvas import require_projectable, require_space, spaces_of
from generators.projection.method import by_projection
from generators.projection.settings import Projection
from generators.protocol import Generator
from generators.spec import split_spec
from generators.styled import StyledGenerator
from toolkit.compute.engine import Engine
from toolkit.errors import UserError
from toolkit.files.artefacts import load_artefact, save_artefact
from toolkit.files.places import cache_folder
from toolkit.watch import SILENT, Watch

STEPS = 200  # of a photo; of flowers, 200 in W+ leave 8 % more of the pyramid error than 1,000
KIND = "latents of one photo"
_FOLDER = "photos"
_PIXELS = (
    2**16,
    2**20,
)  # of a batch, on a CPU (where 256 px take a core 2 s a step) and elsewhere
_MOST = 16


def is_projected(
    generator: Generator, name: str, encoder: str | None, space: str | None = None
) -> TypeGuard[StyledGenerator]:
    """Return whether photos are projected, rather than estimated by the encoder called `encoder` or by its own.

    That is so for a style-based generator called `name` where a space is named, or no encoder is named or at hand.
    UserError for a space that the generator has not.
    """
    if space is not None:
        require_space(generator, space)
    if not isinstance(generator, StyledGenerator):
        return False
    return space is not None or (encoder is None and not has_encoder(generator, name))


def has_encoder(generator: Generator, name: str) -> bool:
    """Return whether an encoder of the generator called `name` is at hand; one beside it may be of another."""
    path = own_encoder(name)
    if path is None:
        return False
    try:
        require_fit(load_encoder(path), generator)
    except UserError:
        return False
    return True


def batch_of(side: int, device: torch.device) -> int:
    """Return how many photos are projected at a time unless the user says it."""
    return max(1, min(_MOST, _PIXELS[device.type != "cpu"] // side**2))


@dataclass(frozen=True)
class RememberedPhotos:
    """Latents of photos in the cache folder, each by the digest of its pixels and of how it was found.

    `shape` is that of one, (1, D) or (1, L, D).
    """

    made: Mapping[str, Any]
    shape: tuple[int, ...]

    @classmethod
    def of(
        cls, generator: StyledGenerator, record: Mapping[str, str], settings: Projection, engine: Engine
    ) -> "RememberedPhotos | None":
        """Return the memory for a generator that `record` names; None where no digest stands for its weights."""
        if "generator_digest" not in record or code_of(record["generator"]) is not None:
            return None
        digests = {name: value for name, value in record.items() if name.endswith("_digest")}
        options = split_spec(record["generator"])[1]  # by any of its names a file is the same generator
        how = {"generator": generator.name, "options": options, **settings.described(), **engine.identity()}
        layers = (generator.num_layers,) if settings.space == "w+" else ()
        return cls(digests | how, (1, *layers, generator.latent_dim))

    def file_of(self, square: np.ndarray) -> Path:
        """Return where the latent of a photo uint8 (S, S, 3) lies once it was found."""
        how = json.dumps(dict(self.made), sort_keys=True).encode()
        return cache_folder() / _FOLDER / f"{hashlib.sha256(how + square.tobytes()).hexdigest()[:32]}.safetensors"

    def latent(self, square: np.ndarray) -> tuple[torch.Tensor, float] | None:
        """Return the latent (1, ...) of a photo and its error; None where it was not found yet, or cannot be read."""
        path = self.file_of(square)
        if not path.is_file():
            return None
        with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
            tensors, card = load_artefact(path, KIND)
            if tensors["z"].shape == self.shape:
                return tensors["z"].float(), float(card["error"])
        return None

    def keep(self, square: np.ndarray, latent: torch.Tensor, error: float) -> None:
        """Write the latent (1, ...) of a photo; a cache that cannot be written is no fault."""
        with contextlib.suppress(UserError):
            save_artefact(self.file_of(square), KIND, {"z": latent}, {"made": dict(self.made), "error": error})


class PhotoProjector:
    """Embeds photos into the best space of a style-based generator, those known from before at once.

    `record` is what runs record about the generator (generators.recorded). UserError where photos cannot be projected.
    """

    def __init__(
        self,
        generator: StyledGenerator,
        record: Mapping[str, str],
        engine: Engine,
        steps: int = STEPS,
        watch: Watch = SILENT,
    ) -> None:
        self.side = generator.image_size
        self._generator, self._engine, self._watch = generator, engine, watch
        self._settings = Projection(spaces_of(generator)[0], steps)
        require_projectable(generator, self._settings.space)
        self._memory = RememberedPhotos.of(generator, record, self._settings, engine)

    def embed(self, squares: np.ndarray) -> tuple[torch.Tensor, list[float]]:
        """Return latents (N, D) or (N, L, D) on the CPU of photos uint8 (N, S, S, 3), and their images' errors."""
        known = [self._memory.latent(square) if self._memory else None for square in squares]
        wanted = [row for row, found in enumerate(known) if found is None]
        for row, found in zip(wanted, self._projected(squares[wanted]), strict=True):
            known[row] = found
            if self._memory:
                self._memory.keep(squares[row], *found)
        whole = [found for found in known if found is not None]
        return torch.cat([z for z, _ in whole]), [error for _, error in whole]

    def _projected(self, squares: np.ndarray) -> list[tuple[torch.Tensor, float]]:
        if not len(squares):
            return []
        settings = self._settings
        kept = "; it is remembered for the next time" if self._memory else ""
        self._watch.say(
            f"{self._generator.name} has no encoder: each photo's latent in {settings.space} is found in "
            f"{settings.steps} steps{kept}"
        )
        method = by_projection(Whose(self._generator, "", None), self._generator, settings, self._engine)
        latents, errors = method.all_of(squares, batch_of(self.side, self._engine.device), self._watch)
        return list(zip(latents.z.split(1), errors["error"].tolist(), strict=True))
