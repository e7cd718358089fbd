"""What a command's settings are before its flags: those of a preset, then those of a file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.errors import UserError
from toolkit.settings import Settings, read_toml

PRESETS = ("paper", "quick")
PresetOption = Annotated[
    str | None,
    typer.Option(
        help="Settings to start from: paper, or quick for a CPU; --config and other flags win over them.",
        show_default=PRESETS[0],
        rich_help_panel="Settings",
        autocompletion=lambda: list(PRESETS),
    ),
]


def before_flags(chosen: type[Settings], preset: str | None, config: Path | None) -> dict[str, Any]:
    """Return the values, by field, that a preset and a file hold, the file's winning; notes name old spellings.

    UserError for a preset that the class has not, and for a file that does not fit it.
    """
    if preset is not None and preset not in chosen.presets:
        raise UserError(f"--preset is {preset!r}; choose one of {', '.join(chosen.presets)}")
    values = {} if preset is None else dict(chosen.presets[preset])
    if config is None:
        return values
    read = read_toml(config)
    for old, new in chosen.renamed().items():
        if old in read:
            typer.echo(
                f"note: {old} in {config} is called {new} now; the old name works until the next release", err=True
            )
    return chosen.from_dict({**values, **chosen.up_to_date(read)}, str(config)).as_dict()
