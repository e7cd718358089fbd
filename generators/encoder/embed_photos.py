"""Embedding a folder of photos: which photos become which file, resumed where it was stopped, by all processes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from generators.encoder.method import Method, Moved
from generators.latents_file import EmbeddedPhotos, load_unfinished, noise_of, read_record, record_of
from toolkit.compute.team import SOLO, Team
from toolkit.errors import UserError, named
from toolkit.files.names import writable, written_name
from toolkit.pictures.photo_folder import photos_digest
from toolkit.pictures.pixels import from_bytes
from toolkit.watch import SILENT, Advance, Stopped, Watch

_SAVE_SECONDS = 30.0


@dataclass(frozen=True)
class EmbedTask:
    """Which photos become which file of latents, how, and where the state lies in the meantime."""

    folder: Path
    paths: list[Path]
    out: Path
    made: dict[str, Any]

    @property
    def unfinished(self) -> Path:
        """Return where the latents computed so far lie."""
        return self.out.with_name(f".{self.out.stem}.unfinished.safetensors")

    def name_of(self, path: Path) -> str:
        """Return how records name a photo: by its place in the folder."""
        return written_name(path.relative_to(self.folder).as_posix())

    def described(self, count: int) -> dict[str, Any]:
        """Return how latents of the first `count` photos are made."""
        return {**self.made, "photos_digest": photos_digest(self.paths[:count], self.folder)}

    def is_finished(self) -> bool:
        """Return whether the output is there; UserError when it was made otherwise or by others."""
        if not self.out.exists():
            others = (record_of(self.out), noise_of(self.out), self.out.with_suffix(".png"))
            beside = [path for path in others if path.exists()]
            if beside and not self.unfinished.exists():
                raise UserError(
                    f"{beside[0]} exists and would be overwritten; choose another {named('out')}, or remove it"
                )
            return False
        self._require_same(self.out, read_record(self.out) or {}, len(self.paths))
        self.unfinished.unlink(missing_ok=True)  # of a command that was killed as it ended
        return True

    def resumed(self, watch: Watch = SILENT) -> EmbeddedPhotos:
        """Return what an interrupted call has computed so far."""
        if not self.unfinished.exists():
            return EmbeddedPhotos()
        photos, made = load_unfinished(self.unfinished)
        self._require_same(self.unfinished, made, photos.consumed)
        watch.say(f"resuming after {photos.consumed} photos")
        return photos

    def save(self, photos: EmbeddedPhotos) -> None:
        """Write the latents computed so far."""
        photos.save(self.unfinished, self.described(photos.consumed))

    def _require_same(self, path: Path, before: dict[str, Any], count: int) -> None:
        described = self.described(count)
        changed = [
            f"{name} was {before.get(name)!r}, now {value!r}"
            for name, value in described.items()
            if before.get(name) != value
        ]
        if changed:
            raise UserError(
                f"{path} holds latents whose {'; '.join(changed)}; delete it or choose another {named('out')}"
            )


def embed_all(
    task: EmbedTask, batch: int, skip_unreadable: bool, method: Method, team: Team = SOLO, watch: Watch = SILENT
) -> EmbeddedPhotos:
    """Return the latents of all photos; where `watch` asks for a stop keep those so far and raise Stopped.

    Each process reads and estimates the next `batch` photos in turn, and all get what all have estimated. A process
    that is alone stops between two steps of the method, and those photos begin anew.
    """
    photos = team.led(lambda: task.resumed(watch))
    saved, taken, units = time.monotonic(), batch * team.size, method.steps or 1
    total, done, unit = len(task.paths) * units, photos.consumed * units, "steps" if method.steps else "photos"
    with watch.bar("embedding", total, done, unit) as advance, watch.stops() as stop_wanted:
        for start in range(photos.consumed, len(task.paths), taken):
            part = task.paths[start : start + taken]
            own = part[batch * team.rank : batch * (team.rank + 1)]
            # Of several processes one might have no photo of the last part, and would wait for no other.
            moved = _Steps(len(part), units, advance, stop_wanted if team.size == 1 else None)
            try:
                shares = _shares(task, own, len(photos.files), skip_unreadable, method, moved, team)
            except Stopped as stop:
                if photos.files:
                    task.save(photos)
                raise Stopped(f"after {photos.consumed} photos") from stop
            for share in shares:
                photos.append(share)
            advance(moved.left, ", ".join(f"{name} {value:.3f}" for name, value in photos.figures().items()))
            stopping = team.any(stop_wanted())
            last = photos.consumed == len(task.paths)
            # At the end too: beside it, what is written next is known as this command's should it be killed.
            if (last and photos.files) or stopping or time.monotonic() - saved > _SAVE_SECONDS:
                if team.lead:
                    task.save(photos)
                saved = time.monotonic()
            if stopping and not last:
                raise Stopped(f"after {photos.consumed} photos")
    return photos


class _Steps:
    """Moves a bar on after each step of a part of the photos, but the last, which is shown with the part's figures.

    `left` is what the bar has to move on yet. Stopped is raised between two steps where `stop_wanted`.
    """

    def __init__(self, photos: int, steps: int, advance: Advance, stop_wanted: Callable[[], bool] | None) -> None:
        self.left = photos * steps
        self._photos, self._advance, self._stop_wanted = photos, advance, stop_wanted

    def __call__(self) -> None:
        if self.left > self._photos:
            self.left -= self._photos
            self._advance(self._photos)
            if self._stop_wanted is not None and self._stop_wanted():
                raise Stopped


def _shares(
    task: EmbedTask,
    paths: list[Path],
    first_row: int,
    skip_unreadable: bool,
    method: Method,
    moved: Moved,
    team: Team,
) -> list[EmbeddedPhotos]:
    """Return, process after process, the latents of its photos, this one's being `paths`; they begin at `first_row`."""
    share, pictures = EmbeddedPhotos(), {}
    for path in paths:
        try:
            pictures[task.name_of(path)] = method.read(path)
        except UserError as error:
            if not skip_unreadable:
                raise
            share.left_out.append(writable(str(error)))
    # A row's random numbers are those of its place in the file, by how many photos before it were readable.
    before = sum(team.together(lambda: len(pictures))[: team.rank])
    if pictures:
        images = from_bytes(np.stack(list(pictures.values())))
        found = method.estimate(images, first_row + before, moved)
        share.extend(list(pictures), found.latents, found.errors, found.noise)
    return team.together(lambda: share)
