"""Turning settings into flags, and the options many commands share."""

import contextlib
import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from cli.inputs import completion
from cli.inputs.hub_names import ON_THE_HUB
from cli.inputs.presets import PresetOption, before_flags
from cli.runs.sharing import starts_others
from toolkit.command_line import as_flags, flag_of
from toolkit.errors import UserError
from toolkit.imports import import_torch
from toolkit.plug_ins import Table
from toolkit.settings import Settings

DEFAULT_SEGMENTER = "flowers64"  # the shipped one
SegmenterOption = Annotated[
    str | None,
    typer.Option(
        help=f"Run folder, artefact, published U-Net file, shipped name or {ON_THE_HUB}.",
        show_default=DEFAULT_SEGMENTER,
        autocompletion=completion.shipped("segmenters"),
    ),
]
RefineOption = Annotated[bool, typer.Option("--refine/--no-refine", help="Let masks follow the photo's edges (CRF).")]
GeneratorOption = Annotated[
    str,
    typer.Option(
        "--generator",
        help="A shipped name (flowers64), scene, bigbigan (see toolkit weights), a generator file, "
        f"{ON_THE_HUB}, or your own code: "
        "package.module:factory, with options as in models:make@width=64 (docs/own-generators.md).",
        autocompletion=completion.generators,
    ),
]
WeightsOption = Annotated[
    Path | None, typer.Option(help="Weights file for --generator bigbigan, if not the one in the cache.")
]
DirectionsArgument = Annotated[
    Path,
    typer.Argument(
        help=f"Direction set, the run folder that holds it, a shipped name or {ON_THE_HUB}.",
        autocompletion=completion.shipped("directions"),
    ),
]
DirectionOption = Annotated[str | None, typer.Option(help="Number or name; the chosen one if omitted.")]
LayersOption = Annotated[
    str | None,
    typer.Option(
        "--layers",
        help="Layers of a style-based generator that directions move, as 0-3,7, or all; not set: those recorded in the "
        "set, or all.",
    ),
]
AlphaOption = Annotated[float | None, typer.Option(help="Shift length; negative for the other way.")]
SigmaOption = Annotated[
    float | None,
    typer.Option(
        help="The length in standard deviations of the latents instead, as GANSpace's sliders are marked; of sets that "
        "record them."
    ),
]
CentredOption = Annotated[
    bool,
    typer.Option(
        "--centred/--no-centred",
        help="Begin where the mean latent lies along the direction, as GANSpace's centred strips do.",
    ),
]
OtherGeneratorOption = Annotated[
    str | None,
    typer.Option(
        "--generator",
        help=f"Generator (a name, a file or {ON_THE_HUB}), if not the one recorded in the set.",
        autocompletion=completion.generators,
    ),
]
EmbeddingsOption = Annotated[
    Path | None,
    typer.Option(help="Latents of real photos: a .npy array (N, D) or (N, L, D), or a published name (z-cub)."),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", autocompletion=completion.devices)]
PrecisionOption = Annotated[str, typer.Option(help="auto, fp32 or bf16.", autocompletion=completion.precisions)]
MaxMemoryOption = Annotated[
    str | None,
    typer.Option(help="Memory a training step may take in each process, such as 4GB: chooses --micro-batch."),
]
CompileOption = Annotated[
    str,
    typer.Option(
        "--compile",
        help="torch.compile: on, off, or auto (long runs on a GPU).",
        autocompletion=completion.compile_modes,
    ),
]
ValidationPhotosOption = Annotated[Path | None, typer.Option(help="Photos to validate on; with --validation-masks.")]
ValidationMasksOption = Annotated[Path | None, typer.Option(help="Their masks; they measure and never train.")]
ObjectOption = Annotated[
    str | None,
    typer.Option("--object", help="What of the masks is object: codes, colours or alpha, as of toolkit eval."),
]
IgnoreOption = Annotated[
    str | None, typer.Option("--ignore", help="Codes or colours of the masks to leave out, as of toolkit eval.")
]
InvertOption = Annotated[
    bool, typer.Option("--invert/--no-invert", help="Take the complement of the masks for the object.")
]
ResizeMasksOption = Annotated[
    bool, typer.Option("--resize-masks/--no-resize-masks", help="Bring masks to the size of their images.")
]
SeedOption = Annotated[int, typer.Option(help="Names the random latents.", min=0)]


class HasSettings(Protocol):
    """An entry of a table that has settings of its own, such as a discovery method."""

    @property
    def settings(self) -> type[Settings]:
        """Return the class of its settings."""
        ...


def with_settings(
    settings: type[Settings] | Table[HasSettings], switch: str = "method", with_torch: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command one flag per field of its settings class, and --config FILE.

    The command receives the finished settings as `settings`. A flag wins over the file, the file over the preset that
    --preset names, where the class has some, and that over the default. Of several classes, those of a table's entries,
    the flag --`switch` says which one is meant (the first unless given; the command receives its name too), and a flag
    that this one has not is refused; fields of the same name share a flag and have to be of the same type. The
    command's attribute `with_plug_ins` makes the same command with what installed packages add to its flags and
    choices: nothing of that is looked for until it is run. Where a command does not always compute with torch,
    `with_torch` is false, and it imports torch by itself.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = _own(settings) if isinstance(settings, Table) else {"": settings}
        run = _flagged(command, settings, own, switch, lambda table: table.own, with_torch)

        def with_plug_ins() -> Callable[..., Any]:
            classes = own | _plugged_in(settings) if isinstance(settings, Table) else own
            return _flagged(command, settings, classes, switch, lambda table: table, with_torch)

        run.with_plug_ins = with_plug_ins  # type: ignore[attr-defined]
        return run

    return decorate


def _own(table: Table[HasSettings]) -> dict[str, type[Settings]]:
    return {name: table[name].settings for name in table.own}


def _plugged_in(table: Table[HasSettings]) -> dict[str, type[Settings]]:
    """Return the settings of the plug-ins that can be used; the others are refused when they are asked for."""
    classes = {}
    for name in (name for name in table.offered() if name not in table.own):
        with contextlib.suppress(UserError):
            classes[name] = table[name].settings
    return classes


def _flagged(
    command: Callable[..., Any],
    settings: type[Settings] | Table[HasSettings],
    classes: Mapping[str, type[Settings]],
    switch: str,
    choices_of: Callable[[Table[Any]], Iterable[str]],
    with_torch: bool,
) -> Callable[..., Any]:
    """Return the command with the flags of `classes`, by name; of tables of choices the help names `choices_of`."""
    table = settings if isinstance(settings, Table) else None
    switched = table is not None
    made = ("settings", switch) if switched else ("settings",)
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name not in made]
    flags = _flags(classes, choices_of)

    @functools.wraps(command)
    def run(*, context: typer.Context, config: Path | None, **values: Any) -> None:
        name, preset = values.pop(switch) if switched else "", values.pop("preset", None)
        if name not in classes:
            if isinstance(settings, Table) and name in settings:
                settings[name]  # a plug-in that cannot be used says why
            raise UserError(f"--{switch} is {name!r}; choose one of {', '.join(classes)}")
        asked = {flag: values.pop(flag) for flag in flags}
        given = {flag: value for flag, value in asked.items() if _given(context, flag)}
        chosen = classes[name]
        for flag in given:
            if flag not in _field_names(chosen):
                names = ", ".join(n for n, c in classes.items() if flag in _field_names(c))
                raise UserError(f"--{flag.replace('_', '-')} goes with --{switch} {names}, not {name}; omit it")
        if preset is not None and not chosen.presets:
            names = ", ".join(n for n, c in classes.items() if c.presets)
            raise UserError(f"--preset goes with --{switch} {names}, not {name}; omit it")
        if switched:
            values[switch] = name
        made = chosen(**{**before_flags(chosen, preset, config), **given})
        if with_torch and not starts_others(values.get("processes", 1)):
            import_torch()  # after what is refused without it
        command(settings=made, **values)

    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    parameters = [_parameter("context", typer.Context), *keyword]
    if table is not None:
        help_text = f"One of {', '.join(classes)}."
        option = typer.Option(help=help_text, autocompletion=completion.one_of(table))
        parameters.append(_parameter(switch, Annotated[str, option], next(iter(classes))))
    parameters += [_parameter("preset", PresetOption, None)] if any(c.presets for c in classes.values()) else []
    config_help = "TOML file of settings, as saved in a run folder."
    option = typer.Option(help=config_help, rich_help_panel=_panel(classes.values()))
    parameters += [*flags.values(), _parameter("config", Annotated[Path | None, option], None)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    renamed = {old: new for settings_class in classes.values() for old, new in settings_class.renamed().items()}
    run.renamed_flags = {flag_of(old): flag_of(new) for old, new in renamed.items()}  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    del run.__wrapped__  # typer would follow it to the bare command
    return run


def _flags(
    classes: Mapping[str, type[Settings]], choices_of: Callable[[Table[Any]], Iterable[str]]
) -> dict[str, inspect.Parameter]:
    """Return one parameter a field name, in the order the classes have them."""
    flags: dict[str, inspect.Parameter] = {}
    for settings_class in classes.values():
        hints = typing.get_type_hints(settings_class)
        for field in dataclasses.fields(settings_class):
            if field.name not in flags:
                holders = {name: c for name, c in classes.items() if field.name in _field_names(c)}
                panel = _panel(classes.values() if len(holders) > 1 else [settings_class])
                option = _option(field, panel, holders, choices_of)
                flags[field.name] = _parameter(field.name, Annotated[hints[field.name], option], field.default)
    return flags


def _field_names(settings_class: type[Settings]) -> list[str]:
    return [field.name for field in dataclasses.fields(settings_class)]


def _panel(classes: Iterable[type[Settings]]) -> str:
    kinds = [settings_class.kind for settings_class in classes]
    return f"Settings ({kinds[0]})" if len(kinds) == 1 else "Settings"


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option(
    field: dataclasses.Field,
    panel: str,
    holders: Mapping[str, type[Settings]],
    choices_of: Callable[[Table[Any]], Iterable[str]],
) -> Any:
    offered = field.metadata.get("choices")
    choices = choices_of(offered) if isinstance(offered, Table) else offered
    text = as_flags(field.metadata["help"]) + (f": {', '.join(choices)}" if choices else "")
    defaults = {name: getattr(holder, field.name) for name, holder in holders.items()}
    others = [f"{name} {value}" for name, value in defaults.items() if value != field.default]
    text += f" ({'; '.join(others)})" if others else ""
    complete = completion.one_of(offered) if offered else None
    return typer.Option(help=text[0].upper() + text[1:] + ".", rich_help_panel=panel, autocompletion=complete)


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def require(condition: bool, message: str) -> None:
    """Raise UserError(message) unless `condition` holds."""
    if not condition:
        raise UserError(message)
