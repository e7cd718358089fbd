"""What picking leaves on disk: the set with its choice, and pick.json, pick.csv and pick.png beside it."""

import csv
import io
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from discovery.comparing.merging import merged
from discovery.opening import labelled_sets, open_directions
from discovery.picking.picker import FIGURES, OF_FINALISTS, Candidate
from discovery.picking.picking import Picked, with_choice
from discovery.picking.picture import candidates_picture
from discovery.settings import PickSettings
from generators.protocol import Generator
from toolkit.compute.engine import Engine
from toolkit.directions import KIND, DirectionSet, direction_file
from toolkit.errors import UserError, named, plain
from toolkit.files.artefacts import artefact_kind
from toolkit.files.locks import PATIENCE, claimed
from toolkit.files.workplace import holdings
from toolkit.files.writing import writable_folder, write_json, write_text
from toolkit.pictures.photos import write_picture

_SHOWN = 8
_BESIDE = ("pick.json", "pick.csv", "pick.png")


@dataclass(frozen=True)
class PickFile:
    """A set that a choice is made from, and the file that it is written to: the set's own, or one in a new folder."""

    path: Path
    directions: DirectionSet
    is_copy: bool

    @classmethod
    def open(cls, sets: list[str], out: Path | None = None) -> "PickFile":
        """Return the file of the one set named, or `out`'s for a copy, of all where there are several.

        UserError where that would change what has to stay as it is, or `out` holds something else.
        """
        return cls._own(sets) if out is None else cls._copy(sets, out)

    @classmethod
    def _own(cls, sets: list[str]) -> "PickFile":
        give = f"give {named('out', 'FOLDER')}"
        if len(sets) != 1:
            raise UserError(f"{len(sets)} sets are ranked together in a new folder; {give}")
        path = direction_file(Path(sets[0]))
        if artefact_kind(path) == KIND:
            writable_folder(path.parent)  # tried before everything is judged
            with claimed(path.parent):
                return cls(path, open_directions(path), False)
        labelled_sets(sets)  # refuses what is no set at all
        raise UserError(f"{sets[0]} is a published or shipped set, which stays as it is; {give}")

    @classmethod
    def _copy(cls, sets: list[str], out: Path) -> "PickFile":
        opened = {label: directions for label, (_, directions) in labelled_sets(sets).items()}
        return cls.into(out, next(iter(opened.values())) if len(opened) == 1 else merged(opened))

    @classmethod
    def into(cls, out: Path, directions: DirectionSet) -> "PickFile":
        """Return the file of a copy of `directions` in the folder `out`; UserError where that holds something else."""
        # The set is written last: the other files alone are of a command that was killed.
        path, others = out / "directions.safetensors", holdings(out, but=_BESIDE)
        ours = others == [path.name] and torch.equal(DirectionSet.load(path).vectors, directions.vectors)
        if others and not ours:
            raise UserError(f"{out} holds files already; choose an empty or new {named('out')}")
        writable_folder(out)
        return cls(path, directions, True)

    def require_unchosen(self, chosen: DirectionSet) -> None:
        """Raise UserError where a copy is there already and not `chosen`, as a command killed at its end left it."""
        if not self.is_copy or not self.path.exists():
            return
        there = DirectionSet.load(self.path)
        same = there.is_as(chosen) and all(
            getattr(there, name) == getattr(chosen, name)
            for name in ("generator", "method", "names", "scores", "choice")
        )
        if not same:
            raise UserError(f"{self.path.parent} holds another choice already; choose an empty or new {named('out')}")

    def choose(
        self, direction: str | int, alpha: float, layers: str | None = None, generator: Generator | None = None
    ) -> DirectionSet:
        """Write a choice made by hand (`with_choice`) and return the set with it."""
        if not self.is_copy:
            return choose_direction(self.path, direction, alpha, None, layers, generator)
        chosen = with_choice(self.directions, direction, alpha, None, layers, generator)
        self.require_unchosen(chosen)
        chosen.save(self.path)
        return chosen


def choose_direction(
    path: Path,
    direction: str | int,
    alpha: float,
    mask_rule: str | None = None,
    layers: str | None = None,
    generator: Generator | None = None,
) -> DirectionSet:
    """Write a choice (`with_choice`) into the set in the file `path`, and return the set as it is now."""
    with claimed(path.parent, PATIENCE):
        chosen = with_choice(open_directions(path), direction, alpha, mask_rule, layers, generator)
        chosen.save(path)
    return chosen


def save_pick(path: Path, picked: Picked, generator: Generator, settings: PickSettings, engine: Engine) -> None:
    """Write pick.json, pick.csv (every direction, sign and length) and pick.png beside the set, then the set itself.

    Names that were given to directions meanwhile are kept. UserError when the set has become another one.
    """
    picture = candidates_picture(generator, picked.directions, picked.finalists[:_SHOWN], settings, engine)
    with claimed(path.parent, PATIENCE):
        picked = replace(picked, directions=_named_as_now(path, picked.directions))
        _write_beside(path.parent, picked, settings, picture)
        picked.directions.save(path)


def _named_as_now(path: Path, directions: DirectionSet) -> DirectionSet:
    """Return the set under the names it has in the file `path`, if there is one; UserError if that is another set."""
    if not path.exists():
        return directions
    now = open_directions(path)
    if not torch.equal(now.vectors, directions.vectors):
        raise UserError(f"{path} has changed since it was judged; pick again")
    return replace(directions, names=now.names)


def _write_beside(folder: Path, picked: Picked, settings: PickSettings, picture: np.ndarray) -> None:
    names = picked.directions.names
    write_json(
        folder / "pick.json",
        {
            "settings": settings.as_dict(),
            "bounds": picked.bounds.as_dict(),
            "weak": [{**asdict(point), "advice": plain(point.advice)} for point in picked.weak],
            "figures": FIGURES,
            "candidates": [{**asdict(c), "name": names[c.index]} for c in picked.finalists],
            "scores": picked.directions.scores,
        },
    )
    write_text(folder / "pick.csv", _as_csv(names, picked.candidates))
    write_picture(folder / "pick.png", picture)


def _as_csv(names: tuple[str, ...], candidates: list[Candidate]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    figures = [name for name in FIGURES if name not in OF_FINALISTS]
    table.writerow(["direction", "name", "sign", "alpha", "score", *figures])
    for c in candidates:
        values = [c.alpha, c.score, *(c.figures[name] for name in figures)]
        table.writerow([c.index, names[c.index], c.sign, *(f"{value:.4f}" for value in values)])
    return text.getvalue()
