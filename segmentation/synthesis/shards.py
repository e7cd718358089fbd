"""Synthetic pairs as a data set on disk, for anybody's trainer: numbered files, or WebDataset tar shards.

A writer's state says how far it is; whatever lies on disk beyond a state that is resumed is written again.
"""

import contextlib
import os
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from segmentation.synthesis.settings import SynthesizeSettings
from segmentation.synthesis.synthesizer import MaskSynthesizer, SyntheticBatch
from toolkit.compute.team import SOLO, Team
from toolkit.errors import OUT, UserError
from toolkit.files.writing import replace, settle, sha256_of
from toolkit.pictures.pixels import to_bytes
from toolkit.pictures.png import png_bytes


class PairWriter(Protocol):
    """A place that takes pairs of PNG files one by one and can go on from a saved state."""

    pairs: int  # written so far

    def write(self, image: bytes, mask: bytes) -> None:
        """Write the next pair."""
        ...

    def finish(self) -> None:
        """Complete what lies on disk after the last pair."""
        ...

    def contents(self) -> dict[str, Any]:
        """Return where the pairs lie, for the manifest."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return how far the writer is, once all of that is safe on disk."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state; UserError when what was written until then is gone."""
        ...


class FolderWriter:
    """Pair i as images/i.png and masks/i.png below `folder`, i with nine digits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pairs = 0

    def write(self, image: bytes, mask: bytes) -> None:
        """Write both files, each whole or not at all."""
        self._write(self.folder / "images" / f"{self.pairs:09}.png", image)
        self._write(self.folder / "masks" / f"{self.pairs:09}.png", mask)
        self.pairs += 1

    def _write(self, path: Path, content: bytes) -> None:
        # The run folder is this process's alone: one hidden name, which the next pair takes again, serves for all.
        growing = self.folder / ".pair.part"
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            growing.write_bytes(content)
            settle(growing, path)

    def finish(self) -> None:
        """Do nothing: every pair is complete."""

    def contents(self) -> dict[str, Any]:
        """Return the two folders."""
        return {"images": "images", "masks": "masks"}

    def state_dict(self) -> dict[str, Any]:
        """Return the number of pairs."""
        return {"pairs": self.pairs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.pairs = state["pairs"]


class ShardWriter:
    """Pairs in tar files of `shard_size`: shard-000000.tar with 000000000.image.png, 000000000.mask.png and so on.

    The names are WebDataset's (the part before the first dot is the sample's key, the rest the field's). A shard grows
    under a hidden name and gets its own when it is complete, so that memory does not depend on its size. `first` is the
    number of the shard to begin with.
    """

    def __init__(self, folder: Path, shard_size: int, first: int = 0) -> None:
        self.folder = folder
        self.shard_size = shard_size
        self.first = first
        self.pairs = first * shard_size
        self._digests: list[str] = []
        self._bytes = 0  # of the shard under way

    def write(self, image: bytes, mask: bytes) -> None:
        """Append both members to the shard under way, and complete it when it is full."""
        key = f"{self.pairs:09}"
        self._append(_member(f"{key}.image.png", image) + _member(f"{key}.mask.png", mask))
        self.pairs += 1
        if self.pairs % self.shard_size == 0:
            self.finish()

    def finish(self) -> None:
        """Complete the shard under way, if there is one."""
        if self._bytes == 0:
            return
        end = bytes(2 * tarfile.BLOCKSIZE)
        self._append(end + bytes(-(self._bytes + len(end)) % tarfile.RECORDSIZE))
        self._sync()
        complete = self._shard(len(self._digests))
        with _writing(self._growing):
            replace(self._growing, complete)
        self._bytes = 0
        self._digests.append(sha256_of(complete))

    def contents(self) -> dict[str, Any]:
        """Return each shard's name, number of pairs and SHA-256."""
        starts = range(self.first * self.shard_size, self.pairs, self.shard_size)
        return {
            "shards": [
                {"file": self._shard(index).name, "pairs": min(self.shard_size, self.pairs - start), "sha256": digest}
                for index, (start, digest) in enumerate(zip(starts, self._digests, strict=True))
            ]
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the number of pairs, the bytes of the shard under way and the digests of the complete ones."""
        if self._bytes > 0:
            self._sync()
        return {"pairs": self.pairs, "bytes": self._bytes, "digests": list(self._digests)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state: cut the shard that was under way to the length it had."""
        self.pairs, self._bytes, self._digests = state["pairs"], state["bytes"], list(state["digests"])
        if self._bytes == 0:
            return
        complete = self._shard(len(self._digests))
        with _writing(self._growing):
            if not self._growing.exists() and complete.exists():  # it was completed after the state was saved
                os.replace(complete, self._growing)
            if not self._growing.exists() or self._growing.stat().st_size < self._bytes:
                raise UserError(f"{self._growing} is gone or cut short; put it back, or start again in another {OUT}")
            os.truncate(self._growing, self._bytes)

    def _append(self, content: bytes) -> None:
        # Opened each time: it costs little beside rendering, and leaves nothing to close where writing is broken off.
        with _writing(self._growing), self._growing.open("ab" if self._bytes else "wb") as handle:
            handle.write(content)
        self._bytes += len(content)

    def _sync(self) -> None:
        with _writing(self._growing), self._growing.open("r+b") as handle:
            os.fsync(handle.fileno())

    @property
    def _growing(self) -> Path:
        return self.folder / f".{self._shard(len(self._digests)).name}.part"

    def _shard(self, index: int) -> Path:
        return self.folder / shard_name(self.first + index)


def shard_name(index: int) -> str:
    """Return the name of a shard's file."""
    return f"shard-{index:06}.tar"


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; make room, then repeat the command"
        ) from error


