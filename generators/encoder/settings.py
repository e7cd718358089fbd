"""Settings of encoder training. No torch here: the command line reads the defaults from it."""

from dataclasses import dataclass
from typing import ClassVar

from toolkit.errors import UserError, named
from toolkit.settings import Settings, setting


@dataclass(frozen=True)
class EncoderSettings(Settings):
    """How an encoder is trained on a generator's samples, and on photos where there are any."""

    kind: ClassVar[str] = "train-encoder"

    steps: int = setting(2000, "training steps, one batch of fresh samples each", minimum=1)
    batch: int = setting(64, "fresh samples in a batch", minimum=2)
    photo_batch: int = setting(16, "photos beside them in a batch", minimum=2)
    image_size: int = setting(
        128, "largest picture side the encoder sees, in pixels; smaller generators keep theirs", minimum=8
    )
    width: int = setting(64, "channels of the encoder's first stage", minimum=1)
    rate: float = setting(2e-3, "Adam learning rate at its peak", above=0)
    warm_up: float = setting(0.05, "share of the steps over which the rate rises to its peak", above=0, maximum=0.5)
    photo_weight: float = setting(0.5, "weight of the photos' reconstruction error", minimum=0)
    prior_weight: float = setting(
        0.1, "weight of the divergence of the photos' latents from the generator's own", minimum=0
    )
    disturbed: float = setting(
        0.0,
        "share of the samples shown disturbed (colour, place, hole, blur, noise); 0.5 helps where there are no photos",
        minimum=0,
        maximum=1,
    )
    mirror: bool = setting(True, "show half of the photos mirrored")
    held_out: int = setting(256, "most photos kept out of training to measure on; at most a tenth is taken", minimum=1)
    seed: int = setting(0, "names every random draw", minimum=0)
    log_every: int = setting(20, "steps between logged figures", minimum=1, watches=True)
    validate_every: int = setting(
        250, "steps between validations, each with a picture of pairs", minimum=1, watches=True
    )
    checkpoint_every: int = setting(250, "steps between checkpoints", minimum=1, watches=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        lower = 2 ** (self.image_size.bit_length() - 1)
        if self.image_size != lower:
            raise UserError(
                f"{named('image_size')} is {self.image_size}, but has to be a power of two; give {lower} or {2 * lower}"
            )
