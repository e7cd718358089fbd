"""The work of `toolkit embed`: which photos become which file, and telling their latents in turn, by all processes."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.inputs.options import require
from cli.inputs.photo_folder import photos_digest
from cli.runs.progress import Bar, StopRequest, console
from toolkit.errors import UserError
from toolkit.files.names import writable, written_name

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch

    from generators.latents_file import EmbeddedPhotos
    from toolkit.compute.team import Team

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
        """Return where latents told so far lie."""
        return self.out.with_name(f".{self.out.stem}.unfinished.safetensors")

    def name_of(self, path: Path) -> str:
        """Return how records name a photo: by its place in the folder."""
        return written_name(path.relative_to(self.folder).as_posix())

    def described(self, count: int) -> dict[str, Any]:
        """Return how latents of the first `count` photos are made."""
        return {**self.made, "photos_digest": photos_digest(self.paths[:count], self.folder)}

    def is_finished(self) -> bool:
        """Tell whether the output is there; UserError when it was made otherwise or by others."""
        from generators.latents_file import read_record, record_of

        if not self.out.exists():
            beside = [path for path in (record_of(self.out), self.out.with_suffix(".png")) if path.exists()]
            require(
                not beside or self.unfinished.exists(),
                f"{beside[0] if beside else ''} exists and would be overwritten; choose another --out, or remove it",
            )
            return False
        self._require_same(self.out, read_record(self.out) or {}, len(self.paths))
        self.unfinished.unlink(missing_ok=True)  # of a command that was killed as it ended
        return True

    def take_up(self) -> "EmbeddedPhotos":
        """Return what an interrupted command has told so far."""
        from generators.latents_file import EmbeddedPhotos, load_unfinished

        if not self.unfinished.exists():
            return EmbeddedPhotos()
        found, made = load_unfinished(self.unfinished)
        self._require_same(self.unfinished, made, found.consumed)
        console.print(f"going on after {found.consumed} photos")
        return found

    def save(self, found: "EmbeddedPhotos") -> None:
        """Write the latents told so far."""
        found.save(self.unfinished, self.described(found.consumed))

    def _require_same(self, path: Path, before: dict[str, Any], count: int) -> None:
        described = self.described(count)
        changed = [
            f"{name} was {before.get(name)!r}, now {value!r}"
            for name, value in described.items()
            if before.get(name) != value
        ]
        if changed:
            raise UserError(f"{path} holds latents whose {'; '.join(changed)}; delete it or choose another --out")


def embed_all(
    task: EmbedTask,
    batch: int,
    skip_unreadable: bool,
    read: "Callable[[Path], np.ndarray]",
    tell: "Callable[[torch.Tensor, int], tuple[torch.Tensor, dict[str, torch.Tensor]]]",
    team: "Team",
) -> "EmbeddedPhotos":
    """Return the latents of all photos; on Ctrl-C or SIGTERM keep those told so far and leave with status 130.

    Each process reads and tells the next `batch` photos in turn, and all get what all have told.
    """
    found = team.led(task.take_up)
    saved, taken = time.monotonic(), batch * team.size
    with Bar("embedding", len(task.paths), found.consumed, unit="photos") as bar, StopRequest() as stop:
        for start in range(found.consumed, len(task.paths), taken):
            part = task.paths[start : start + taken]
            own = part[batch * team.rank : batch * (team.rank + 1)]
            for share in _shares(task, own, len(found.files), skip_unreadable, read, tell, team):
                found.append(share)
            bar.advance(len(part), ", ".join(f"{name} {value:.3f}" for name, value in found.figures().items()))
            stopping = team.any(bool(stop))
            last = found.consumed == len(task.paths)
            # At the end too: beside it, what is written next is known as this command's should it be killed.
            if (last and found.files) or stopping or time.monotonic() - saved > _SAVE_SECONDS:
                if team.lead:
                    task.save(found)
                saved = time.monotonic()
            if stopping and not last:
                console.print(f"stopped after {found.consumed} photos; the same command goes on from there")
                raise typer.Exit(130)
    return found


def _shares(
    task: EmbedTask,
    paths: list[Path],
    first_row: int,
    skip_unreadable: bool,
    read: "Callable[[Path], np.ndarray]",
    tell: "Callable[[torch.Tensor, int], tuple[torch.Tensor, dict[str, torch.Tensor]]]",
    team: "Team",
) -> "list[EmbeddedPhotos]":
    """Return, process after process, the latents of its photos, this one's being `paths`; they begin at `first_row`."""
    import numpy as np

    from generators.latents_file import EmbeddedPhotos
    from toolkit.pictures.pixels import from_bytes

    share, pictures = EmbeddedPhotos(), {}
    for path in paths:
        try:
            pictures[task.name_of(path)] = read(path)
        except UserError as error:
            if not skip_unreadable:
                raise
            share.left_out.append(writable(str(error)))
    # A row's random numbers are those of its place in the file, which tells how many photos before it were readable.
    before = sum(team.together(lambda: len(pictures))[: team.rank])
    if pictures:
        images = from_bytes(np.stack(list(pictures.values())))
        share.extend(list(pictures), *tell(images, first_row + before))
    return team.together(lambda: share)