def _member(name: str, content: bytes) -> bytes:
    """Return a file as it stands in a tar: header without time, owner or machine, content, zeros to a full block."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    return header.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


_WRITERS: dict[str, Callable[[Path, SynthesizeSettings], PairWriter]] = {
    "folder": lambda folder, settings: FolderWriter(folder),
    "shards": lambda folder, settings: ShardWriter(folder, settings.shard_size),
}


class Follower:
    """The writer of a process that does not lead: it counts what the leading one writes."""

    def __init__(self) -> None:
        self.pairs = 0

    def write(self, image: bytes, mask: bytes) -> None:
        """Count a pair."""
        self.pairs += 1

    def finish(self) -> None:
        """Do nothing."""

    def contents(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return the number of pairs."""
        return {"pairs": self.pairs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the leading process's state."""
        self.pairs = state["pairs"]


def writer_of(settings: SynthesizeSettings, folder: Path, team: Team = SOLO) -> PairWriter:
    """Return the writer of the settings' layout, at its first pair; of a `team` the leading process alone writes."""
    return _WRITERS[settings.layout](folder, settings) if team.lead else Follower()


@dataclass
class SynthesisState:
    """Everything that writing needs to go on: the synthesizer, the writer, and the batches taken."""

    synthesizer: MaskSynthesizer
    writer: PairWriter
    step: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values and tensors."""
        return {
            "synthesizer": self.synthesizer.state_dict(),
            "writer": self.writer.state_dict(),
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.synthesizer.load_state_dict(state["synthesizer"])
        self.writer.load_state_dict(state["writer"])
        self.step = state["step"]


@dataclass(frozen=True)
class SynthesisStep:
    """The batches taken and the pairs written so far."""

    step: int
    pairs: int


def synthesize(state: SynthesisState, settings: SynthesizeSettings) -> Iterator[SynthesisStep]:
    """Write `settings.samples` pairs, yielding after each batch; images as 8-bit RGB, masks as 8-bit 0 and 255.

    The last batch is drawn in full like the others and cut, so that no pair depends on `count`. UserError when the
    filters leave too few samples to fill a batch, or nothing can be written.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        while state.step < settings.steps:
            batch = state.synthesizer.batch(settings.batch)[: settings.samples - state.writer.pairs]
            for image, mask in encoded(batch, state.synthesizer.engine.team, pool):
                state.writer.write(image, mask)
            state.step += 1
            if state.step == settings.steps:
                state.writer.finish()
            yield SynthesisStep(state.step, state.writer.pairs)


def encoded(batch: SyntheticBatch, team: Team, pool: ThreadPoolExecutor) -> list[tuple[bytes, bytes]]:
    """Return images and masks as PNG files, in order; each process encodes every `team.size`-th pair, in threads."""
    own = batch[team.rank :: team.size]
    images, masks = to_bytes(own.images), own.masks.cpu().numpy() * np.uint8(255)
    pairs = list(zip(pool.map(png_bytes, images), pool.map(png_bytes, masks), strict=True))
    shares = team.together(lambda: pairs)
    return [shares[index % team.size][index // team.size] for index in range(len(batch))]
