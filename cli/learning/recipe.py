"""What each stage's own settings are, and how many steps make sense for so many photos. No torch here.

The stages keep their own defaults and quick presets: what is learnt here is what their commands make.
"""

from dataclasses import dataclass, replace
from typing import Any

from cli.learning.settings import LearnSettings
from discovery.methods.table import METHODS
from discovery.settings import DiscoverySettings, PickSettings
from generators.compact.settings import GeneratorSettings
from segmentation.self_training.settings import SelfTrainingSettings
from segmentation.unet.settings import SegmentationSettings
from toolkit.settings import Settings

# Of 5,708 flowers shown 100 times each (18,500 steps) the generator still improved, slowly. Few photos are shown more
# often, until the critic knows them by heart; many are seen once at least.
_MOST_EPOCHS, _LEAST_GENERATOR_STEPS, _MOST_GENERATOR_STEPS = 1500, 500, 60_000
_LEAST_DEFORMATOR_STEPS = 1500  # fewer give directions no better than random ones
_PHOTOS_A_STEP = 20  # photos of which masks are made, a step of self-training: it sees a batch of some of them
GENERATOR, DEFORMATOR, SELF_TRAINING = "generator", "deformator", "self-training"


@dataclass(frozen=True)
class Bounds:
    """The fewest and the most steps that make sense."""

    least: int
    most: int


def generator_bounds(photos: int, batch: int) -> Bounds:
    """Return how many steps of `batch` a generator may be trained on so many photos."""
    most = min(_MOST_GENERATOR_STEPS, max(4 * _LEAST_GENERATOR_STEPS, _MOST_EPOCHS * photos // batch))
    return Bounds(min(most, max(_LEAST_GENERATOR_STEPS, photos // batch)), most)


def deformator_bounds() -> Bounds:
    """Return how many steps the papers' method is given, if any."""
    return Bounds(_LEAST_DEFORMATOR_STEPS, DiscoverySettings.preset("quick").steps)


def photos_taught_on(photos: int, settings: SelfTrainingSettings) -> int:
    """Return how many of the photos self-training makes masks of: more than it would ever see cost and gain nothing."""
    return min(photos, max(1000, _PHOTOS_A_STEP * settings.steps))


def generator_settings(settings: LearnSettings, steps: int) -> GeneratorSettings:
    """Return the settings of the generator's training."""
    small: dict[str, Any] = {"batch": 8, "width": 8, "critic_width": 8, "latent_dim": 16, "checkpoint_every": 2}
    return GeneratorSettings(
        steps=steps,
        image_size=settings.image_size,
        seed=settings.seed,
        **({"log_every": 1, **small} if settings.smoke else {}),
    )


def method_settings(settings: LearnSettings, method: str, steps: int | None = None) -> Settings:
    """Return the settings of a method of discovery; `steps` are those of one that has a number of them."""
    cls = METHODS[method].settings
    small: dict[str, Any] = {}
    if settings.smoke:
        small = {"directions": 8, "batch": 4, "samples": 32, "validation_batches": 2, "log_every": 1, "steps": 4}
        small["checkpoint_every"] = 2
    known = set(cls.__dataclass_fields__)
    given = {**small, **({} if steps is None else {"steps": steps}), "seed": settings.seed}
    return cls.of(None, "quick", {name: value for name, value in given.items() if name in known})


def pick_settings(settings: LearnSettings) -> PickSettings:
    """Return the settings of picking."""
    chosen = PickSettings(seed=settings.seed)
    if not settings.smoke:
        return chosen
    return replace(chosen, samples=8, num_alphas=1, finalists=2, compared_samples=4)


def segmentation_settings(settings: LearnSettings) -> SegmentationSettings:
    """Return the settings of the training on synthetic pairs."""
    chosen = SegmentationSettings.preset("quick", seed=settings.seed)
    if not settings.smoke:
        return chosen
    small: dict[str, Any] = {"steps": 4, "batch": 8, "width": 4, "validation_samples": 8, "log_every": 1}
    return replace(chosen, **small, area_filter=False, histogram_filter=False, checkpoint_every=2)


def self_training_settings(settings: LearnSettings) -> SelfTrainingSettings:
    """Return the settings of self-training."""
    chosen = SelfTrainingSettings(seed=settings.seed)
    if not settings.smoke:
        return chosen
    every_mask: dict[str, Any] = {"agreement": 0.0, "min_area": 0.0, "max_area": 1.0}
    return replace(chosen, **every_mask, rounds=1, steps=4, batch=8, width=4, checkpoint_every=2, log_every=1)
