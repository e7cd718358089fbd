"""Latents that somebody chose instead of drawing them: rows of a file, or photos."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generators.encoder.embedding import Refinement, embed_images, require_fit
from generators.encoder.network import load_encoder
from generators.encoder.opening import encoder_file
from generators.latents_file import noise_of, require_made_for
from generators.projection.photos import PhotoProjector, is_projected
from generators.protocol import Generator, Latents, layers_of, load_latents
from generators.styled import StyledGenerator
from toolkit.compute.engine import Engine
from toolkit.errors import UserError
from toolkit.files.shipped import or_published
from toolkit.pictures.pixels import from_bytes
from toolkit.streams import Stream
from toolkit.watch import SILENT, Watch

_ROWS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_MOST_ROWS = 100_000


def split_rows(text: str) -> tuple[str, list[int] | None]:
    """Return the file's name and the rows in `FILE:0,3-5`, which is 0, 3, 4 and 5; None where there are none.

    UserError for rows that run backwards or are none, or too many.
    """
    name, colon, rows = text.rpartition(":")
    if not colon or Path(text).exists():
        return text, None
    if not _ROWS.fullmatch(rows):
        if Path(name).is_file():
            raise UserError(f"{rows!r} behind {name} names no rows; write them as in {name}:0,3-5")
        return text, None
    numbers: list[int] = []
    for part in rows.split(","):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if high - low >= _MOST_ROWS:
            raise UserError(f"rows {part} of {name} are {high - low + 1}, but have to be {_MOST_ROWS} or fewer")
        if high < low:
            raise UserError(f"rows {part} of {name} run from {low} to {high}; write the smaller one first, as in 3-5")
        numbers += range(low, high + 1)
    return name, numbers


def latents_in_file(text: str, generator: Generator, rng: Stream) -> Latents:
    """Return the latents in a `.npy` file or a published one, or those of its rows where `text` is `FILE:ROWS`.

    Where the generator has classes, `rng` draws them. UserError for a file of another generator and for a row that
    there is not.
    """
    name, rows = split_rows(text)
    path = or_published(Path(name), "embeddings")
    made = require_made_for(path, generator)
    z = load_latents(path, generator.latent_dim, layers_of(generator))
    if rows is not None and max(rows) >= len(z):
        raise UserError(f"{path} has no row {max(rows)}; its rows are 0 to {len(z) - 1}")
    found = Latents(z, noise=_found_noise(path, made, generator, len(z)))
    chosen = found if rows is None else found[torch.tensor(rows)]
    return replace(with_classes(chosen.z, generator, rng), noise=chosen.noise)


def _found_noise(path: Path, made: Mapping[str, Any], generator: Generator, count: int) -> torch.Tensor | None:
    """Return the noise (N, ...) that was found along with the latents in a file, None where there is none."""
    if not made.get("optimise_noise") or not isinstance(generator, StyledGenerator):
        return None
    noise = load_latents(noise_of(path), generator.noise_size)
    if len(noise) != count:
        raise UserError(f"{noise_of(path)} has noise of {len(noise)} photos, but {path} has {count}; embed them again")
    return noise


def latents_of_photos(
    squares: Callable[[int], np.ndarray],
    generator: Generator,
    record: Mapping[str, str],
    encoder: str | None,
    engine: Engine,
    rng: Stream,
    watch: Watch = SILENT,
) -> Latents:
    """Return the latents of photos, of which `squares` gives the centres, uint8 (N, S, S, 3), for a side S.

    They are (N, D), by the encoder called `encoder` or the generator's own; without one, those of a style-based
    generator are found by projection, by layer (N, L, D) in W+. `record` names the generator (generators.recorded).
    UserError where there is no encoder else, and for one that does not fit.
    """
    if is_projected(generator, record["generator"], encoder):
        projector = PhotoProjector(generator, record, engine, watch=watch)
        return with_classes(projector.embed(squares(projector.side))[0], generator, rng)
    embedder = load_encoder(encoder_file(encoder, record["generator"])).to(engine.device)
    require_fit(embedder, generator)
    images = from_bytes(squares(embedder.image_size)).to(engine.device)
    with engine.autocast():
        z, _ = embed_images(images, embedder, None, False, Refinement(), rng)
    return with_classes(z.cpu(), generator, rng)


def with_classes(z: torch.Tensor, generator: Generator, rng: Stream) -> Latents:
    """Return latents z (N, D) or (N, L, D) with classes from `rng` where the generator has some."""
    drawn = generator.sample(1, Stream(rng.seed, rng.name))
    return Latents(z, None if drawn.y is None else generator.sample(len(z), rng).y)
