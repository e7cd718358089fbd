"""Settings of a clip's prediction."""

from dataclasses import dataclass
from typing import ClassVar

from segmentation.predict.kinds import KINDS
from toolkit.settings import Settings, setting

CLIP_KINDS = {kind: KINDS[kind] for kind in ("mask", "soft", "overlay", "cutout", "composite")}


@dataclass(frozen=True)
class VideoSettings(Settings):
    """How a clip is predicted, smoothed over time, and encoded."""

    kind: ClassVar[str] = "video"

    threshold: float = setting(0.5, "probability from which a pixel is foreground", minimum=0, maximum=1)
    smoothing: float = setting(
        0.08,
        "seconds after which a frame counts 1/e as much in the masks of those that follow; 0 looks at each by itself",
        minimum=0,
        maximum=10,
    )
    cut: float = setting(
        0.13,
        "mean change of a frame's colours, 1 from black to white, from which it begins a scene that no earlier frame "
        "counts in",
        above=0,
        maximum=1,
    )
    quality: int = setting(
        18, "constant rate factor of H.264 and, shifted, of VP9: less is better, and larger", minimum=0, maximum=51
    )
    segment_frames: int = setting(250, "frames a segment, which a stop may lose at most", minimum=1, maximum=100_000)
