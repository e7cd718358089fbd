"""toolkit weights: published generators, directions, embeddings and segmenters by name."""

import math
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from cli.listing import FILES, Listing
from cli.runs.progress import Bar, console

if TYPE_CHECKING:
    from pathlib import Path

    from toolkit.files.fetch import Transfer
    from toolkit.files.published import PublishedFile

app = typer.Typer(epilog=Listing(FILES, ("toolkit weights list", "toolkit weights pull bigbigan")).epilog)


@app.callback(invoke_without_command=True)
def weights(context: typer.Context) -> None:
    """See which published weights there are, and download them by name."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("list", epilog=Listing(FILES, ("toolkit weights list", "toolkit weights")).epilog)
def list_files() -> None:
    """Show the published files and which of them are in the cache."""
    from rich.table import Table

    from toolkit.files.places import cache_folder
    from toolkit.files.published import published

    table = Table("name", "role", "size", "in the cache", "licence", "file", box=None)
    for entry in published().values():
        table.add_row(
            entry.name, entry.role, entry.size.removeprefix("size "), _presence(entry), entry.licence, entry.file
        )
    console.print(table)
    console.print(f"cache: {cache_folder()}; TOOLKIT_CACHE names another folder")
    console.print("nothing is downloaded until its name is pulled, which shows its terms first")
    console.print("next: toolkit weights pull NAME")


def _presence(entry: "PublishedFile") -> str:
    if entry.path.exists():
        return "yes"
    if not entry.mirrors:
        return "by hand"
    part = entry.path.with_name(f"{entry.file}.part")
    return f"{part.stat().st_size / 1e6:.0f} MB of it" if part.exists() else "no"


@app.command(epilog=Listing(FILES, ("toolkit weights pull bigbigan bg-direction", "toolkit weights pull anime")).epilog)
def pull(
    names: Annotated[list[str], typer.Argument(help="Names from toolkit weights list.", metavar="NAME...")],
    offline: Annotated[
        bool, typer.Option("--offline", help="Download nothing; say what to do by hand. TOOLKIT_OFFLINE=1 does too.")
    ] = False,
) -> None:
    """Download published files into the cache; rerun to resume a stopped download."""
    from toolkit.files.published import find

    for entry in [find(name) for name in names]:
        _pull_one(entry, offline)
        made = entry.path if entry.role != "archive" else _unpacked(entry)
        console.print(f"next: {entry.next.replace('{path}', quote(str(made)))}")


def _pull_one(entry: "PublishedFile", offline: bool) -> None:
    from toolkit.files.published import pull as pull_file

    console.print(f"{entry.name}: {entry.size}; {entry.terms}")
    with _Meter(entry.name) as meter:
        try:
            path = pull_file(entry, meter.transfer(), offline)
        except KeyboardInterrupt:
            console.print("stopped; rerun the command to resume")
            raise typer.Exit(130) from None
    console.print(f"wrote {path} ({entry.size})" if meter.moved else f"{path} is there already")


def _unpacked(entry: "PublishedFile") -> "Path":
    """Return the folder of the archive's deformator, or all that it holds where there is none, after unpacking it."""
    from toolkit.files.unpacking import unpack

    folder = unpack(entry.path, entry.folder)
    console.print(f"unpacked in {folder}")
    deformators = sorted(path.parent for path in folder.rglob("args.json") if any(path.parent.rglob("deformator_*.pt")))
    return deformators[0] if deformators else folder


class _Meter:
    """The bar of one download in whole megabytes; `moved` once something came."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.moved = False
        self.bar: Bar | None = None

    def __enter__(self) -> "_Meter":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.__exit__(*exception)

    def transfer(self) -> "Transfer":
        """Return how to download so that this bar and the screen show it."""
        from toolkit.files.fetch import Transfer

        return Transfer(progress=self._show, notice=console.print)

    def _show(self, done: int, total: int | None) -> None:
        self.moved = True
        if total is None:
            return
        megabytes = math.ceil(done / 1e6)
        if self.bar is None or megabytes < self.bar.done:  # a mirror that cannot go on starts again
            self.__exit__()
            self.bar = Bar(self.name, math.ceil(total / 1e6), megabytes, "MB").__enter__()
        elif megabytes > self.bar.done:
            self.bar.advance(megabytes - self.bar.done)


@app.command("path", epilog=Listing(FILES, ("toolkit weights path bigbigan", "toolkit weights path z-cub")).epilog)
def path_of(name: Annotated[str, typer.Argument(help="A name from toolkit weights list.")]) -> None:
    """Print where a published file lies in the cache, after checking it."""
    from toolkit.files.published import find, required

    console.print(required(find(name)))
