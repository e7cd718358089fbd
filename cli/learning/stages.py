"""The stages of learning, each a run folder of its own that the command of that stage could have made."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cli.learning import recipe, verdicts
from cli.learning.job import Job
from discovery.comparing.merging import merged
from discovery.methods.run import discover_into
from discovery.methods.table import METHODS
from discovery.opening import open_directions
from discovery.picking.files import PickFile, save_pick
from discovery.picking.picking import pick_direction
from generators.compact.run import GeneratorRun, first_state
from generators.protocol import Generator, fitting
from generators.recorded import open_recorded
from segmentation.predict.segmenter import Segmenter
from segmentation.self_training.rounds import self_train
from segmentation.synthesis.source import MaskSource
from segmentation.synthesis.synthesizer import latent_source
from segmentation.unet.run import SegmentationRun
from toolkit.directions import DirectionSet
from toolkit.errors import WeakPoint
from toolkit.files.driving import carry_out
from toolkit.files.shipped import recorded_name
from toolkit.files.writing import read_json
from toolkit.pictures.photos import read_squares, usual_side


@dataclass
class Stage(ABC):
    """One stage: what it makes, and what that is worth."""

    job: Job

    name = ""
    spare = False  # whether the run can go on without it

    @property
    def folder(self) -> Path:
        """Return where its run lies."""
        return self.job.at(self.name)

    @property
    @abstractmethod
    def needed(self) -> bool:
        """Return whether it has to be run, nothing that was brought standing in for it."""

    @abstractmethod
    def run(self) -> None:
        """Run or resume it, or see that it is finished; UserError where it comes to nothing."""

    @abstractmethod
    def findings(self) -> list[WeakPoint]:
        """Return what is wrong with the result of the finished stage."""

    def broken(self, why: str) -> WeakPoint:
        """Return what is wrong where a stage that can be spared came to nothing."""
        return WeakPoint(self.name, why, "the run can go on without it", failed=True)

    def result(self) -> dict[str, Any]:
        """Return the figures of the finished stage."""
        return read_json(self.folder / "result.json")

    def figures(self) -> dict[str, Any]:
        """Return the numbers of its result; none where it came to nothing."""
        result = self.result() if (self.folder / "result.json").is_file() else {}
        return {name: value for name, value in result.items() if isinstance(value, int | float)}


class GeneratorStage(Stage):
    """A generator trained on the photos."""

    name = "generator"

    @property
    def needed(self) -> bool:
        """Return whether nothing that was brought has or is a generator."""
        return not any(vars(self.job.brought).values())

    def run(self) -> None:
        """Train it."""
        job, done = self.job, self.folder / "result.json"
        settings = recipe.generator_settings(job.settings, job.steps(recipe.GENERATOR))
        if done.is_file() and self.result().get("steps") == settings.steps:
            return  # before the photos are read again
        pixels = read_squares(job.paths, settings.photo_size, job.watch)
        inputs = {**job.source, "name": "photos"}
        carry_out(
            GeneratorRun(first_state(settings, job.engine), pixels, settings, job.engine, inputs),
            self.folder,
            job.watch,
        )

    def findings(self) -> list[WeakPoint]:
        """Judge it by its quality figures."""
        return verdicts.of_generator(self.result(), self.result()["steps"])


class DirectionsStage(Stage):
    """Direction sets of that generator, by several methods."""

    name = "directions"

    @property
    def needed(self) -> bool:
        """Return whether neither directions nor what is made with them were brought."""
        return self.job.brought.directions is None and self.job.brought.segmenter is None

    def methods(self) -> list[str]:
        """Return the methods that the plan has time for."""
        return [name for name in self.job.settings.method_names if self._is_planned(name)]

    def _is_planned(self, name: str) -> bool:
        assert self.job.plan is not None
        return any(row.part.name == name and not row.omitted for row in self.job.plan.rows)

    def run(self) -> None:
        """Search by one method after another."""
        job = self.job
        generator, inputs = job.made_generator
        for name in self.methods():
            steps = job.steps(name) if name == recipe.DEFORMATOR else None
            settings = recipe.method_settings(job.settings, name, steps)
            engine = job.engine.for_training("auto", steps or 0) if METHODS[name].scales else job.engine
            discover_into(self.folder / name, name, generator, settings, engine, inputs, job.watch)

    def findings(self) -> list[WeakPoint]:
        """Return nothing: directions are judged when one is picked."""
        return []

    def figures(self) -> dict[str, Any]:
        """Return how many each method found."""
        return {name: len(open_directions(self.folder / name)) for name in self.methods()}


class PickStage(Stage):
    """The one direction of all sets that darkens grounds."""

    name = "pick"

    @property
    def needed(self) -> bool:
        """Return whether nothing that was brought holds a choice already."""
        if self.job.brought.segmenter is not None:
            return False
        return self.job.brought.directions is None or open_directions(self.job.brought.directions).choice is None

    def run(self) -> None:
        """Judge all directions and write the choice; the set is written last, and says that this is done."""
        job, file = self.job, self.folder / "directions.safetensors"
        if file.is_file():
            return
        directions, generator, _ = self.candidates()
        settings = recipe.pick_settings(job.settings)
        place = PickFile.into(self.folder, directions)
        picked = pick_direction(generator, directions, settings, job.engine, job.watch)
        save_pick(place.path, picked, generator, settings, job.engine)
        choice = picked.directions.chosen()
        name, length = picked.directions.names[choice.index], choice.sign * choice.alpha
        job.watch.say(f"chose {name}, {length:+.1f}, of {len(directions)} directions; see {self.folder / 'pick.png'}")

    def candidates(self) -> tuple[DirectionSet, Generator, dict[str, str]]:
        """Return all directions, as one set, and their generator."""
        job = self.job
        if job.brought.directions is not None:
            return opened_set(job, job.brought.directions)
        folders = DirectionsStage(job)
        sets = {name: open_directions(folders.folder / name) for name in folders.methods()}
        directions = merged(sets) if len(sets) > 1 else next(iter(sets.values()))
        return directions, *job.made_generator

    def best(self) -> dict[str, Any]:
        """Return the finalist that was chosen, as pick.json has it."""
        return read_json(self.folder / "pick.json")["candidates"][0]

    def findings(self) -> list[WeakPoint]:
        """Judge the choice."""
        return verdicts.of_pick(read_json(self.folder / "pick.json")["weak"])

    def figures(self) -> dict[str, Any]:
        """Return the chosen direction and its figures."""
        best = self.best()
        kept = ("name", "score", "mask_rule")
        return {**{name: best[name] for name in kept}, "alpha": best["sign"] * best["alpha"], **best["figures"]}


class SegmenterStage(Stage):
    """A U-Net trained on synthetic images and the masks of that direction."""

    name = "segmenter"

    @property
    def needed(self) -> bool:
        """Return whether no segmenter was brought."""
        return self.job.brought.segmenter is None

    def chosen(self) -> tuple[DirectionSet, Generator, dict[str, str]]:
        """Return the set with the choice, and its generator."""
        if PickStage(self.job).needed:
            return open_directions(PickStage(self.job).folder), *PickStage(self.job).candidates()[1:]
        assert self.job.brought.directions is not None
        return opened_set(self.job, self.job.brought.directions)

    def run(self) -> None:
        """Train it."""
        job, settings = self.job, recipe.segmentation_settings(self.job.settings)
        directions, generator, inputs = self.chosen()
        source = MaskSource.along(directions.resolve(), generator, inputs, watch=job.watch)
        settings = replace(source.settled(settings), steps=job.steps(self.name))
        engine = job.engine.for_training("auto", settings.steps)
        latents = latent_source(generator, settings)
        work = SegmentationRun(generator, source.shift, settings, engine, latents, source.inputs, source.name)
        carry_out(work, self.folder, job.watch)

    def findings(self) -> list[WeakPoint]:
        """Judge it by the share of samples whose masks passed."""
        return verdicts.of_pairs(self.result())


class SelfTrainingStage(Stage):
    """That segmenter taught by its own best masks of the photos."""

    name = "self-training"
    spare = True

    @property
    def needed(self) -> bool:
        """Return True: it is never brought."""
        return True

    def teacher(self) -> str:
        """Return the segmenter it starts from."""
        return self.job.brought.segmenter or str(SegmenterStage(self.job).folder)

    def run(self) -> None:
        """Train it, round by round."""
        job = self.job
        settings = replace(recipe.self_training_settings(job.settings), steps=job.steps(self.name))
        teacher = Segmenter.load(self.teacher()).to(job.engine.device)
        side = settings.side_for(teacher.image_size, usual_side(job.paths))
        paths = recipe.photos_taught_on(len(job.paths), settings)
        inputs = {"model": recorded_name(self.teacher(), "segmenters"), "model_digest": teacher.digest(), **job.source}
        pixels = self._pixels(paths, side)
        self_train(teacher, pixels, settings, job.engine, self.folder, inputs, None, job.watch)

    def _pixels(self, count: int, side: int) -> np.ndarray:
        if (self.folder / "result.json").is_file():  # nothing is trained any more: one photo is as good as all
            count = 1
        return self.job.some_photos(count, side)

    def findings(self) -> list[WeakPoint]:
        """Judge it by the share of photos whose masks were fit in the first round."""
        first = read_json(self.folder / "round1" / "result.json")
        return verdicts.of_self_training(first["kept_share"])

    def broken(self, why: str) -> WeakPoint:
        """Return what is wrong where too few masks of photos were fit."""
        return WeakPoint(self.name, why, f"the segmenter before it is {self.teacher()}", failed=True)


STAGES: tuple[type[Stage], ...] = (GeneratorStage, DirectionsStage, PickStage, SegmenterStage, SelfTrainingStage)


def opened_set(job: Job, name: str) -> tuple[DirectionSet, Generator, dict[str, str]]:
    """Return a direction set that was brought, its generator or the one brought with it, and how runs record that."""
    directions = open_directions(name)
    if job.brought.generator is not None:
        generator, inputs = job.made_generator
    else:
        opened, inputs = open_recorded(directions.origin)
        generator = opened.to(job.engine.device)
    return fitting(directions, generator), generator, inputs
