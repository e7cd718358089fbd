"""Settings of segmentation training. No torch here: the command line reads the defaults from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from toolkit.errors import UserError, named
from toolkit.masks.rules import DEFAULT_RULE, MASK_RULES, MEANINGS
from toolkit.settings import Settings, require_parts, setting

_MAX_AREA = 0.5


@dataclass(frozen=True)
class SegmentationSettings(Settings):
    """How masks are made from pairs of generated images, and how a U-Net is trained on them."""

    kind: ClassVar[str] = "segment"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "width": 64,
            "batch": 95,
            "steps": 12_000,
            "rate": 1e-3,
            "decay_every": 8000,
            "min_area": 0.0,
            "augment": False,
            "validation_samples": 1000,
            "validate_every": 500,
        },
        # For images of 64 pixels on a CPU: four minutes on one core, where the papers' steps take half a day.
        "quick": {
            "width": 32,
            "batch": 32,
            "steps": 300,
            "rate": 2e-3,
            "decay_every": 200,
            "min_area": 0.03,
            "augment": True,
            "validation_samples": 96,
            "validate_every": 300,
        },
    }

    steps: int = setting(12_000, "training steps, one batch of synthetic pairs each", minimum=1)
    batch: int = setting(95, "synthetic pairs in a batch", minimum=2)
    micro_batch: int | None = setting(
        None,
        "samples at a time, for little memory: gradients of a batch's parts add up, batch norm sees each part by "
        "itself; not set: the whole batch",
        minimum=2,
    )
    rate: float = setting(1e-3, "Adam learning rate at the start", above=0)
    rate_decay: float = setting(
        0.2, f"factor on the learning rate every {named('decay_every')} steps", above=0, maximum=1
    )
    decay_every: int = setting(8000, "steps between two drops of the learning rate", minimum=1)
    width: int = setting(64, "channels of the U-Net's first stage", minimum=1)
    mask_rule: str | None = setting(
        None,
        f"how images become a mask ({MEANINGS}); not set: as recorded with the direction, else {DEFAULT_RULE}",
        choices=MASK_RULES,
    )
    connected_components: bool = setting(True, "drop components that are small beside a mask's largest one")
    component_ratio: float = setting(
        0.2,
        "area, as a share of the largest component's, above which a component stays",
        minimum=0,
        maximum=0.99,
    )
    area_filter: bool = setting(True, "drop samples whose foreground is too large or too small")
    max_area: float | None = setting(
        None,
        "foreground share of the image below which a sample is kept, 1 or more for no bound; not set: as recorded with "
        f"the direction, else {_MAX_AREA}",
        above=0,
    )
    min_area: float = setting(
        0.0,
        "foreground share of the image from which a sample is kept; 0 keeps empty masks",
        minimum=0,
        maximum=1,
    )
    histogram_filter: bool = setting(True, "drop samples whose shifted image has fewer than two histogram peaks")
    z_noise: float = setting(0.0, "standard deviation of the noise on embeddings", minimum=0)
    noise_kind: str = setting(
        "added",
        "how that noise joins them (z + s n; sqrt(1 - s^2) z + s n, which keeps their variance)",
        choices=("added", "preserving"),
    )
    truncation: float | None = setting(None, "bound on the numbers of random latents; not set for none", above=0)
    augment: bool = setting(False, "mirror, crop and recolour the synthetic pairs")
    max_attempts: int = setting(
        100, f"renderings of {named('batch')} latents after which an unfilled batch is given up", minimum=1
    )
    seed: int = setting(0, "names every random draw", minimum=0)
    log_every: int = setting(10, "steps between logged figures", minimum=1, watches=True)
    validate_every: int = setting(500, "steps between validations on held-out synthetic pairs", minimum=1, watches=True)
    validation_samples: int = setting(
        1000, "synthetic pairs held out for validation; 0 for none", minimum=0, was="validation_count"
    )
    checkpoint_every: int = setting(500, "steps between checkpoints", minimum=1, watches=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_parts(self.batch, self.micro_batch)
        if self.noise_kind == "preserving" and self.z_noise > 1:
            raise UserError(f"{named('z_noise')} is {self.z_noise}, but noise that preserves the variance is at most 1")
        if self.area_filter and self.min_area >= self.area_bound:
            raise UserError(
                f"{named('min_area')} is {self.min_area} and {named('max_area')} {self.area_bound}: no mask can pass; "
                f"let {named('min_area')} be the smaller one"
            )

    @property
    def area_bound(self) -> float:
        """Return the foreground share below which a sample is kept: the papers' where none is set."""
        return _MAX_AREA if self.max_area is None else self.max_area
