"""The user's own folders: what the toolkit remembers of a user lies apart from what can be downloaded again."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platformdirs import PlatformDirs

NAME = "latent-segmentation-toolkit"
# On Windows bare folders of that name: in the local one for downloads, in the roaming one for what was decided.
CONVENTIONS: dict[str, Any] = {"appname": NAME, "appauthor": False, "opinion": False, "roaming": True}


def cache_folder() -> Path:
    """Return the folder for downloads: TOOLKIT_CACHE, or this platform's place for what can be downloaded again."""
    return _chosen("TOOLKIT_CACHE") or _kept(_folders().user_cache_path, "Caches")


def settings_folder() -> Path:
    """Return the folder for what the user decided: TOOLKIT_SETTINGS, or this platform's place for such things.

    Unlike the cache it should not be shared: who can write into it decides which code runs (generators.own.trust).
    """
    return _chosen("TOOLKIT_SETTINGS") or _kept(_folders().user_config_path, "Application Support")


def _chosen(variable: str) -> Path | None:
    folder = os.environ.get(variable)
    return Path(folder).expanduser() if folder else None


def _folders() -> "PlatformDirs":
    from platformdirs import PlatformDirs

    return PlatformDirs(**CONVENTIONS)


def _kept(folder: Path, on_macos: str) -> Path:
    """Return `folder`, or where it lay before XDG's variables were heeded on macOS, if it lies there still."""
    before = Path.home() / "Library" / on_macos / NAME
    return before if sys.platform == "darwin" and before.is_dir() and not folder.is_dir() else folder
