"""Sharing: one artefact and its model card become one commit of a repository on the hub."""

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from toolkit.errors import UserError, named
from toolkit.files.artefacts import artefact_kind, load_artefact, save_artefact
from toolkit.files.workplace import temporary_folder
from toolkit.files.writing import existing_file, sha256_of
from toolkit.hub.cards import MARK, model_card
from toolkit.hub.fetching import ROLES
from toolkit.hub.reference import ENDING, FORM, Reference
from toolkit.hub.refusals import LOGIN, TIMEOUT, endpoint, library, refusing
from toolkit.watch import SILENT, Watch

README = "README.md"
UNKNOWN_LICENCE = "unknown"
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # as all of the hub's names for licences are


@dataclass(frozen=True)
class Prepared:
    """What goes up: the content of the artefact's file and of its card; `shortened` are paths that do not go along."""

    target: Reference
    role: str
    content: bytes
    card: str
    shortened: tuple[str, ...]

    @property
    def file(self) -> str:
        """Return the name of the artefact's file in the repository."""
        return self.target.file or f"{ROLES[self.role][0]}{ENDING}"

    @property
    def files(self) -> dict[str, int]:
        """Return the size in bytes of each file that goes up."""
        return {self.file: len(self.content), README: len(self.card.encode())}


@dataclass(frozen=True)
class Shared:
    """Where an artefact is now, what names it for ever, and whether anything had to be changed for that."""

    address: str
    reference: Reference
    changed: bool


def prepare(artefact: str | os.PathLike[str], target: str, licence: str = UNKNOWN_LICENCE) -> Prepared:
    """Return what sharing an artefact, a file or the run folder of one, as `target` (hub:owner/name) would send.

    Nothing is asked or sent. Paths of this machine in the artefact's own record are shortened to their last names.
    UserError for what is no artefact of this toolkit, and for a name or a licence that the hub could not have.
    """
    place = Reference.parse(target)
    library(place)
    if not _LICENCE.fullmatch(licence):
        raise UserError(
            f"{named('license', licence)} is none of the hub's names for licences, such as mit or cc-by-4.0"
        )
    path = _artefact_file(Path(artefact))
    kind, role = _kind_and_role(path)
    tensors, card = load_artefact(path, kind)
    paths: list[str] = []
    shorter = _shortened(card, paths)
    if paths and role == "directions":
        shorter["source"] = _without_generator(card["source"], shorter["source"])
    content = path.read_bytes()
    with temporary_folder() as folder:
        copy = folder / path.name
        if paths:
            save_artefact(copy, kind, tensors, shorter)
            content = copy.read_bytes()
        else:
            copy.write_bytes(content)
        text = model_card(role, shorter, place, sha256_of(copy), licence)
    return Prepared(place, role, content, text, tuple(paths))


def push(prepared: Prepared, private: bool = False, message: str | None = None, watch: Watch = SILENT) -> Shared:
    """Send it as one commit, to a repository that is made where there is none; return where it is.

    A model card that somebody wrote himself is left as it is. UserError for whatever the hub refuses, and where the
    repository is public already but is to be private.
    """
    target = prepared.target
    hub = library(target)
    with refusing(target, pushing=True):
        if hub.get_token() is None:
            raise UserError(f"{target}: sharing needs a token of {endpoint(hub)}; {LOGIN}")
        api = hub.HfApi()
        api.create_repo(target.repository, private=private or None, exist_ok=True)
        before = api.repo_info(target.repository, revision=target.revision, timeout=TIMEOUT)
        if private and not before.private:
            raise UserError(
                f"{target} is public already, and stays so; share under another name, or make it private there"
            )
        contents = {prepared.file: prepared.content}
        if _is_ours(hub, target, before):
            contents[README] = prepared.card.encode()
        else:
            watch.say(f"note: the {README} of {target.repository} is somebody's own, and is left as it is")
        # Given as open files, what is sent takes the way that every server of the hub's API has, with Xet or without.
        operations = [hub.CommitOperationAdd(name, io.BytesIO(content)) for name, content in contents.items()]
        said = message or f"Share {prepared.file}"
        made = api.create_commit(target.repository, operations, commit_message=said, revision=target.revision)
    reference = Reference(target.repository, prepared.file, made.oid)
    return Shared(f"{endpoint(hub)}/{target.repository}", reference, made.oid != before.sha)


def _artefact_file(path: Path) -> Path:
    if not path.is_dir():
        return existing_file(path, "artefact") or path
    names = [f"{stem}{ENDING}" for stem, _ in ROLES.values()]
    held = [name for name in names if (path / name).is_file()]
    if len(held) != 1:
        what = f"holds {' and '.join(held)}; name one of them" if held else f"holds none of {', '.join(names)}"
        raise UserError(f"{path} {what}")
    return path / held[0]


def _kind_and_role(path: Path) -> tuple[str, str]:
    kind = artefact_kind(path)
    role = next((role for role, (_, kinds) in ROLES.items() if kind in kinds), None)
    if kind is None or role is None:
        what = f"of the kind {kind!r}" if kind else "no artefact of this toolkit"
        raise UserError(
            f"{path} is {what}; what is shared as {FORM} is a generator, direction set, encoder or segmenter in a "
            f"{ENDING} file; convert others first"
        )
    return kind, role


def _shortened(value: Any, found: list[str]) -> Any:
    """Return a card with the last names of absolute paths in their place, which are added to `found`."""
    if isinstance(value, Mapping):
        return {key: _shortened(one, found) for key, one in value.items()}
    if isinstance(value, list):
        return [_shortened(one, found) for one in value]
    if not isinstance(value, str) or not (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return value
    found.append(value)
    return (PurePosixPath if value.startswith("/") else PureWindowsPath)(value).name


def _without_generator(before: Any, after: Any) -> Any:
    """Return the source of a set that says of a generator's file, which does not go along, that it has to be named."""
    if not isinstance(before, Mapping) or before.get("generator") == after.get("generator"):
        return after
    _, at, options = str(after["generator"]).partition("@")
    return {**after, "missing": f"FILE{at}{options}"}


def _is_ours(hub: Any, target: Reference, before: Any) -> bool:
    """Return whether a repository's card is one that sharing wrote, or there is none yet."""
    if README not in [one.rfilename for one in before.siblings or ()]:
        return True
    path = hub.hf_hub_download(target.repository, README, revision=before.sha, etag_timeout=TIMEOUT)
    return MARK in Path(path).read_text(encoding="utf-8", errors="replace")
