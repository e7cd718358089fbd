"""The typer app: one command per file, heavy imports only inside the commands."""

import contextlib
import errno
import functools
import importlib
import os
import sys
import threading
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli.listing import FILES, add_command
from cli.plug_ins import PLUGGED_IN, listed, with_plug_ins
from cli.runs.processes import (
    ending_at_once,
    failed,
    leave_to_the_main_thread,
    leaving_quickly,
    prints,
    require_one_process,
)
from cli.runs.progress import console, ending_in_order
from toolkit import __version__
from toolkit.errors import UserError
from toolkit.files.locks import let_go_of_all
from toolkit.files.names import print_every_name
from toolkit.watch import Stopped

_COMPLETING = "_TOOLKIT_COMPLETE"  # set by shells that complete a line
_OF_THE_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM)
# typer carries its own copy of click in some versions and imports click in others; this names the class in both.
_USAGE_ERROR: Any = typer.BadParameter.__base__


def _misused(error: Any) -> int:
    typer.echo(f"error: {UserError(error.format_message().removesuffix('.'))}; see --help", err=True)
    return 2


class _Commands(TyperGroup):
    """Prints errors a user can fix as one line and exits with 2; Ctrl-C ends with 130."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *PLUGGED_IN]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or listed(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, with_plug_ins(name, command), rest

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        given = bool(args)
        try:
            return super().parse_args(ctx, args)
        except _USAGE_ERROR as error:
            if not given:  # the help page
                raise
            raise typer.Exit(_misused(error)) from error

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise typer.Exit(failed(error)) from error
        except OSError as error:
            if error.errno not in _OF_THE_PATH:
                raise
            refusal = UserError(f"cannot use {error.filename}: {error.strerror}; check the path")
            raise typer.Exit(failed(refusal)) from error
        except _USAGE_ERROR as error:
            raise typer.Exit(_misused(error)) from error
        except Stopped as stop:
            console.print(f"stopped {stop}; rerun the command to resume")
            raise typer.Exit(130) from stop
        except KeyboardInterrupt as stop:  # long training catches it itself and says where it stopped
            if prints():
                with contextlib.suppress(OSError):  # of a terminal that is gone
                    line = "stopped; rerun the command to resume from its last checkpoint, if it had one"
                    typer.echo(f"{line} (predict: with --skip-existing)", err=True)
            raise typer.Exit(130) from stop
        finally:
            let_go_of_all()


_COMMANDS = {  # each the function of its module in cli.commands, in the order that help has
    "demo": "demo",
    "learn": "learn",
    "predict": "predict",
    "video": "video",
    "browse": "browse",
    "discover": "discover",
    "pick": "pick",
    "compare": "compare",
    "label": "label",
    "render-gif": "render_gif",
    "segment": "segment",
    "self-train": "self_train",
    "synthesize": "synthesize",
    "eval": "evaluate",
    "sample": "sample",
    "embed": "embed",
    "train-generator": "train_generator",
    "train-encoder": "train_encoder",
    "convert": "convert",
    "export": "export",
    "share": "share",
    "serve": "serve",
}
_GROUPS = {"weights": "weights"}  # commands of their own, listed among the files
_SHARED = ("discover", "segment", "synthesize", "eval", "predict", "train-generator", "train-encoder", "embed")


def common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Find the directions of a GAN's latent space and turn one into a segmentation network, without labels."""
    print_every_name()
    if version:
        typer.echo(f"toolkit {__version__}")
        raise typer.Exit
    if context.invoked_subcommand not in _SHARED:
        require_one_process()


def app_of(names: Iterable[str]) -> typer.Typer:
    """Return the app with these commands, the modules of which alone are imported."""
    made = typer.Typer(
        cls=_Commands,
        invoke_without_command=True,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(common)
    for name in names:
        module = importlib.import_module(f"cli.commands.{(_COMMANDS | _GROUPS)[name]}")
        if name in _GROUPS:
            made.add_typer(module.app, name=name, rich_help_panel=FILES)
        else:
            add_command(made, name, getattr(module, _COMMANDS[name]))
    return made


@functools.cache
def whole_app() -> typer.Typer:
    """Return the app with all commands."""
    return app_of([*_COMMANDS, *_GROUPS])


def __getattr__(name: str) -> typer.Typer:
    if name == "app":
        return whole_app()
    raise AttributeError(f"module {__name__} has no attribute {name!r}")


def main() -> None:
    """Run the command line."""
    with leaving_quickly(), ending_at_once(), ending_in_order():
        threading.excepthook = leave_to_the_main_thread
        first = sys.argv[1:2]
        # Where a command is named it is the only one that is needed; shells ask for completion in another way.
        named = first and first[0] in _COMMANDS | _GROUPS and _COMPLETING not in os.environ
        (app_of(first) if named else whole_app())(prog_name="toolkit")
