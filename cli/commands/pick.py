"""toolkit pick: the direction that darkens the background, and why."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import (
    DeviceOption,
    OtherGeneratorOption,
    PrecisionOption,
    WeightsOption,
    require,
    with_settings,
)
from cli.reports.hints import command, generator_words, segment_command
from cli.reports.pick_report import candidates_picture, show_table
from cli.runs.progress import Bar, console
from discovery.settings import PickSettings
from toolkit.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from discovery.picking.picker import Candidate
    from generators.protocol import Generator
    from toolkit.compute.engine import Engine
    from toolkit.directions import DirectionSet

_SHOWN = 8
_BESIDE = ("pick.json", "pick.csv", "pick.png")


@with_settings(PickSettings)
def pick(
    settings: PickSettings,
    directions: Annotated[
        list[str], typer.Argument(help="Direction set, or the run folder that holds it; several are ranked together.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="New folder for the ranked copy of the set, or for all of several sets.")
    ] = None,
    choose: Annotated[str | None, typer.Option(help="Choose this direction yourself, by number or name.")] = None,
    alpha: Annotated[
        float | None, typer.Option(help="With --choose: shift length, negative for the other way.")
    ] = None,
    generator: OtherGeneratorOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Rank all directions as background darkeners, choose one, and show why."""
    require((choose is None) == (alpha is None), "--choose and --alpha go together; give both or neither")
    from cli.inputs.sources import generator_of
    from toolkit.compute.engine import choose_engine

    engine = choose_engine(device, precision)
    path, found = _ranked_set(directions, out)
    rule = None
    if choose is not None and alpha is not None:
        if out is None:
            console.print(choose_direction(path, choose, alpha)[1])
        else:
            made = with_choice(found, choose, alpha)
            _require_no_other(path, made)
            made.save(path)
            console.print(_told(path, made))
    else:
        opened = generator_of(found, generator, weights)[0].to(engine.device)
        picked, finalists, candidates = pick_direction(opened, found, settings, engine)
        if out is not None:
            _require_no_other(path, picked)
        save_pick(path, picked, finalists, candidates, opened, settings, engine)
        show_table(picked, finalists)
        console.print(f"wrote {path}, {path.parent / 'pick.json'}, pick.csv, pick.png")
        rule = finalists[0].mask_rule
    given = generator_words(generator, weights)
    console.print(f"next: {next_after_choosing(out or Path(directions[0]), given, rule)}")


def _ranked_set(directions: list[str], out: Path | None) -> "tuple[Path, DirectionSet]":
    """Return where the choice is written, and the set it is made from; UserError where that would change a source."""
    import torch

    from cli.inputs.direction_sets import labelled_sets
    from cli.inputs.sources import open_directions
    from discovery.comparing.merging import merged
    from toolkit.directions import KIND, DirectionSet, direction_file
    from toolkit.files.artefacts import artefact_kind
    from toolkit.files.locks import claimed
    from toolkit.files.workplace import holdings
    from toolkit.files.writing import writable_folder

    if out is None:
        require(len(directions) == 1, f"{len(directions)} sets are ranked together in a new folder; give --out FOLDER")
        path = direction_file(Path(directions[0]))
        if artefact_kind(path) == KIND:
            writable_folder(path.parent)  # found out before everything is judged
            with claimed(path.parent):
                return path, open_directions(path)
        labelled_sets(directions)  # refuses what is no set at all
        raise UserError(f"{directions[0]} is a published or shipped set, which stays as it is; give --out FOLDER")
    sets = {label: found for label, (_, found) in labelled_sets(directions).items()}
    found = next(iter(sets.values())) if len(sets) == 1 else merged(sets)
    # The set is written last: the other files alone are of a command that was killed.
    path, others = out / "directions.safetensors", holdings(out, but=_BESIDE)
    ours = others == [path.name] and torch.equal(DirectionSet.load(path).vectors, found.vectors)
    require(not others or ours, f"{out} holds files already; choose an empty or new --out")
    writable_folder(out)
    return path, found


def _require_no_other(path: Path, made: "DirectionSet") -> None:
    """Raise UserError where `path` is a set already and not `made`, as a command killed at its very end has left it."""
    import torch

    from toolkit.directions import DirectionSet

    if not path.exists():
        return
    there = DirectionSet.load(path)
    same = torch.equal(there.vectors, made.vectors) and all(
        getattr(there, name) == getattr(made, name) for name in ("generator", "method", "names", "scores", "choice")
    )
    require(same, f"{path.parent} holds another choice already; choose an empty or new --out")


def choose_direction(
    path: Path, direction: str | int, alpha: float, mask_rule: str | None = None
) -> "tuple[DirectionSet, str]":
    """Write a direction, the sign and the length of `alpha` as the choice of the set in the file `path`.

    Returns the set as it is now, and a line that says what was written. UserError for an unknown direction and for an
    alpha that is 0 or not finite.
    """
    import toolkit.directions  # noqa: F401 (slow at first, and nobody should wait for it)
    from cli.inputs.sources import open_directions
    from toolkit.files.locks import PATIENCE, claimed

    with claimed(path.parent, PATIENCE):
        chosen = with_choice(open_directions(path), direction, alpha, mask_rule)
        chosen.save(path)
    return chosen, _told(path, chosen)


