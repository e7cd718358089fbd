"""Settings of writing synthetic pairs. No torch here: the command line reads the defaults from it."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from segmentation.settings import SegmentationSettings
from toolkit.settings import Settings, setting

_SEGMENTATION = {field.name: field for field in dataclasses.fields(SegmentationSettings)}


def _as_in_segmentation(name: str) -> Any:
    """Return a field with the default, help and range that `name` has there."""
    return dataclasses.field(default=_SEGMENTATION[name].default, metadata=_SEGMENTATION[name].metadata)


@dataclass(frozen=True)
class SynthesizeSettings(Settings):
    """How many synthetic pairs are written and how they lie on disk; what makes them is as in SegmentationSettings."""

    kind: ClassVar[str] = "synthesize"

    count: int = setting(10_000, "pairs of image and mask to write", minimum=1, maximum=1_000_000_000)
    layout: str = setting(
        "folder",
        "how the pairs lie on disk (numbered files in images/ and masks/; WebDataset tar files)",
        choices=("folder", "shards"),
    )
    shard_size: int = setting(1000, "pairs in each tar file of the layout shards", minimum=1)
    batch: int = setting(32, "latents rendered at a time", minimum=1)
    mask_rule: str = _as_in_segmentation("mask_rule")
    connected_components: bool = _as_in_segmentation("connected_components")
    component_ratio: float = _as_in_segmentation("component_ratio")
    area_filter: bool = _as_in_segmentation("area_filter")
    max_area: float = _as_in_segmentation("max_area")
    min_area: float = _as_in_segmentation("min_area")
    histogram_filter: bool = _as_in_segmentation("histogram_filter")
    z_noise: float = _as_in_segmentation("z_noise")
    noise_kind: str = _as_in_segmentation("noise_kind")
    truncation: float | None = _as_in_segmentation("truncation")
    max_attempts: int = _as_in_segmentation("max_attempts")
    seed: int = _as_in_segmentation("seed")
    checkpoint_every: int = setting(20, "batches between checkpoints", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.masking()  # refuses what segmentation refuses

    @property
    def steps(self) -> int:
        """Return the number of batches that hold `count` pairs."""
        return math.ceil(self.count / self.batch)

    def masking(self) -> SegmentationSettings:
        """Return the same as settings of segmentation, as far as they decide on images and masks."""
        own = ("batch", "checkpoint_every")
        shared = {name: value for name, value in self.as_dict().items() if name in _SEGMENTATION and name not in own}
        return SegmentationSettings(**shared)
