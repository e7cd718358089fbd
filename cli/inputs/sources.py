"""Opening what commands name: generators, direction sets, and the direction meant by a flag."""

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.reports.hints import command
from toolkit.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from generators.protocol import Generator
    from segmentation.predict.segmenter import Segmenter
    from toolkit.directions import DirectionSet


def open_directions(path: Path) -> "DirectionSet":
    """Return the direction set in a run folder or file, or the shipped or published one of that name.

    Published are a tensor in a `.pth`, and a folder of the original or its deformator's file
    (discovery.originals.reading).
    Directions have the names in the human_annotation.txt beside their set.
    """
    from discovery.annotations import read_annotations
    from discovery.originals.reading import is_published, load_directions
    from toolkit.directions import DirectionSet, direction_file, load_published

    found = or_published(_or_shipped(path, "directions"), "direction")
    if is_published(found):
        return load_directions(found)
    if found.suffix.lower() in (".pth", ".pt"):
        return load_published(found)
    directions, labels = DirectionSet.load(found), annotations_beside(direction_file(found))
    return directions.renamed(read_annotations(labels)) if labels.exists() else directions


def _or_shipped(path: Path, kind: str) -> Path:
    """Return `path` where there is something at it, else the shipped file of that name and kind if there is one."""
    from generators.catalogue import shipped_file

    shipped = shipped_file(kind) / f"{path.name}.safetensors"
    return shipped if not path.exists() and shipped.is_file() else path


def or_published(path: Path, role: str) -> Path:
    """Return `path`, or the file in the cache where `path` is no file but the name of a published one of that role.

    UserError saying how to get the file while it is not in the cache.
    """
    from toolkit.files.published import published, required

    entry = None if path.exists() else published().get(str(path))
    return path if entry is None or entry.role != role else required(entry)


def annotations_beside(path: Path) -> Path:
    """Return where the labels of the set in `path` are written, as lines `index: label`."""
    return path.parent / "human_annotation.txt"


def open_typed(name: str, weights: Path | None = None) -> "Generator":
    """Return the generator that the user named on the command line: the only names whose code may run unasked.

    A line on stderr says so the first time that code runs.
    """
    from cli.runs.processes import speaks
    from generators.catalogue import open_generator
    from generators.own.trust import Typed

    return open_generator(name, weights, Typed(_say) if speaks() else Typed(remember=False))


def _say(line: str) -> None:
    typer.echo(line, err=True)


def generator_inputs(name: str, weights: Path | None) -> dict[str, str]:
    """Return what a run records about its generator: names as they are, files by absolute path and digest."""
    from generators.catalogue import weights_file
    from generators.own.programs import program_card
    from generators.spec import join_spec, split_spec
    from toolkit.files.writing import sha256_of

    path = weights_file(name, weights)
    plain, options = split_spec(name)
    inputs = {"generator": name}
    if path is not None:
        inputs["generator_digest"] = sha256_of(path)[:16]
        card = program_card(path)
        if card is not None and card.is_file():
            inputs["generator_card_digest"] = sha256_of(card)[:16]
        if weights is not None:
            inputs["weights"] = str(weights.resolve())
        elif Path(plain).exists() and path.resolve().is_relative_to(Path(plain).resolve()):
            inputs["generator"] = join_spec(str(Path(plain).resolve()), options)
    return inputs


def generator_of(
    directions: "DirectionSet", name: str | None, weights: Path | None
) -> "tuple[Generator, dict[str, str]]":
    """Return the generator a direction set was found on, or the one named instead, and what runs record about it.

    UserError when the set's latent space has another size.
    """
    from generators.catalogue import open_generator

    if name is None:
        name, weights = _recorded(directions, weights)
        generator = open_generator(name, weights)  # a name out of a file: its code runs only where it is known
    else:
        generator = open_typed(name, weights)
    directions.require_dim(generator.latent_dim, generator.name)
    return generator, generator_inputs(name, weights)


def _recorded(directions: "DirectionSet", weights: Path | None) -> tuple[str, Path | None]:
    """Return the generator that a direction set names, and its weights, those given before those it names.

    UserError where it is not at hand, or another file than the directions were found on.
    """
    from generators.spec import split_spec

    source = directions.card.get("source", {})
    if not isinstance(source, dict):
        raise UserError(f"the direction set names its generator as {source!r}; give --generator")
    name = str(source.get("generator", directions.generator))
    if "missing" in source:  # a published folder tells of weights by their place on its authors' machine
        raise UserError(f"the generator of the set, {name}, is not here; give --generator {missing_words(source)}")
    weights = weights or (Path(str(source["weights"])) if "weights" in source else None)
    plain = split_spec(name)[0]
    if Path(plain).is_absolute() and not Path(plain).exists():
        raise UserError(f"the generator of the set, {name}, is not there any more; give --generator FILE")
    _require_same_file(directions, name, weights)
    return name, weights


