"""What the cache of the hub's library holds, told without the hub."""

from pathlib import Path

from toolkit.hub.reference import ENDING, PREFIX

_START, _BETWEEN = "models--", "--"  # of the name of a repository's folder: models--owner--name


def cached_references() -> list[str]:
    """Return what names each repository in the cache that holds a file an artefact could be; none without the library.

    >>> isinstance(cached_references(), list)
    True
    """
    try:
        from huggingface_hub import constants
    except ImportError:
        return []
    try:
        folders = sorted(Path(constants.HF_HUB_CACHE).glob(f"{_START}*{_BETWEEN}*"))
        held = [folder for folder in folders if next(folder.glob(f"snapshots/*/*{ENDING}"), None)]
    except OSError:  # completion never complains
        return []
    return [PREFIX + folder.name.removeprefix(_START).replace(_BETWEEN, "/", 1) for folder in held]
