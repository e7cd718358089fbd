"""Whether code may run that the name of a generator leads to: what the user typed may, what a file says may not.

A name in a direction set, in an args.json or in a run folder is data, and whoever made that file chose it. So
factories, plug-ins and saved programs run where the user typed their name, and later where a file names the very same
code: the same words, the same file with the same content, and the same files named by the options. What was typed is
remembered in the user's own folder of settings, one small file each; deleting that folder forgets it all.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UserError, named
from toolkit.files.places import settings_folder
from toolkit.files.writing import sha256_of, write_json


@dataclass(frozen=True)
class Code:
    """What opening a generator would run.

    `name` is what stands behind --generator, `file` where the code lies, None where it has no file, and `options` what
    the code is called with. A program is whole in its file; other code may import what lies beside it.
    """

    name: str
    file: Path | None
    options: Mapping[str, str]
    is_program: bool = False

    @property
    def place(self) -> str:
        """Return in words where the code lies."""
        return "a module without a file" if self.file is None else str(self.file.resolve())

    def digest(self) -> str:
        """Return 64 letters that stand for this code, called so; they change with its file."""
        content = None if self.file is None else sha256_of(self.file)
        if self.is_program:  # the same program anywhere: its options choose classes, no file
            return _sha256(["program", content])
        # The same words mean other code in another folder, and another file of weights.
        named = [str(Path(value).resolve()) for value in self.options.values() if os.path.exists(value)]
        return _sha256(["factory", self.name, self.place, content, named])


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


@dataclass(frozen=True)
class Recorded:
    """A name read from a file: code that the user has typed before may run, no other."""

    def admit(self, code: Code) -> None:
        """Return if `code` may run; UserError saying what would run, and how to run it all the same."""
        if not is_known(code):
            raise UserError(
                f"the generator {code.name} is named by a file, not by you, and opening it runs the code in "
                f"{code.place}; if you trust that code, give {named('generator', shlex.quote(code.name))}"
            )

    def say(self, line: str) -> None:
        """Pass over a line on a file: whoever named it first has seen it."""


@dataclass(frozen=True)
class Typed:
    """A name that the user typed: its code may run. `notice` gets a line the first time; the code is remembered.

    Of several processes of one command, one alone should remember it and print the notice.
    """

    notice: Callable[[str], None] = lambda line: None
    remember: bool = True

    def admit(self, code: Code) -> None:
        """Return, after telling of code that has not run before."""
        if not self.remember or is_known(code):
            return
        self.notice(f"note: {code.name} runs the code in {code.place}")
        try:
            write_json(_record(code), {"generator": code.name, "file": code.place})
        except (UserError, RuntimeError):  # no home, or one that cannot be written: it has to be typed each time
            return

    def say(self, line: str) -> None:
        """Give `notice` a line on the file that the name means."""
        if self.remember:
            self.notice(line)


Trust = Recorded | Typed
RECORDED, TYPED = Recorded(), Typed()


def is_known(code: Code) -> bool:
    """Return whether the user has typed the name of this very code before."""
    try:
        return _record(code).is_file()
    except RuntimeError:  # a user without a home
        return False


def _record(code: Code) -> Path:
    return settings_folder() / "trusted" / f"{code.digest()}.json"