def _require_same_file(directions: "DirectionSet", name: str, weights: Path | None) -> None:
    """Raise UserError where `name`, which the set records, is another file than the directions were found on."""
    from generators.catalogue import code_of

    recorded = directions.generator_digest
    if recorded is None or recorded == generator_inputs(name, weights).get("generator_digest", recorded):
        return
    code, words = code_of(name), command("--generator", name).removeprefix("toolkit ")
    trusted = "" if code is None else f" if you trust the code in {code.place}"
    raise UserError(
        f"{name} is another file than the directions were found on; discover again, or give {words} to use it all the "
        f"same{trusted}"
    )


def words_for(name: str) -> str:
    """Return what a line to copy may hold behind --generator for a name out of a file: never code unknown so far."""
    from generators.catalogue import code_of
    from generators.own.trust import is_known

    try:
        code = code_of(name)
    except UserError:  # code that is not here
        return "GENERATOR"
    return name if code is None or is_known(code) else "GENERATOR"


def missing_words(source: "Mapping[str, Any]") -> str:
    """Return what to write behind --generator where a card says that weights are missing: FILE and its options.

    Nothing else that a card says: whoever copies a line from the screen should not run what a file came up with.
    """
    from generators.spec import split_spec

    told = str(source["missing"])
    return told if split_spec(told)[0] == "FILE" else "FILE"


def finite_length(flag: str, value: float) -> float:
    """Return a shift length; UserError unless it is a finite number, and long enough to shift anything."""
    from toolkit.directions import SHORTEST

    if not math.isfinite(value) or abs(value) < SHORTEST:
        raise UserError(f"{flag} is {value:g}, but has to be a finite number other than 0, {SHORTEST:g} or longer")
    return value


def resolve_shift(
    directions: "DirectionSet", direction: str | None, alpha: float | None
) -> tuple[int, float, "torch.Tensor"]:
    """Return (index, signed alpha, shift (D,)) for the flags --direction and --alpha, else for the chosen direction."""
    if alpha is not None:
        finite_length("--alpha", alpha)
    if direction is not None:
        index = directions.index_of(direction)
        if alpha is None:
            raise UserError("--direction needs the shift length too; give --alpha, negative for the other way")
        return index, alpha, directions.shift(index, alpha)
    choice = directions.chosen()
    signed = choice.sign * (choice.alpha if alpha is None else alpha)
    return choice.index, signed, directions.shift(choice.index, signed)


def shift_inputs(index: int, alpha: float, shift: "torch.Tensor") -> dict[str, str]:
    """Return what a run records about its shift; the digest tells sets apart whose directions have the same numbers."""
    digest = hashlib.sha256(shift.cpu().numpy().tobytes()).hexdigest()[:16]
    return {"direction": str(index), "alpha": f"{alpha:g}", "shift_digest": digest}


def open_segmenter(name: str) -> "Segmenter":
    """Return the segmenter called `name`: a run folder, an artefact, a published U-Net file or name, a shipped name."""
    from segmentation.predict.segmenter import Segmenter

    return Segmenter.load(or_published(_or_shipped(Path(name), "segmenters"), "segmenter"))


def encoder_file(name: str | None, generator: str) -> Path:
    """Return the encoder called `name`: a run folder, a file or a shipped name; without a name, that of `generator`.

    UserError when none is shipped for it and none lies in its run folder.
    """
    from generators.catalogue import shipped_file

    if name is not None:
        path = _or_shipped(Path(name), "encoders")
        return path / "encoder.safetensors" if path.is_dir() else path
    shipped = shipped_file("encoders") / f"{generator}.safetensors"
    folder = Path(generator) if Path(generator).is_dir() else Path(generator).parent
    for path in [shipped, *([folder / "encoder.safetensors"] if Path(generator).exists() else [])]:
        if path.is_file():
            return path
    raise UserError(
        f"no encoder comes with {generator}; give --encoder, or make one: toolkit train-encoder --generator "
        f"{generator} --out encoder"
    )
