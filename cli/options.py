"""Turning settings into flags, and the options many commands share."""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.errors import UserError
from toolkit.settings import Settings, read_toml

GeneratorOption = Annotated[
    str,
    typer.Option(
        "--generator",
        help="A shipped name (flowers64), scene, bigbigan (see toolkit weights), or a generator file.",
    ),
]
WeightsOption = Annotated[
    Path | None, typer.Option(help="Weights file for --generator bigbigan, if not the one in the cache.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
PrecisionOption = Annotated[str, typer.Option(help="auto, fp32 or bf16.")]
SeedOption = Annotated[int, typer.Option(help="Names the random latents.", min=0)]


def with_settings(settings_class: type[Settings]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command one flag per field of `settings_class`, and --config FILE.

    The command receives the finished settings as `settings`. A flag wins over the file, the file over the default.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        fields = dataclasses.fields(settings_class)
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "settings"]
        panel = f"Settings ({settings_class.kind})"
        hints = typing.get_type_hints(settings_class)
        flags = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=Annotated[hints[field.name], _option(field, panel)],
            )
            for field in fields
        ]
        config = inspect.Parameter(
            "config",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                Path | None,
                typer.Option(help="TOML file of settings, as saved in a run folder.", rich_help_panel=panel),
            ],
        )
        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

        @functools.wraps(command)
        def run(*, context: typer.Context, config: Path | None, **values: Any) -> None:
            chosen = {field.name: values.pop(field.name) for field in fields}
            if config is not None:
                from_file = settings_class.from_dict(read_toml(config), str(config)).as_dict()
                chosen = {name: v if _given(context, name) else from_file[name] for name, v in chosen.items()}
            command(settings=settings_class(**chosen), **values)

        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        parameters = [context, *keyword, *flags, config]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        del run.__wrapped__  # typer would follow it to the bare command
        return run

    return decorate


def _option(field: dataclasses.Field, panel: str) -> Any:
    choices = field.metadata.get("choices")
    text = field.metadata["help"] + (f": {', '.join(choices)}" if choices else "")
    return typer.Option(help=text[0].upper() + text[1:] + ".", rich_help_panel=panel)


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def require(condition: bool, message: str) -> None:
    """Raise UserError(message) unless `condition` holds."""
    if not condition:
        raise UserError(message)
