"""The verbs of `import toolkit` that need a generator and nothing else: open one, sample latents, embed photos."""

import os
import weakref
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from generators import catalogue
from generators.catalogue import DEFAULT, code_of
from generators.layered import mixed
from generators.own.trust import RECORDED, TYPED, is_known
from generators.protocol import Generator, Latents, fitting, layers_of
from generators.recorded import generator_inputs, open_recorded
from toolkit.compute.engine import choose_engine
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.pictures.any_photo import Photo, named_photos
from toolkit.screen import watch_of
from toolkit.shifts import read_layers
from toolkit.streams import Stream

AnyGenerator = Generator | str | os.PathLike[str]
# Of generators opened here, what sets and runs record about them, so that a set made with one finds it again.
_RECORDS: "weakref.WeakKeyDictionary[Generator, dict[str, str]]" = weakref.WeakKeyDictionary()


def open_generator(
    name: str | os.PathLike[str] = DEFAULT, *, weights: str | os.PathLike[str] | None = None, run_code: bool = False
) -> Generator:
    """Return a generator by name or file: all that `--generator` takes on the command line, options after `@` included.

    `weights` is the file of bigbigan, if not the one in the cache. Code of your own (`package.module:factory`, a saved
    program) runs only with `run_code`, or where its name was typed before. UserError where there is no such generator.

    >>> open_generator("flowers64")
    <CompactGenerator flowers64: 64 latent numbers -> 64 x 64 pixels>
    """
    if not isinstance(name, str | os.PathLike):
        raise UserError(f"a generator is {name!r} ({type(name).__name__}); pass a name or a path")
    text = os.fspath(name)
    code = None if run_code else code_of(text)
    if code is not None and not is_known(code):
        raise UserError(f"opening {text} runs the code in {code.place}; pass run_code=True if you trust it")
    file = None if weights is None else Path(weights)
    opened = catalogue.open_generator(text, file, TYPED if run_code else RECORDED)
    _RECORDS[opened] = generator_inputs(text, file)
    return opened


def sample(
    generator: AnyGenerator = DEFAULT, count: int = 16, *, seed: int = 0, truncation: float | None = None
) -> Latents:
    """Return `count` latents of a generator, on the CPU, restricted to +-`truncation` if given.

    Latent i of a seed is the same whatever the count, and that of `toolkit sample`.

    >>> sample("flowers64", 8)
    <Latents: 8 of 64 numbers>
    """
    if type(count) is not int or count < 1:
        raise UserError(f"count is {count!r}, but has to be a whole number of at least 1")
    return as_generator(generator).sample(count, Stream(seed, "sample"), truncation)


def mix(latents: Latents, others: Latents, layers: str, generator: AnyGenerator | None = None) -> Latents:
    """Return latents with those of `others`, as many or one for all, at `layers` of a style-based generator.

    `layers` are such as "4-7". The generator is asked for its number of layers alone, and not needed for latents that
    have one z a layer. Classes and noise stay those of `latents`. UserError for what does not fit.

    >>> import torch
    >>> mix(Latents(torch.zeros(2, 8, 16)), Latents(torch.ones(1, 16)), "4-7").z[:, :, 0].sum(dim=1)
    tensor([4., 4.])
    """
    count = next((one.z.shape[1] for one in (latents, others) if one.z.dim() == 3), None)
    if generator is not None:
        count = layers_of(as_generator(generator))
    if count is None:
        raise UserError("latents of one z for all layers do not say how many there are; pass the generator too")
    fit = {tuple(one.z.shape[1:]) for one in (latents, others)} <= {latents.z.shape[-1:], (count, latents.z.shape[-1])}
    if not fit or len(others) not in (1, len(latents)):
        shapes = f"{list(latents.z.shape)} and {list(others.z.shape)}"
        raise UserError(
            f"latents {shapes} cannot be mixed at {count} layers; pass as many of one generator, or one other"
        )
    return mixed(latents, others, read_layers(layers, count), count)


def embed(
    photos: Photo | Iterable[Photo],
    generator: AnyGenerator = DEFAULT,
    space: str | None = None,
    *,
    steps: int | None = None,
    optimise_noise: bool = False,
    encoder: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    progress: bool = False,
) -> Latents:
    """Return the latents of photos, on the CPU: of a folder of them, one photo, or several, of any kind and size.

    As `toolkit embed` finds them: by the generator's encoder or another one, moved by `steps` towards the photos; of a
    style-based generator without one, or in the `space` "w+", "w" or "z" where that is named, by `steps` through the
    generator (500 if omitted). In "w+" every layer has a latent of its own, z (N, layers, D); `optimise_noise` finds
    the image's noise as well. UserError for a photo
    that cannot be read, and where there is no encoder.

    >>> from toolkit.files.shipped import shipped_file
    >>> embed(shipped_file("photos"), "flowers64")
    <Latents: 1 of 64 numbers>
    """
    from generators.chosen_latents import with_classes
    from generators.encoder.method import Whose
    from generators.projection.choosing import Asked, method_for

    engine, watch, record = choose_engine(device, precision), watch_of(progress), recorded_as(generator)
    opened = as_generator(generator).to(engine.device)
    whose = Whose(opened, record["generator"], record.get("generator_digest"))
    asked = Asked(
        space, None if encoder is None else os.fspath(encoder), steps=steps, seed=seed, optimise_noise=optimise_noise
    )
    method, batch = method_for(whose, asked, engine, watch)
    squares = np.stack([method.read(photo) for _, photo in named_photos(photos)])
    found, _ = method.all_of(squares, batch, watch)
    return replace(with_classes(found.z, opened, Stream(seed, "embedding-classes")), noise=found.noise)


def as_generator(generator: AnyGenerator) -> Generator:
    """Return a generator, opened where it is named; UserError for what is none."""
    if isinstance(generator, str | os.PathLike):
        return open_generator(generator)
    if not isinstance(generator, Generator) or isinstance(generator, type):
        raise UserError(
            f"a generator is {generator!r} ({type(generator).__name__}); pass a name, a path, or an object with name, "
            "latent_dim, image_size, sample, to and a call (generators.protocol)"
        )
    return generator


def recorded_as(generator: AnyGenerator) -> dict[str, str]:
    """Return what runs and sets record about a generator: name and digest of one that has a file, else its name."""
    if isinstance(generator, str | os.PathLike):
        return generator_inputs(os.fspath(generator))
    try:
        return dict(_RECORDS.get(generator) or {"generator": generator.name})
    except TypeError:  # an object of one's own that cannot be a key
        return {"generator": generator.name}


def generator_for(directions: DirectionSet, generator: AnyGenerator | None) -> tuple[Generator, dict[str, str]]:
    """Return the generator a set was found on, or the one passed instead, and what runs record about it.

    UserError where its latent space has another size.
    """
    if generator is None:
        opened, inputs = open_recorded(directions.origin)
    else:
        opened, inputs = as_generator(generator), recorded_as(generator)
    fitting(directions, opened)
    return opened, inputs
