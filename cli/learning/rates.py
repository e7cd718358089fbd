"""How fast each part of the run is on this machine: a few steps of each are taken and timed, and thrown away."""

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch

from cli.learning import recipe
from cli.learning.job import Job
from discovery.methods.search import DirectionSearch
from discovery.methods.table import search_of
from discovery.picking.measuring import Judge
from discovery.picking.stages import images_needed
from generators.compact.network import CompactGenerator
from generators.compact.training import GeneratorState, train
from generators.protocol import Generator, image_shape
from segmentation.predict.familiarity import MOST_PHOTOS
from segmentation.predict.segmenter import Segmenter
from segmentation.self_training.rounds import make_cuts, make_masks
from segmentation.self_training.settings import SelfTrainingSettings
from segmentation.self_training.training import MaskedPhotos, SelfTrainingState
from segmentation.self_training.training import train as train_on_photos
from segmentation.synthesis.synthesizer import latent_source
from segmentation.unet.training import SegmentationState
from segmentation.unet.training import train as train_on_pairs
from toolkit.compute.engine import Engine
from toolkit.compute.planning import Part
from toolkit.directions import DirectionSet
from toolkit.errors import UserError, named
from toolkit.pictures.photos import read_square, usual_side
from toolkit.streams import Stream

_WARM, _LEAST_TIMED, _SECONDS = 2, 3, 2.0
_REFILLED = 1.2  # times as long as without filters, which reject some pairs
_OF_FINALISTS = 4000  # images that finalists' scores and consensus cost as much as
_MANY = 1000  # directions: more than those that are judged in full, so that what one more costs is seen
_GENERATOR_WEIGHT = 6.0  # of the time left, to one of the deformator: its directions are hardly better than GANSpace's
_PICTURES = 20.0  # seconds of charts and reports
_LOOKS = 2.5  # at a photo whose statistics are kept, by a square: it, and a shape that is half as large again
_FEW_DIRECTIONS = 2  # of a method that is not asked for a number of them


