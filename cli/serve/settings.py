"""The limits of a server."""

from dataclasses import dataclass
from typing import ClassVar

from toolkit.settings import Settings, setting


@dataclass(frozen=True, repr=False)
class ServeSettings(Settings):
    """How much a server takes on, and how long anything may last."""

    kind: ClassVar[str] = "serve"

    most_megabytes: float = setting(20.0, "Largest photo file, in MB", above=0, maximum=2000)
    most_megapixels: float = setting(50.0, "Largest photo, in millions of pixels", above=0, maximum=178)
    queue: int = setting(256, "Photos waiting or under way at most; others are refused with 503", minimum=1)
    together: int = setting(
        16, "Photos that go through the network together at most; 1: each alone, as predict of one", minimum=1
    )
    upload_seconds: float = setting(30.0, "Seconds in which a request has to be there, and its answer taken", above=0)
    work_seconds: float = setting(60.0, "Seconds after which a photo that is not done is given up with 503", above=0)

    @property
    def most_bytes(self) -> int:
        """Return the bytes that a photo's file may have."""
        return int(self.most_megabytes * 1e6)

    @property
    def most_pixels(self) -> int:
        """Return the pixels that a photo may have."""
        return int(self.most_megapixels * 1e6)
