"""Settings of comparing direction sets. No torch here: the command line reads the defaults from it."""

from dataclasses import dataclass
from typing import ClassVar

from discovery.settings import RECONSTRUCTOR_NAMES, DiscoverySettings
from toolkit.settings import Settings, setting


@dataclass(frozen=True)
class CompareSettings(Settings):
    """How direction sets are compared: a reconstructor is trained anew on each, all in the same way.

    The defaults take minutes on one core; the papers' are those of DiscoverySettings.
    """

    kind: ClassVar[str] = "compare"

    steps: int = setting(2000, "training steps of each reconstructor, one batch of image pairs each", minimum=1)
    batch: int = setting(32, "image pairs in a batch", minimum=2)
    directions: int | None = setting(
        None, "how many directions of each set are compared; not set: as many as the smallest has", minimum=2
    )
    reconstructor: str = setting(
        "lenet", "network that tells which shift lies between two images", choices=RECONSTRUCTOR_NAMES
    )
    reconstructor_size: int | None = setting(
        None, "side in pixels to which the reconstructor shrinks both images; not set: full size", minimum=32
    )
    reconstructor_rate: float = setting(1e-3, "Adam learning rate of the reconstructor", above=0)
    shift_scale: float = setting(6.0, "largest shift, in latent units", above=0)
    min_shift: float = setting(0.5, "smallest shift, in latent units", minimum=0)
    truncation: float | None = setting(None, "cut the latents' distribution at plus and minus this", above=0)
    seed: int = setting(0, "names every random draw", minimum=0)
    log_every: int = setting(10, "steps between logged figures", minimum=1)
    checkpoint_every: int = setting(500, "steps between checkpoints", minimum=1)
    validation_batches: int = setting(100, "batches over which the accuracy is measured", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.training()  # refuses what discovery refuses

    def training(self) -> DiscoverySettings:
        """Return the same as settings of discovery, of a deformator that learns nothing."""
        return DiscoverySettings(**self.as_dict(), deformator="random")
