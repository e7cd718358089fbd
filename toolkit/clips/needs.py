"""PyAV, FFmpeg's libraries for Python, which clips need: the one place that imports it."""

from typing import Any

from toolkit.errors import UserError

NEEDS = "the video extra: pip install 'latent-segmentation-toolkit[video]'"


def pyav() -> Any:
    """Return the module `av`; UserError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise UserError(f"clips need {NEEDS}") from error
    return av
