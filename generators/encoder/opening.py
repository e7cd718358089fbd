"""Encoders by name: a file, a run folder, a shipped name, or the one that belongs to a generator."""

from pathlib import Path

from toolkit.command_line import command
from toolkit.errors import UserError, named
from toolkit.files.shipped import or_shipped, shipped_file


def encoder_file(name: str | None, generator: str) -> Path:
    """Return the encoder called `name`: a run folder, a file or a shipped name; without a name, that of `generator`.

    UserError when none is shipped for it and none lies in its run folder.
    """
    if name is not None:
        path = or_shipped(Path(name), "encoders")
        return path / "encoder.safetensors" if path.is_dir() else path
    shipped = shipped_file("encoders") / f"{generator}.safetensors"
    folder = Path(generator) if Path(generator).is_dir() else Path(generator).parent
    for path in [shipped, *([folder / "encoder.safetensors"] if Path(generator).exists() else [])]:
        if path.is_file():
            return path
    raise UserError(
        f"no encoder comes with {generator}; give {named('encoder')}, or make one: "
        + command("train-encoder", "--generator", generator, "--out", "encoder")
    )
