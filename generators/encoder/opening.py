"""Encoders by name: a file, a run folder, a shipped name, or the one that belongs to a generator."""

from pathlib import Path

from toolkit.command_line import command
from toolkit.errors import UserError, named
from toolkit.files.shipped import or_shipped, shipped_file
from toolkit.hub.fetching import located
from toolkit.hub.reference import is_reference


def encoder_file(name: str | None, generator: str) -> Path:
    """Return the encoder called `name`: a run folder, file, shipped name or one on the hub; else that of `generator`.

    UserError when none is shipped for it and none lies in its run folder.
    """
    if name is not None:
        chosen = located(name, "encoders") if is_reference(name) else or_shipped(Path(name), "encoders")
        return chosen / "encoder.safetensors" if chosen.is_dir() else chosen
    path = own_encoder(generator)
    if path is None:
        raise UserError(
            f"no encoder comes with {generator}; give {named('encoder')}, or make one: "
            + command("train-encoder", "--generator", generator, "--out", "encoder")
        )
    return path


def own_encoder(generator: str) -> Path | None:
    """Return the encoder that is shipped for `generator` or lies in its run folder; None where there is none."""
    shipped = shipped_file("encoders") / f"{generator}.safetensors"
    folder = Path(generator) if Path(generator).is_dir() else Path(generator).parent
    beside = [folder / "encoder.safetensors"] if Path(generator).exists() else []
    return next((path for path in (shipped, *beside) if path.is_file()), None)
