"""Settings of writing synthetic pairs. No torch here: the command line reads the defaults from it."""

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar

from segmentation.unet.settings import SegmentationSettings
from toolkit.settings import Settings, same_as, setting


@dataclass(frozen=True)
class SynthesizeSettings(Settings):
    """How many synthetic pairs are written and how they lie on disk; what makes them is as in SegmentationSettings."""

    kind: ClassVar[str] = "synthesize"

    samples: int = setting(10_000, "pairs of image and mask to write", minimum=1, maximum=1_000_000_000, was="count")
    layout: str = setting(
        "folder",
        "how the pairs lie on disk (numbered files in images/ and masks/; WebDataset tar files; the same, made by as "
        "many commands at once, on any machines, as are given one folder)",
        choices=("folder", "shards", "shared"),
    )
    shard_size: int = setting(1000, "pairs in each tar file of the layouts shards and shared", minimum=1)
    batch: int = setting(32, "latents rendered at a time", minimum=1)
    mask_rule: str | None = same_as(SegmentationSettings, "mask_rule")
    connected_components: bool = same_as(SegmentationSettings, "connected_components")
    component_ratio: float = same_as(SegmentationSettings, "component_ratio")
    area_filter: bool = same_as(SegmentationSettings, "area_filter")
    max_area: float | None = same_as(SegmentationSettings, "max_area")
    min_area: float = same_as(SegmentationSettings, "min_area")
    histogram_filter: bool = same_as(SegmentationSettings, "histogram_filter")
    z_noise: float = same_as(SegmentationSettings, "z_noise")
    noise_kind: str = same_as(SegmentationSettings, "noise_kind")
    truncation: float | None = same_as(SegmentationSettings, "truncation")
    max_attempts: int = same_as(SegmentationSettings, "max_attempts")
    seed: int = same_as(SegmentationSettings, "seed")
    checkpoint_every: int = setting(20, "batches between checkpoints", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.masking()  # refuses what segmentation refuses

    @property
    def steps(self) -> int:
        """Return the number of batches that hold `samples` pairs."""
        return math.ceil(self.samples / self.batch)

    def masking(self) -> SegmentationSettings:
        """Return the same as settings of segmentation, as far as they decide on images and masks."""
        shared = {field.name for field in dataclasses.fields(SegmentationSettings)} - {"batch", "checkpoint_every"}
        return SegmentationSettings(**{name: value for name, value in self.as_dict().items() if name in shared})
