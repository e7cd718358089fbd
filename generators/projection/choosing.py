"""Which method embeds photos: an encoder, or projection where a style-based generator has none or a space is named."""

from dataclasses import dataclass
from pathlib import Path

import torch

from generators.encoder.embedding import Embedder, Refinement, require_fit, trained_on_another
from generators.encoder.method import Method, Whose, by_encoder
from generators.encoder.network import load_encoder
from generators.encoder.opening import encoder_file
from generators.projection.canvas import spaces_of
from generators.projection.method import by_projection
from generators.projection.photos import batch_of, has_encoder, is_projected
from generators.projection.settings import Projection
from toolkit.compute.engine import Engine
from toolkit.errors import UserError, named
from toolkit.files.writing import sha256_of
from toolkit.hub.fetching import pinned
from toolkit.watch import SILENT, Watch

_BATCH = 32  # photos that an encoder sees at a time


@dataclass(frozen=True)
class Asked:
    """What the user says of embedding; what is None is the method's to choose.

    `encoder` by name, or the folder of a published `module`; `sample` its estimate rather than take the mean; `steps`
    towards the photo, of length `rate`; `optimise_noise` along with the latents.
    """

    space: str | None = None
    encoder: str | None = None
    module: Path | None = None
    sample: bool = False
    steps: int | None = None
    rate: float | None = None
    seed: int = 0
    optimise_noise: bool = False


def method_for(whose: Whose, asked: Asked, engine: Engine, watch: Watch = SILENT) -> tuple[Method, int]:
    """Return the method that embeds photos as asked, and how many it takes at a time.

    UserError for what does not go together, and where there is no encoder, or one of another generator.
    """
    chosen = {name: getattr(asked, name) for name in ("steps", "rate") if getattr(asked, name) is not None}
    generator = None if asked.module else whose.generator
    if generator is not None and is_projected(generator, whose.name, asked.encoder, asked.space):
        if asked.sample:
            raise UserError(
                f"{named('sample')} draws what an encoder estimates, but latents are found by steps; omit it"
            )
        settings = Projection(
            asked.space or spaces_of(generator)[0], optimise_noise=asked.optimise_noise, seed=asked.seed, **chosen
        )
        has_start = asked.encoder is not None or has_encoder(generator, whose.name)
        encoder, source = _open_encoder(whose, asked, engine.device, watch) if has_start else (None, {})
        method = by_projection(whose, generator, settings, engine, encoder, source)
        return method, batch_of(generator.image_size, engine.device)
    if asked.optimise_noise:
        raise UserError(f"{named('optimise_noise')} goes with a {named('space')} of a style-based generator; give both")
    if asked.space not in (None, "z"):
        raise UserError(f"{named('space')} is {asked.space}, but an encoder's latents are z; omit it")
    embedder, source = _open_encoder(whose, asked, engine.device, watch)
    return by_encoder(whose, embedder, source, asked.sample, Refinement(**chosen), asked.seed, engine), _BATCH


def _open_encoder(whose: Whose, asked: Asked, device: torch.device, watch: Watch) -> tuple[Embedder, dict[str, str]]:
    """Return what estimates latents, and how a record names it."""
    embedder: Embedder
    if asked.module is not None:
        from generators.tensorflow.encoder import load_tfhub_encoder  # which takes an extra

        embedder, name, path = load_tfhub_encoder(asked.module), str(asked.module), asked.module / "saved_model.pb"
    else:
        path = encoder_file(asked.encoder, whose.name)
        embedder, name = load_encoder(path).to(device), pinned(asked.encoder or whose.name, "encoders")
    if whose.generator is not None:
        require_fit(embedder, whose.generator)
        if trained_on_another(embedder, whose.digest):
            watch.say(
                f"note: the encoder was trained on another file of {whose.generator.name}; if that was another "
                "training, so is this"
            )
    return embedder, {"encoder": name, "encoder_digest": sha256_of(path)[:16]}