def seconds_each(steps: Iterable[Any], engine: Engine, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how many seconds a step takes: three are timed after two that warm up, or as many as two seconds hold."""
    taken = iter(steps)
    for _ in itertools.islice(taken, _WARM):
        _finished(engine)
    count, start = 0, clock()
    while count < _LEAST_TIMED or clock() - start < _SECONDS:
        if next(taken, None) is None:
            break
        _finished(engine)
        count += 1
    return (clock() - start) / max(count, 1)


def _finished(engine: Engine) -> None:
    if engine.device.type == "cuda":
        torch.cuda.synchronize(engine.device)


def measured(job: Job, stages: Iterable[str]) -> list[Part]:
    """Return the parts of these stages with their rates."""
    makers = {
        "generator": _generator,
        "directions": _directions,
        "pick": _pick,
        "segmenter": _segmenter,
        "self-training": _self_training,
    }
    return [part for stage in stages for part in makers[stage](job)]


def unmeasured(job: Job, stages: Iterable[str]) -> list[Part]:
    """Return the parts of the shortest run there can be, whose steps are known."""
    names = job.settings.method_names if job.brought.generator is None else possible(job, job.made_generator[0])
    parts = {
        "generator": [Part(recipe.GENERATOR, least=4, most=4)],
        "directions": [Part(name, least=4, most=4) for name in names],
        "pick": [Part("pick")],
        "segmenter": [Part("segmenter", least=4, most=4)],
        "self-training": [Part(recipe.SELF_TRAINING, least=4, most=4)],
    }
    return [part for stage in stages for part in parts[stage]]


def _generator(job: Job) -> list[Part]:
    settings = recipe.generator_settings(job.settings, 10**6)
    bounds = recipe.generator_bounds(len(job.paths), settings.batch)
    photos = _noise(job, settings.batch, settings.image_size)
    steps = train(GeneratorState.start(settings, job.engine), photos, settings, job.engine)
    reading = len(job.paths) * _reading(job, settings.image_size)
    seconds = seconds_each(steps, job.engine)
    return [Part(recipe.GENERATOR, seconds, bounds.least, bounds.most, _GENERATOR_WEIGHT, reading)]


def _reading(job: Job, side: int) -> float:
    """Return how many seconds it takes to read one photo."""
    paths = job.paths[: _LEAST_TIMED + _WARM]
    return seconds_each((read_square(path, side) for path in paths), job.engine)


def _noise(job: Job, count: int, side: int) -> torch.Tensor:
    return (Stream(0, "rates").uniform(count, 3 * side * side).view(count, 3, side, side) * 255).to(torch.uint8)


def _stand_in(job: Job) -> Generator:
    """Return the generator that was brought, or one as the run will train it, untrained: it renders as fast."""
    if job.brought.generator is not None:
        return job.made_generator[0]
    state = GeneratorState.start(recipe.generator_settings(job.settings, 1), job.engine)
    return CompactGenerator(state.average, {"name": "stand-in"})


def _directions(job: Job) -> list[Part]:
    generator = _stand_in(job)
    judging = _judging(job, generator)
    return [_method(job, name, generator, judging) for name in possible(job, generator)]


def possible(job: Job, generator: Generator) -> list[str]:
    """Return the methods that can search a generator, after saying which cannot."""
    names = []
    for name in job.settings.method_names:
        try:
            search_of(name)(generator, recipe.method_settings(job.settings, name), job.engine)
            names.append(name)
        except UserError as error:
            job.watch.say(f"note: {name} is omitted: {error}")
    if not names:
        raise UserError(
            f"none of the {named('methods')} {job.settings.methods} can search {generator.name}; name others"
        )
    return names


def _method(job: Job, name: str, generator: Generator, judging: float) -> Part:
    """Return the part of a method, the judging of its directions included; those with steps can be omitted."""
    search = search_of(name)(generator, recipe.method_settings(job.settings, name), job.engine)
    fixed = _PICTURES + judging * _images_each(job) * _count(search)
    if search.total == 0:
        return Part(name, fixed=fixed)
    seconds, optional = seconds_each(search.steps(), job.engine), name != job.settings.method_names[0]
    bounds = recipe.Bounds(search.total, search.total)
    if name == recipe.DEFORMATOR:
        bounds = recipe.deformator_bounds()
    return Part(name, seconds, bounds.least, bounds.most, fixed=fixed, optional=optional)


def _count(search: DirectionSearch) -> int:
    """Return how many directions a search is going to find."""
    if not hasattr(search.settings, "directions"):
        return _FEW_DIRECTIONS
    return search.settings.directions or search.generator.latent_dim


def _judging(job: Job, generator: Generator) -> float:
    """Return how many seconds one image takes that is rendered and judged."""
    settings, sampled = recipe.pick_settings(job.settings), slice(None)
    directions = DirectionSet(torch.eye(generator.latent_dim), generator.name, "rates")
    judge, alphas = Judge(generator, directions, settings, job.engine), settings.alphas()
    looks = (judge.along(index, 1, alphas, sampled) for index in range(min(_WARM + _LEAST_TIMED, len(directions))))
    return seconds_each(looks, job.engine) / (settings.samples * (settings.num_alphas + 1))


def _images_each(job: Job) -> int:
    """Return how many images the judging of one more direction takes, which soon falls behind."""
    settings = recipe.pick_settings(job.settings)
    return images_needed(settings, _MANY + 1) - images_needed(settings, _MANY)


def _pick(job: Job) -> list[Part]:
    """Return the part of what is done with the best; that all are looked at is a part of each method."""
    best = images_needed(recipe.pick_settings(job.settings), _MANY) - _MANY * _images_each(job)
    return [Part("pick", fixed=(best + _OF_FINALISTS) * _judging(job, _stand_in(job)) + _PICTURES)]


def _segmenter(job: Job) -> list[Part]:
    settings = recipe.segmentation_settings(job.settings)
    timed = replace(settings, area_filter=False, histogram_filter=False, steps=10**6, validate_every=10**6)
    generator = _stand_in(job)
    shift = torch.eye(generator.latent_dim)[0]
    state = SegmentationState.start(generator, shift, timed, job.engine, latent_source(generator, timed))
    seconds = _REFILLED * seconds_each(train_on_pairs(state, timed, job.engine), job.engine)
    return [Part("segmenter", seconds, settings.steps, settings.steps, fixed=_PICTURES)]


def _self_training(job: Job) -> list[Part]:
    settings, own = recipe.self_training_settings(job.settings), _segmenter_side(job)
    side = settings.side_for(own, usual_side(job.paths))
    sides = [settings.side_of_round(number, own, side) for number in range(1, settings.rounds + 1)]
    seconds = sum(_teaching(job, settings, each) for each in sides)
    teacher = Segmenter(SelfTrainingState.start(settings, job.engine).network, own)
    taught = recipe.photos_taught_on(len(job.paths), settings)
    fixed = (_masking(job, teacher, settings, side) + _reading(job, side)) * taught + _PICTURES
    fixed += _remembering(job, teacher, side) * _LOOKS * min(taught, MOST_PHOTOS)
    return [Part(recipe.SELF_TRAINING, seconds, settings.steps, settings.steps, fixed=fixed)]


def _remembering(job: Job, segmenter: Segmenter, side: int) -> float:
    """Return how many seconds one photo takes of those that the last segmenter keeps statistics of."""
    photos = job.some_photos(_WARM + _LEAST_TIMED, side)
    return seconds_each((list(segmenter.judged_predictions([(None, photo)])) for photo in photos), job.engine)


def _teaching(job: Job, settings: SelfTrainingSettings, side: int) -> float:
    """Return how many seconds a step of one round takes at such a side."""
    endless = replace(settings, steps=10**6, validate_every=10**6, held_out_share=0.0)
    photos = _noise(job, settings.batch, side)
    masked = MaskedPhotos(photos, photos[:, 0] > 127, settings.batch)
    return seconds_each(
        train_on_photos(SelfTrainingState.start(endless, job.engine), masked, endless, job.engine), job.engine
    )


def _segmenter_side(job: Job) -> int:
    if job.brought.segmenter is not None:
        return Segmenter.load(job.brought.segmenter).image_size
    return min(image_shape(_stand_in(job)))


def _masking(job: Job, segmenter: Segmenter, settings: SelfTrainingSettings, side: int) -> float:
    """Return how many seconds the mask of one photo takes, all rounds together: they share the cut."""
    photos = job.some_photos(_WARM + _LEAST_TIMED, side)
    ones = [photos[i : i + 1] for i in range(len(photos))]
    cuts = [make_cuts(one, settings) for one in ones]
    cutting = seconds_each((make_cuts(one, settings) for one in ones), job.engine)
    rounds = (make_masks(segmenter, one, cut, settings, job.engine) for one, cut in zip(ones, cuts, strict=True))
    return cutting + settings.rounds * seconds_each(rounds, job.engine)
