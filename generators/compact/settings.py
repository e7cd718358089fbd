"""Settings of generator training. No torch here: the command line reads the defaults from it."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from toolkit.errors import UserError, named
from toolkit.settings import Settings, setting

_OF_BIGBIGAN = ("encoder_size", "encoder_width", "encoder_rate", "joint_width", "latent_weight", "latent_share")
GROUP = 8  # samples whose spread the critic sees together


@dataclass(frozen=True)
class GeneratorSettings(Settings):
    """How a generator is trained on a folder of photos."""

    kind: ClassVar[str] = "train-generator"

    objective: str = setting(
        "gan", "what is trained: a generator, or a generator and its encoder", choices=("gan", "bigbigan")
    )
    steps: int = setting(30_000, "training steps, one batch of photos each", minimum=1)
    batch: int = setting(32, "photos in a batch", minimum=8)
    image_size: int = setting(64, "picture side in pixels: 32, 64 or 128", minimum=8)
    latent_dim: int = setting(64, "length of the latent vector", minimum=1)
    width: int = setting(64, "channels of the generator's last stage", minimum=4)
    critic_width: int = setting(64, "channels of the discriminator's first stage", minimum=4)
    generator_rate: float = setting(2e-4, "Adam learning rate of the generator", above=0)
    critic_rate: float = setting(4e-4, "Adam learning rate of the discriminator", above=0)
    encoder_width: int = setting(32, "bigbigan: channels of the encoder's first stage", minimum=4)
    encoder_size: int | None = setting(
        None,
        f"bigbigan: side in pixels of the photos the encoder sees, if not {named('image_size')}: twice or four times "
        "it",
    )
    encoder_rate: float = setting(1e-3, "bigbigan: Adam learning rate of the encoder", above=0)
    joint_width: int = setting(256, "bigbigan: units of the discriminator's layers for latents and pairs", minimum=4)
    # Of 1 and 32 the second gave, in half as many steps on 5,700 photos, a better encoder: latent R^2 0.20 after 250
    # steps against 0.15 after 500, photos' reconstruction error 0.28 against 0.42 (the photos' mean scores 0.36).
    latent_weight: float = setting(
        32.0, "bigbigan: weight of the likelihood, under the encoder, of a latent number of samples", minimum=0
    )
    latent_share: float = setting(
        0.0, "bigbigan: share of that term's gradient that reaches the generator", minimum=0, maximum=1
    )
    decay_share: float = setting(
        0.3,
        "share of the steps, at the end, over which both rates fall linearly to a tenth",
        minimum=0,
        maximum=1,
        was="rate_decay",
    )
    ema_images: float = setting(10_000, "half-life of the weight average, in images", above=0)
    augment: bool = setting(True, "differentiable augmentation: colour, translation, cutout")
    mirror: bool = setting(True, "show half of the photos mirrored")
    seed: int = setting(0, "names every random draw", minimum=0)
    log_every: int = setting(50, "steps between logged figures", minimum=1, watches=True)
    grid_every: int = setting(1000, "steps between sample grids", minimum=1, watches=True)
    quality_every: int = setting(1000, "steps between quality figures", minimum=1, watches=True)
    checkpoint_every: int = setting(500, "steps between checkpoints", minimum=1, watches=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        size, seen = self.image_size, self.photo_size
        if size not in (32, 64, 128):
            raise UserError(f"{named('image_size')} is {size}; choose 32, 64 or 128")
        if self.batch % GROUP:
            raise UserError(f"{named('batch')} is {self.batch}, but has to be a multiple of {GROUP}")
        if seen not in (size, 2 * size, 4 * size):
            raise UserError(
                f"{named('encoder_size')} is {seen}, but has to be {size}, {2 * size} or {4 * size}: once, twice or "
                f"four times {named('image_size')}"
            )
        if self.objective != "bigbigan":
            self._require_unset(*_OF_BIGBIGAN)

    def _require_unset(self, *names: str) -> None:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in names:
            if getattr(self, name) != defaults[name]:
                raise UserError(f"{named(name)} goes with {named('objective', 'bigbigan')}; omit it")

    @property
    def photo_size(self) -> int:
        """Return the side in pixels at which photos are read."""
        return self.encoder_size or self.image_size