def with_choice(
    found: "DirectionSet", direction: str | int, alpha: float, mask_rule: str | None = None
) -> "DirectionSet":
    """Return the set with a direction, and the sign and the length of `alpha`, as its choice; UserError as above."""
    from dataclasses import replace

    from cli.inputs.sources import finite_length
    from toolkit.directions import Choice

    finite_length("--alpha", alpha)
    index, sign, before = found.index_of(direction), 1 if alpha > 0 else -1, found.choice
    same = before is not None and (before.index, before.sign) == (index, sign)
    kept = before if before is not None and same else None
    rule = mask_rule or (kept.mask_rule if kept is not None else None)
    choice = Choice(index, sign, abs(alpha), kept.opposite if kept is not None else None, rule)
    return replace(found, choice=choice)


def _told(path: Path, chosen: "DirectionSet") -> str:
    choice = chosen.chosen()
    return f"wrote {path}: chose {chosen.names[choice.index]}, {choice.sign * choice.alpha:+.2f}"


def next_after_choosing(directions: Path, given: Sequence[str] = (), rule: str | None = None) -> str:
    """Return the commands that use the choice; `given` are flags that name its generator, `rule` is its mask rule."""
    gif = command("render-gif", directions, *given, "--out", "direction.gif")
    return f"{gif}; {segment_command(directions, *given, rule=rule)}"


def pick_direction(
    generator: "Generator", directions: "DirectionSet", settings: PickSettings, engine: "Engine"
) -> "tuple[DirectionSet, list[Candidate], list[Candidate]]":
    """Return the set with scores and choice, the finalists, best first, and every candidate by direction."""
    from discovery.picking.consensus import by_consensus
    from discovery.picking.picker import best_of_each, chosen, rank, with_operator_scores

    with Bar("judging", len(directions), unit="directions") as bar:
        everything = list(bar.over(rank(generator, directions, settings, engine)))
    ranked = best_of_each(everything)
    finalists = with_operator_scores(generator, directions, ranked, settings, engine)
    finalists = by_consensus(generator, directions, finalists, settings, engine)
    return chosen(directions, ranked, finalists), finalists, [c for found in everything for c in found]


def save_pick(
    path: Path,
    picked: "DirectionSet",
    finalists: "list[Candidate]",
    everything: "list[Candidate]",
    generator: "Generator",
    settings: PickSettings,
    engine: "Engine",
) -> None:
    """Write pick.json, pick.csv (every direction, sign and length) and pick.png beside the set, then the set itself.

    Names that were given to directions meanwhile are kept. UserError when the set has become another one.
    """
    from toolkit.files.locks import PATIENCE, claimed

    picture = candidates_picture(generator, picked, finalists[:_SHOWN], settings, engine)
    with claimed(path.parent, PATIENCE):
        picked = _named_as_now(path, picked)
        _write_beside(path.parent, picked, finalists, everything, settings, picture)
        picked.save(path)


def _named_as_now(path: Path, picked: "DirectionSet") -> "DirectionSet":
    """Return the set under the names it has in the file `path`, if there is one; UserError if that is another set."""
    from dataclasses import replace

    import torch

    from cli.inputs.sources import open_directions

    if not path.exists():
        return picked
    now = open_directions(path)
    require(torch.equal(now.vectors, picked.vectors), f"{path} has changed since it was judged; pick again")
    return replace(picked, names=now.names)


def _write_beside(
    folder: Path,
    picked: "DirectionSet",
    finalists: "list[Candidate]",
    everything: "list[Candidate]",
    settings: PickSettings,
    picture: "np.ndarray",
) -> None:
    import csv
    import io
    from dataclasses import asdict

    from discovery.picking.picker import FIGURES, OF_FINALISTS
    from toolkit.files.writing import write_json, write_text
    from toolkit.pictures.photos import write_picture

    candidates = [{**asdict(c), "name": picked.names[c.index]} for c in finalists]
    write_json(
        folder / "pick.json",
        {
            "settings": settings.as_dict(),
            "figures": FIGURES,
            "candidates": candidates,
            "scores": picked.scores,
        },
    )
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    figures = [name for name in FIGURES if name not in OF_FINALISTS]
    table.writerow(["direction", "name", "sign", "alpha", "score", *figures])
    for c in everything:
        values = [c.alpha, c.score, *(c.figures[name] for name in figures)]
        table.writerow([c.index, picked.names[c.index], c.sign, *(f"{value:.4f}" for value in values)])
    write_text(folder / "pick.csv", text.getvalue())
    write_picture(folder / "pick.png", picture)
