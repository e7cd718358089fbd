"""Where a module's source lies, found without running anything: importing a module, or a package above it, runs it."""

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A module that is there; `file` is None for one without a file, such as a part of Python itself."""

    file: Path | None


def located(name: str) -> Place | None:
    """Return where the module `name`, such as `package.module`, lies; None where an import would not find it.

    The current folder comes first, as with `python -m`. What is imported already is where it was imported from.
    """
    imported = sys.modules.get(name)
    if imported is not None:
        return _place(getattr(imported, "__file__", None))
    importlib.invalidate_caches()  # files may have come since the folders were last read
    top, *inner = name.split(".")
    spec = _top_level(top)
    for part in inner:
        folders = None if spec is None else spec.submodule_search_locations
        # By its last name alone: given the whole, namespace packages would look their parent up among the imported.
        spec = None if folders is None else PathFinder.find_spec(part, list(folders))
    return None if spec is None else _place(spec.origin)


def _place(file: str | None) -> Place:
    return Place(Path(file) if file is not None and Path(file).is_file() else None)


def _top_level(name: str) -> ModuleSpec | None:
    if name in sys.modules:
        return getattr(sys.modules[name], "__spec__", None)
    here = None if name in sys.builtin_module_names else PathFinder.find_spec(name, [os.getcwd(), *sys.path])
    # The other finders, such as those of packages installed in place; a bare name makes none of them import a parent.
    return here or importlib.util.find_spec(name)
