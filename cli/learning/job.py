"""One run of learning: what it reads, where it writes, and how far its plan goes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cli.learning.plan import Plan
from cli.learning.settings import STAGES, LearnSettings
from generators.protocol import Generator
from generators.recorded import generator_inputs
from toolkit.compute.engine import Engine
from toolkit.pictures.photo_folder import photos_digest
from toolkit.pictures.photos import read_squares
from toolkit.watch import Watch

FOLDERS = {name: f"{number}-{name}" for number, name in enumerate(STAGES, start=1)}


@dataclass(frozen=True)
class Brought:
    """Results of stages that were made before, by name or path; such a stage, and all before it, is not run."""

    generator: str | None = None
    directions: str | None = None
    segmenter: str | None = None


@dataclass
class Job:
    """What all stages of one run share; `open_named` opens a generator by the name that was typed or passed,
    `show_plan` shows a plan once it is made or read."""

    folder: Path
    paths: list[Path]
    settings: LearnSettings
    brought: Brought
    engine: Engine
    out: Path
    watch: Watch
    open_named: Callable[[str], Generator]
    show_plan: Callable[[Plan], None]
    plan: Plan | None = None

    @cached_property
    def source(self) -> dict[str, str]:
        """Return how runs record the photos."""
        return {"photos": str(self.folder.resolve()), "photos_digest": photos_digest(self.paths, self.folder)}

    @property
    def inputs(self) -> dict[str, str]:
        """Return how the whole run records what it reads."""
        brought = {name: value for name, value in vars(self.brought).items() if value is not None}
        return {**self.source, **brought}

    def at(self, stage: str) -> Path:
        """Return the folder of a stage."""
        return self.out / FOLDERS[stage]

    def steps(self, part: str) -> int:
        """Return the planned steps of a part."""
        assert self.plan is not None
        return self.plan.steps(part)

    @cached_property
    def made_generator(self) -> tuple[Generator, dict[str, str]]:
        """Return the generator of this run, or the one that was brought, and how runs record it."""
        name = self.brought.generator or str(self.at("generator") / "generator.safetensors")
        return self.open_named(name).to(self.engine.device), generator_inputs(name)

    def some_photos(self, count: int, side: int) -> np.ndarray:
        """Return `count` of the photos, spread evenly, or all of fewer: their squares uint8 (N, side, side, 3)."""
        chosen = spread(self.paths, count)
        return read_squares(chosen, side, self.watch).permute(0, 2, 3, 1).numpy()


def spread(paths: list[Path], count: int) -> list[Path]:
    """Return `count` of the paths, spread evenly over them, or all of fewer."""
    if count >= len(paths):
        return list(paths)
    return [paths[i * len(paths) // count] for i in range(count)]
