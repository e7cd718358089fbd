"""Settings of comparing direction sets. No torch here: the command line reads the defaults from it."""

from dataclasses import dataclass
from typing import ClassVar

from discovery.settings import DiscoverySettings
from toolkit.settings import Settings, same_as, setting


@dataclass(frozen=True)
class CompareSettings(Settings):
    """How direction sets are compared: a reconstructor is trained anew on each, all in the same way.

    The defaults take minutes on one core; the papers' are those of DiscoverySettings.
    """

    kind: ClassVar[str] = "compare"

    steps: int = setting(2000, "training steps of each reconstructor, one batch of image pairs each", minimum=1)
    batch: int = same_as(DiscoverySettings, "batch")
    directions: int | None = setting(
        None, "how many directions of each set are compared; not set: as many as the smallest has", minimum=2
    )
    reconstructor: str = same_as(DiscoverySettings, "reconstructor", "lenet")
    reconstructor_size: int | None = same_as(DiscoverySettings, "reconstructor_size")
    reconstructor_rate: float = same_as(DiscoverySettings, "reconstructor_rate", 1e-3)
    max_alpha: float = setting(6.0, "largest shift, in latent units", above=0, was="shift_scale")
    min_alpha: float = same_as(DiscoverySettings, "min_alpha")
    truncation: float | None = same_as(DiscoverySettings, "truncation")
    seed: int = same_as(DiscoverySettings, "seed")
    log_every: int = same_as(DiscoverySettings, "log_every")
    checkpoint_every: int = same_as(DiscoverySettings, "checkpoint_every")
    validation_batches: int = same_as(DiscoverySettings, "validation_batches")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.training()  # refuses what discovery refuses

    def training(self) -> DiscoverySettings:
        """Return the same as settings of discovery, of a deformator that learns nothing."""
        return DiscoverySettings(**self.as_dict(), deformator="random")
