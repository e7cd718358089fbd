"""The user's own folders: what the toolkit remembers of a user lies apart from what can be downloaded again."""

import os
import sys
from pathlib import Path


def settings_folder() -> Path:
    """Return the folder for what the user decided: TOOLKIT_SETTINGS, or this platform's place for such things.

    Unlike the cache it should not be shared: who can write into it decides which code runs (generators.own.trust).
    """
    chosen = os.environ.get("TOOLKIT_SETTINGS")
    if chosen:
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return base / "latent-segmentation-toolkit"
