"""How far a clip has come: which segments are finished, and the mean over time from which the next one goes on."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.errors import UserError
from toolkit.files.runs import PROGRESS
from toolkit.files.writing import read_json, write_bytes, write_json


def segment_file(number: int, ending: str) -> str:
    """Return the name of a segment's file."""
    return f"{number:05}{ending}"


@dataclass
class Progress:
    """How many segments, frames and scenes are finished, and the mean over time after the last frame, flat."""

    count: int = 0
    frames: int = 0
    scenes: int = 0
    mean: np.ndarray | None = None

    @classmethod
    def of(cls, folder: Path) -> "Progress":
        """Return what is finished in a folder; nothing, where what is there is not whole."""
        path = folder / PROGRESS
        if not path.exists():
            return cls()
        held = read_json(path)
        names = ("segments", "frames", "scenes")
        if not isinstance(held, dict) or not all(type(held.get(name)) is int and held[name] > 0 for name in names):
            raise UserError(f"{path} does not say what is finished; delete {folder} to start again")
        count, made, scenes = (held[name] for name in names)
        state = folder / f"{count:05}.mean"
        content = state.read_bytes() if state.is_file() else b""
        if hashlib.sha256(content).hexdigest() != held.get("mean") or len(content) % 4:
            return cls()
        return cls(count, made, scenes, np.frombuffer(content, "<f4").astype(np.float32))

    def add(self, folder: Path, frames_made: int, scenes: int, mean: np.ndarray) -> None:
        """Note down a segment that is finished."""
        content = np.ascontiguousarray(mean, "<f4").tobytes()
        before = folder / f"{self.count:05}.mean"
        self.count, self.frames, self.scenes = self.count + 1, frames_made, scenes
        write_bytes(folder / f"{self.count:05}.mean", content)
        digest = hashlib.sha256(content).hexdigest()
        held = {"segments": self.count, "frames": self.frames, "scenes": self.scenes, "mean": digest}
        write_json(folder / PROGRESS, held)
        before.unlink(missing_ok=True)

    def segments(self, folder: Path, ending: str) -> list[Path]:
        """Return the segments in order."""
        return [folder / segment_file(number, ending) for number in range(self.count)]
