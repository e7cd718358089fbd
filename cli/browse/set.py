"""The direction set that the page of `toolkit browse` shows and changes."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.browse.requests import LONGEST
from cli.commands.label import named_line, next_after_naming
from cli.commands.pick import chose, next_after_choosing
from cli.reports.hints import command
from discovery.naming import name_direction
from discovery.opening import open_directions
from discovery.picking.files import choose_direction
from generators.protocol import Generator
from toolkit.directions import KIND, DirectionSet, direction_file
from toolkit.errors import UserError
from toolkit.files.artefacts import artefact_kind
from toolkit.files.shipped import shipped_file
from toolkit.shifts import layers_text

_FIRST_REACH = 6.0


@dataclass
class BrowsedSet:
    """A direction set, the path it goes by in commands, and the file it is changed in.

    `file` is None for a shipped or published set, which stays as it is; `copy` then makes one of the user's own in the
    folder `copy_to`.
    """

    run: Path
    directions: DirectionSet
    file: Path | None
    copy_to: Path
    flags: Sequence[str] = ()  # that name the generator in the next command
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, run: Path, copy_to: Path | None = None, flags: Sequence[str] = ()) -> "BrowsedSet":
        """Return the set in a run folder or file, or the shipped or published one of that name."""
        file = direction_file(run)
        shipped = file.resolve().is_relative_to(shipped_file("directions").resolve())
        own = artefact_kind(file) == KIND and not shipped
        directions = open_directions(file if own else run)
        return cls(run, directions, file if own else None, copy_to or Path(f"{run.stem}-directions"), flags)

    def copy(self) -> str:
        """Copy a read-only set into `copy_to`, go on with the copy, and return a line that says so."""
        with self._lock:
            if self.file is not None:
                raise UserError(f"{self.file} is yours already; name and choose directions right away")
            target = self.copy_to / "directions.safetensors"
            if target.exists():
                raise UserError(
                    f"{self.copy_to} holds a direction set already; open it with {command('browse', self.copy_to)}, or "
                    "name another folder with --copy-to"
                )
            self.directions.save(target)
            self.run, self.file = self.copy_to, target
            return f"wrote {target}: changes go there"

    def name(self, index: int, name: str) -> tuple[str, str]:
        """Name a direction; return a line that says what was written, and the next command."""
        with self._lock:
            file = self._own_file()
            self.directions, index = name_direction(file, index, name)
            return named_line(file, self.directions, index), next_after_naming(self.run, index)

    def choose(
        self, index: int, alpha: float, rule: str, layers: str | None = None, generator: Generator | None = None
    ) -> tuple[str, str]:
        """Choose a direction for segmentation; return a line that says what was written, and the next command.

        It moves the `layers` of the generator that are named from now on, if they are.
        """
        with self._lock:
            file = self._own_file()
            self.directions = choose_direction(file, index, alpha, rule, layers, generator)
            return chose(file, self.directions), next_after_choosing(self.run, self.flags)

    def _own_file(self) -> Path:
        if self.file is None:
            raise UserError(
                f"{self.run} is a shipped or published set, which stays as it is; copy it to {self.copy_to} first"
            )
        return self.file

    def described(self) -> dict[str, Any]:
        """Return what the page shows of the set besides pictures, fit for JSON."""
        found = self.directions
        columns = {name: values for name, values in found.scores.items() if len(values) == len(found)}
        starts = [self._start(index, columns) for index in range(len(found))]
        return {
            "title": self.run.resolve().name,
            "run": str(self.run),
            "generator": found.generator,
            "method": found.method,
            "file": None if self.file is None else str(self.file),
            "copy_to": str(self.copy_to),
            "columns": list(columns),
            "longest": min(LONGEST, max(12.0, math.ceil(2 * max(map(abs, starts))))),
            "choice": None if found.choice is None else vars(found.choice),
            "directions": [
                {
                    "index": index,
                    "name": name,
                    "layers": layers_text(None if found.layers is None else found.layers[index]),
                    "start": starts[index],
                    "sigma": columns["sigma"][index] if "sigma" in columns else None,
                    "scores": [values[index] for values in columns.values()],
                }
                for index, name in enumerate(found.names)
            ],
        }

    def _start(self, index: int, columns: dict[str, list[float]]) -> float:
        """Return the alpha at which the page shows a direction first.

        That is the chosen one, the one judged best, two deviations as in GANSpace's strips, or 6.
        """
        choice = self.directions.choice
        if choice is not None and choice.index == index:
            start = choice.sign * choice.alpha
        elif "sign" in columns and "alpha" in columns:
            start = columns["sign"][index] * columns["alpha"][index]
        else:
            start = 2 * columns["sigma"][index] if "sigma" in columns else _FIRST_REACH
        return start if 0 < abs(start) <= LONGEST else _FIRST_REACH
