"""Settings of the ways to find directions besides the deformator. No torch here: the command line reads them."""

from dataclasses import dataclass
from typing import ClassVar

from discovery.settings import DiscoverySettings
from toolkit.settings import Settings, same_as, setting


@dataclass(frozen=True)
class GanspaceSettings(Settings):
    """Principal components of features, carried back to the latent space (Harkonen et al. 2020, 2004.02546)."""

    kind: ClassVar[str] = "discover ganspace"

    directions: int | None = same_as(DiscoverySettings, "directions")
    layer: str | None = setting(
        None,
        "submodule of the generator whose output is analysed, or latents, or images; not set: the generator's choice",
    )
    samples: int = setting(
        10_000, "latents the components are computed from, and as many for the regression", minimum=8
    )
    batch: int = setting(32, "latents rendered at a time", minimum=2)
    checkpoint_every: int = same_as(DiscoverySettings, "checkpoint_every")
    truncation: float | None = same_as(DiscoverySettings, "truncation")
    seed: int = same_as(DiscoverySettings, "seed")


@dataclass(frozen=True)
class SefaSettings(Settings):
    """Eigenvectors of the first layers' weights (Shen & Zhou 2021, 2007.06600)."""

    kind: ClassVar[str] = "discover sefa"

    directions: int | None = same_as(DiscoverySettings, "directions")
    unit_rows: bool = setting(True, "bring every row of the weights to unit length first, as the authors' code does")
    seed: int = same_as(DiscoverySettings, "seed")


@dataclass(frozen=True)
class ContrastSettings(Settings):
    """One vector towards light and one towards dark, by optimisation (Melas-Kyriazi et al. 2021, 2105.08127)."""

    kind: ClassVar[str] = "discover contrast"

    steps: int = setting(300, "training steps, one batch of images each", minimum=1)
    batch: int = setting(32, "images in a batch", minimum=2)
    alpha: float = setting(5.0, "length of the shift that makes masks, in latent units", above=0, was="length")
    mean_alpha: float = setting(2.0, "mean length of the shifts in training", above=0, was="radius")
    alpha_spread: float = setting(0.5, "standard deviation of that length", minimum=0, was="radius_spread")
    rate: float = setting(5e-3, "Adam learning rate of the vectors", above=0)
    edge_weight: float = setting(10.0, "weight of the squared change of the Sobel edges", minimum=0)
    radial_weight: float = setting(2.0, "weight of the brightness that grows outward", minimum=0)
    truncation: float | None = same_as(DiscoverySettings, "truncation")
    seed: int = same_as(DiscoverySettings, "seed")
    log_every: int = same_as(DiscoverySettings, "log_every")
    checkpoint_every: int = same_as(DiscoverySettings, "checkpoint_every")


@dataclass(frozen=True)
class CoordinateSettings(Settings):
    """The latent axes themselves: a control."""

    kind: ClassVar[str] = "discover coordinates"

    directions: int | None = same_as(DiscoverySettings, "directions")
    seed: int = same_as(DiscoverySettings, "seed")


@dataclass(frozen=True)
class RandomSettings(Settings):
    """Random orthonormal vectors: a control."""

    kind: ClassVar[str] = "discover random"

    directions: int | None = same_as(DiscoverySettings, "directions")
    seed: int = same_as(DiscoverySettings, "seed")


@dataclass(frozen=True)
class PoseSettings(Settings):
    """Directions that a generator knows by itself, such as the turn and the shift of StyleGAN3's images."""

    kind: ClassVar[str] = "discover pose"
