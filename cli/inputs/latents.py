"""Which latents a picture shows, as flags name them: rows of a file, photos, or random ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs import completion
from cli.inputs.hub_names import ON_THE_HUB
from cli.inputs.options import require

if TYPE_CHECKING:
    import numpy as np

    from generators.protocol import Generator, Latents
    from toolkit.compute.engine import Engine
    from toolkit.streams import Stream

LatentsOption = Annotated[
    str | None,
    typer.Option(
        help="Latents instead of random ones: a .npy array (N, D), or (N, L, D) with one for each layer, some of its "
        "rows as z.npy:0,3-5, or a published name (z-cub)."
    ),
]
PhotoOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="A photo, embedded as toolkit embed does, instead of random latents (of a style-based generator without "
        "an encoder: found in w+ in 200 steps); may be given repeatedly."
    ),
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        help=f"Run folder, encoder file, shipped name or {ON_THE_HUB}; the generator's own if omitted.",
        autocompletion=completion.shipped("encoders"),
    ),
]


def require_one_source(latents: str | None, photo: list[Path] | None, **drawn: object) -> None:
    """Raise UserError where two flags say which latents are meant, `drawn` being those that say how to draw them."""
    require(not (latents and photo), "--latents and --photo both say which images; give one of the two")
    chosen = "--latents says" if latents else "--photo says"
    given = [f"--{name}" for name, value in drawn.items() if value is not None]
    require(not given or not (latents or photo), f"{chosen} which images; omit {' and '.join(given)}")


def shown_latents(
    generator: "Generator",
    name: str,
    latents: str | None,
    photo: list[Path] | None,
    encoder: str | None,
    samples: int,
    rng: "Stream",
    engine: "Engine",
    truncation: float | None = None,
) -> "Latents":
    """Return the latents that are meant, of the generator called `name`, on the CPU."""
    if latents is None and not photo:
        require(encoder is None, "--encoder goes with --photo; omit it")
        return generator.sample(samples, rng, truncation)
    import numpy as np

    from cli.runs.progress import terminal
    from generators.chosen_latents import latents_in_file, latents_of_photos
    from generators.recorded import generator_inputs
    from toolkit.pictures.photos import read_square

    if latents is not None:
        require(encoder is None, "--encoder goes with --photo; omit it")
        return latents_in_file(latents, generator, rng)

    def squares(side: int) -> "np.ndarray":
        return np.stack([read_square(path, side) for path in photo or []])

    return latents_of_photos(
        squares, generator, {**generator_inputs(name), "generator": name}, encoder, engine, rng, terminal
    )
