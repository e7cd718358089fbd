"""The verbs of `import toolkit` about directions: discover, pick, edit latents along one, render images or a walk."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from discovery.comparing.merging import merged
from discovery.methods.run import discover_into, found_by
from discovery.methods.table import METHODS, search_of
from discovery.opening import open_directions
from discovery.picking.files import PickFile, save_pick
from discovery.picking.picking import pick_direction
from discovery.settings import PickSettings
from discovery.walks import walk_along
from generators.catalogue import DEFAULT
from generators.face import AnyGenerator, as_generator, generator_for, recorded_as
from generators.layered import seen_at
from generators.protocol import Generator, Latents, fitting, rendered
from toolkit.compute.engine import Engine, choose_engine
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.writing import writable_file
from toolkit.pictures.animation import ENDINGS, write_animation
from toolkit.pictures.photos import write_picture
from toolkit.pictures.pixels import grid, resized_to, to_bytes
from toolkit.screen import watch_of
from toolkit.settings import Settings

AnyDirections = DirectionSet | str | os.PathLike[str]
Where = str | os.PathLike[str]
_FRAMES_A_SECOND = 20.0
_REACH = 6.0  # of a walk along a direction without a length
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")


def discover(
    generator: AnyGenerator = DEFAULT,
    method: str = "ganspace",
    *,
    out: Where | None = None,
    preset: str = "quick",
    settings: Settings | None = None,
    layers: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: bool = False,
    **changes: Any,
) -> DirectionSet:
    """Return directions of a generator's latent space, found by a method of `toolkit discover`.

    By default principal components of its features (GANSpace), which take half a minute of a CPU core for flowers64 and
    serve as well; `method="deformator"` is the papers', half an hour with `preset="quick"`, days with "paper".
    `changes` are fields of the method's settings, such as `samples=2000`. They move `layers` alone, such as "0-3,7", of
    a style-based generator, unless these are not named. In the folder `out` it leaves what the
    command leaves, and the same call resumes it. UserError for what cannot be found.

    >>> discover("scene", "random", directions=8)
    <DirectionSet: 8 directions of scene by random>
    """
    if method not in METHODS:
        raise UserError(f"method is {method!r}; choose one of {', '.join(METHODS)}")
    chosen = METHODS[method].settings.of(settings, preset, changes)
    opened, record = seen_at(as_generator(generator), layers), recorded_as(generator)
    engine = choose_engine(device, precision, out)
    if METHODS[method].scales:
        engine = engine.for_training("auto", getattr(chosen, "steps", 0))
    opened, watch = opened.to(engine.device), watch_of(progress)
    if out is not None:
        return discover_into(Path(out), method, opened, chosen, engine, record, watch)
    search = search_of(method)(opened, chosen, engine)
    with watch.bar(search.label, search.total) as advance:
        for step in search.steps():
            advance(1, search.describe({name: float(value) for name, value in vars(step).items() if name != "step"}))
    found = found_by(search).directions
    return replace(found, card={"source": record, **found.card})


def pick(
    directions: AnyDirections | Mapping[str, AnyDirections],
    generator: AnyGenerator | None = None,
    *,
    out: Where | None = None,
    settings: PickSettings | None = None,
    layers: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: bool = False,
    **changes: Any,
) -> DirectionSet:
    """Return a set with scores of its directions as background darkeners, and the best as its `choice`.

    Several sets of one generator, by label, are ranked together as one, whose directions are named `label/name`.
    The generator is the one that the set records unless another is passed. `layers`, such as "0-3,7" or "all", are
    those that the directions are judged on and then move. `changes` are fields of PickSettings. With `out` the set is
    saved there with the table and the picture that `toolkit pick` writes. UserError if none will do.

    >>> pick("flowers64", samples=8, compared=8, lengths=1).choice.sign in (1, -1)
    True
    """
    chosen = PickSettings.of(settings, None, changes)
    gan, opened = _generator_and_set(_as_one(directions), generator, layers)
    file = None if out is None else PickFile.into(Path(out), opened)
    engine = choose_engine(device, precision)
    gan = gan.to(engine.device)
    picked = pick_direction(gan, opened, chosen, engine, watch_of(progress))
    if file is not None:
        file.require_unchosen(picked.directions)
        save_pick(file.path, picked, gan, chosen, engine)
    return picked.directions


def edit(
    latents: Latents,
    directions: AnyDirections,
    direction: str | int | None = None,
    alpha: float | None = None,
    *,
    sigma: float | None = None,
    centred: bool = False,
    layers: str | None = None,
    generator: AnyGenerator | None = None,
) -> Latents:
    """Return latents moved by `alpha` along a direction, by number or name; unless passed, along the chosen one.

    `sigma` is the length in standard deviations of the latents instead, of the generator's if it is passed; `centred`
    edits begin where the mean latent lies along the direction (both of sets by GANSpace). With `layers`, such as
    "0-3,7" or "all", it moves these of the generator, which is the one that the set records unless another is passed,
    instead of those that the set says.

    >>> from generators.face import sample
    >>> edit(sample("flowers64", 4), "flowers64", direction=25, alpha=-3.0)
    <Latents: 4 of 64 numbers>
    """
    _require_latents(latents)
    opened = as_directions(directions)
    gan = None
    if layers is not None or generator is not None:
        gan, opened = _generator_and_set(opened, generator, layers)
    shift = walk_along(opened, gan, direction, alpha, sigma, centred).vector
    _require_latents_of(opened, latents)
    return latents.shifted(shift.to(latents.z.device))


def render(
    latents: Latents,
    generator: AnyGenerator | None = None,
    directions: AnyDirections | None = None,
    *,
    direction: str | int | None = None,
    reach: float | None = None,
    sigma: float | None = None,
    centred: bool = False,
    layers: str | None = None,
    frames: int = 31,
    size: int | None = None,
    out: Where | None = None,
    device: str = "auto",
    precision: str = "fp32",
    progress: bool = False,
) -> np.ndarray:
    """Return images of latents, uint8 (N, H, W, 3); with directions a walk along one, uint8 (frames, N, H, W, 3).

    The walk goes from -`reach` to `reach`, or by `sigma` deviations of the latents, and `centred` (see edit); unless
    passed, the direction and the reach are those chosen in the set, and the `layers` that it moves, such as "0-3,7" or
    "all", those that the set says. The longer side of each picture is `size` pixels if given. `out` is a file to write
    too: a picture of all images (.png, .jpg), or an animation there and back (.gif, .webp, .mp4).

    >>> from generators.face import sample
    >>> render(sample("flowers64", 2), "flowers64", "flowers64", frames=3).shape
    (3, 2, 64, 64, 3)
    """
    _require_latents(latents)
    if out is not None:
        writable_file(Path(out), PICTURE_ENDINGS if directions is None else ENDINGS)
    if directions is None and (layers is not None or sigma is not None or centred):
        raise UserError(
            "layers, sigma and centred say how a direction is walked along, but no directions are passed; pass both or "
            "neither"
        )
    engine = choose_engine(device, precision)
    if directions is None:
        gan = as_generator(DEFAULT if generator is None else generator).to(engine.device)
        images = _images(gan, latents, size, engine)
        if out is not None:
            write_picture(Path(out), grid(images))
        return images
    gan, opened = _generator_and_set(as_directions(directions), generator, layers)
    gan = gan.to(engine.device)
    _require_latents_of(opened, latents)
    if reach is None and direction is not None and sigma is None:
        reach = _REACH
    shift = walk_along(opened, gan, direction, reach, sigma, centred).vector
    positions = torch.linspace(-1, 1, frames).tolist()
    watch = watch_of(progress)
    walk = np.stack(
        [
            _images(gan, latents.shifted((shift * position).to(latents.z.device)), size, engine)
            for position in watch.over(positions, "rendering", "frames")
        ]
    )
    if out is not None:
        pages = [grid(pictures) for pictures in walk]
        write_animation(Path(out), pages + pages[-2:0:-1], _FRAMES_A_SECOND)
    return walk


def _as_one(directions: AnyDirections | Mapping[str, AnyDirections]) -> DirectionSet:
    """Return a set, or all directions of several; UserError where these are of different generators, or none."""
    if not isinstance(directions, Mapping):
        return as_directions(directions)
    if not directions:
        raise UserError("no direction sets are passed; pass one at least")
    return merged({label: as_directions(one) for label, one in directions.items()})


def as_directions(directions: AnyDirections) -> DirectionSet:
    """Return a direction set, opened where it is named; UserError for what is none."""
    return directions if isinstance(directions, DirectionSet) else open_directions(directions)


def _generator_and_set(
    directions: DirectionSet, generator: AnyGenerator | None, layers: str | None
) -> tuple[Generator, DirectionSet]:
    """Return the generator a set was found on, or the one passed instead, and the set with these layers moved."""
    gan, _ = generator_for(directions if layers is None else directions.moving(None), generator)
    return gan, fitting(directions, gan, layers)


def _require_latents_of(directions: DirectionSet, latents: Latents) -> None:
    """Raise UserError where a set's directions do not fit latents: in how many numbers they have, or layers."""
    width, length = latents.z.shape[-1], directions.vectors.shape[1]
    if width != length:
        raise UserError(
            f"the latents have {width} numbers, but the directions have {length}; use latents of {directions.generator}"
        )
    own = None if directions.layers is None else directions.layers.shape[1]
    if own is not None and latents.z.dim() == 3 and latents.z.shape[1] != own:
        raise UserError(
            f"the latents are of {latents.z.shape[1]} layers, but the directions of {own}; use latents of "
            f"{directions.generator}"
        )


def _require_latents(latents: Latents) -> None:
    if not isinstance(latents, Latents):
        raise UserError(f"latents are a {type(latents).__name__}; pass what sample returns, or Latents of a tensor")


def _images(generator: Generator, latents: Latents, size: int | None, engine: Engine) -> np.ndarray:
    """Return uint8 (N, H, W, 3), rendered on the engine's device a batch at a time."""
    parts = []
    with torch.inference_mode(), engine.autocast():
        for _, images in rendered(generator, latents, engine.device):
            parts.append(to_bytes(images if size is None else resized_to(images, size)))
    return np.concatenate(parts)
