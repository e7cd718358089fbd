"""How an artefact on the hub is named: `hub:owner/name@revision`, or `hub:owner/name/file.safetensors@revision`.

Nothing here asks the hub, or imports its library.
"""

import os
import re
from dataclasses import dataclass

from toolkit.errors import UserError

PREFIX = "hub:"
FORM = "hub:owner/name@revision"
ENDING = ".safetensors"
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*\w)?", re.ASCII)
_PART = re.compile(r"[\w][\w .+-]*", re.ASCII)  # of a file's path, and of a revision's
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST = 96  # letters of owner/name, as the hub has it


@dataclass(frozen=True)
class Reference:
    """One artefact on the hub: the repository, a file in it or None, a branch, tag or commit or None (its main one)."""

    repository: str
    file: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        file = "" if self.file is None else f"/{self.file}"
        return f"{PREFIX}{self.repository}{file}" + ("" if self.revision is None else f"@{self.revision}")

    @property
    def is_pinned(self) -> bool:
        """Return whether it names one file of one commit, which can never change."""
        return self.file is not None and self.revision is not None and bool(_COMMIT.fullmatch(self.revision))

    @property
    def name(self) -> str:
        """Return the repository's name without its owner, or that of a file not called after its kind."""
        return self.repository.partition("/")[2]

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Return what a text names; UserError, with the form that it has to have, for anything else."""
        rest, at, revision = text.removeprefix(PREFIX).partition("@")
        owner, _, rest = rest.partition("/")
        name, slash, file = rest.partition("/")
        good = text.startswith(PREFIX) and _is_name(owner) and _is_name(name) and len(owner) + len(name) < _LONGEST
        if not good or (at and not _is_path(revision)) or (slash and not _is_path(file)):
            raise UserError(
                f"{text!r} names nothing on the hub; write {FORM}, or hub:owner/name/FILE{ENDING}@revision where a "
                "repository holds several"
            )
        if file and not file.endswith(ENDING):
            raise UserError(f"{text}: only {ENDING} files are fetched from the hub, never pickles or anything else")
        return cls(f"{owner}/{name}", file or None, revision or None)


def is_reference(name: object) -> bool:
    """Return whether a name is meant to name something on the hub; a file of such a name is `./hub:...`."""
    return isinstance(name, str | os.PathLike) and os.fspath(name).startswith(PREFIX)


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and "--" not in text and ".." not in text and not text.endswith(".git")


def _is_path(text: str) -> bool:
    # The library writes a revision's commit to a file of that name in its cache, and reads it back.
    return all(_PART.fullmatch(part) and not part.endswith(".") and ".." not in part for part in text.split("/"))
