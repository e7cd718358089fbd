"""Settings of direction discovery. No torch here: the command line reads the defaults from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from discovery.methods.deformator.kinds import DEFORMATORS, RECONSTRUCTORS
from toolkit.errors import UserError, named
from toolkit.settings import Settings, require_parts, setting

ALPHA_DISTRIBUTIONS = ("uniform", "normal")


@dataclass(frozen=True)
class DiscoverySettings(Settings):
    """How directions are discovered; the defaults are those of Voynov & Babenko (ICML 2020)."""

    kind: ClassVar[str] = "discover"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"reconstructor": "resnet", "steps": 100_000, "deformator_rate": 1e-4, "reconstructor_rate": 1e-4},
        # For images of 64 pixels on a CPU: half an hour on one core.
        "quick": {"reconstructor": "lenet", "steps": 6500, "deformator_rate": 1e-3, "reconstructor_rate": 1e-3},
    }

    steps: int = setting(100_000, "training steps, one batch of image pairs each", minimum=1)
    batch: int = setting(32, "image pairs in a batch", minimum=2)
    micro_batch: int | None = setting(
        None,
        "samples at a time, for little memory: gradients of a batch's parts add up, batch norm sees each part by "
        "itself; not set: the whole batch",
        minimum=2,
    )
    directions: int | None = setting(
        None, "how many directions to look for; not set: as many as latent numbers", minimum=2
    )
    deformator: str = setting("ortho", "how a direction's number becomes a latent shift", choices=DEFORMATORS)
    random_init: bool = setting(True, "start the deformator at random instead of near the latent axes")
    reconstructor: str = setting(
        "resnet", "network that estimates which shift lies between two images", choices=RECONSTRUCTORS
    )
    reconstructor_size: int | None = setting(
        None, "side in pixels to which the reconstructor shrinks both images; not set: full size", minimum=32
    )
    max_alpha: float = setting(
        6.0, "largest shift (its deviation if normal), in latent units", above=0, was="shift_scale"
    )
    min_alpha: float = setting(0.5, "smallest shift, in latent units", minimum=0, was="min_shift")
    alpha_distribution: str = setting(
        "uniform", "distribution of the shift", choices=ALPHA_DISTRIBUTIONS, was="shift_distribution"
    )
    deformator_rate: float = setting(1e-4, "Adam learning rate of the deformator", above=0)
    reconstructor_rate: float = setting(1e-4, "Adam learning rate of the reconstructor", above=0)
    label_weight: float = setting(1.0, "weight of the cross entropy of the direction's number", minimum=0)
    shift_weight: float = setting(0.25, "weight of the absolute error of the shift", minimum=0)
    truncation: float | None = setting(None, "cut the latents' distribution at plus and minus this", above=0)
    seed: int = setting(0, "names every random draw", minimum=0)
    log_every: int = setting(10, "steps between logged figures", minimum=1, watches=True)
    chart_every: int = setting(1000, "steps between charts", minimum=1, watches=True)
    checkpoint_every: int = setting(500, "steps between checkpoints", minimum=1, watches=True)
    validation_batches: int = setting(100, "batches over which the accuracy is measured", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_parts(self.batch, self.micro_batch)
        if self.min_alpha >= self.max_alpha and self.alpha_distribution == "uniform":
            raise UserError(
                f"{named('min_alpha')} is {self.min_alpha} and {named('max_alpha')} {self.max_alpha}: every shift "
                f"would be as long; let {named('min_alpha')} be the smaller one"
            )


SHORTER = 0.75  # a shift length over the next longer one that is tried


@dataclass(frozen=True)
class PickSettings(Settings):
    """How directions are ranked."""

    kind: ClassVar[str] = "pick"

    samples: int = setting(48, "latents every direction is judged on", minimum=4)
    max_alpha: float = setting(6.0, "longest shift tried, in units of the latent space", above=0, was="longest")
    num_alphas: int = setting(
        4, "number of shift lengths tried, each three quarters of the one before", minimum=1, was="lengths"
    )
    finalists: int = setting(10, "directions that the operator score is computed for", minimum=1)
    compared_samples: int = setting(
        128, "latents on which the finalists' masks are compared with each other", minimum=4, was="compared"
    )
    min_area: float = setting(0.02, "foreground share below which a mask counts as empty", minimum=0, maximum=1)
    max_area: float | None = setting(
        None,
        "foreground share that masks have to stay below, 1 for no bound; not set: 0.5, more where masks of the best "
        "directions typically need it",
        above=0,
        maximum=1,
    )
    max_border: float | None = setting(
        None,
        "share of the picture's border at which a mask is worth nothing; not set: 0.5, more in the same way",
        above=0,
        maximum=1,
    )
    truncation: float | None = setting(None, "restrict latents to +- this", above=0)
    seed: int = setting(0, "names the latents", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_area is not None and self.max_area <= self.min_area:
            raise UserError(
                f"{named('min_area')} is {self.min_area} and {named('max_area')} {self.max_area}: no mask would pass; "
                f"let {named('min_area')} be the smaller one"
            )

    def alphas(self) -> list[float]:
        """Return the shift lengths in rising order."""
        return [self.max_alpha * SHORTER**i for i in reversed(range(self.num_alphas))]
