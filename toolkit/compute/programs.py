"""Saving programs of torch (TorchScript, torch.export) without the paths of the machine that made them.

Both layouts record for every operation in which file and line it was written: paths, and with them often the name of
a user, which whoever receives the file can read. They serve error messages alone.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

_PLACES = ".debug_pkl"  # TorchScript's files of lines of source


def save_script(script: torch.jit.ScriptModule, path: Path, extra_files: Mapping[str, str] | None = None) -> None:
    """Write a TorchScript program to `path`; the same program gives the same bytes."""
    whole = path.with_name(f"{path.name}.whole")
    try:
        torch.jit.save(script, str(whole), _extra_files=dict(extra_files or {}))
        with zipfile.ZipFile(whole) as given, zipfile.ZipFile(path, "w") as kept:
            for entry in given.infolist():
                if not entry.filename.endswith(_PLACES):
                    kept.writestr(zipfile.ZipInfo(entry.filename), given.read(entry))
    finally:
        whole.unlink(missing_ok=True)


def save_exported(
    program: torch.export.ExportedProgram, path: Path, extra_files: Mapping[str, str] | None = None
) -> None:
    """Write a program of torch.export to `path`."""
    for module in program.graph_module.modules():
        graph = getattr(module, "graph", None)
        for node in graph.nodes if graph is not None else ():
            node.meta.pop("stack_trace", None)
    with path.open("wb") as file:
        torch.export.save(program, file, extra_files=dict(extra_files or {}))
