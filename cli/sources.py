"""Opening what commands name: generators, direction sets, and the direction meant by a flag."""

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import UserError

if TYPE_CHECKING:
    import torch

    from generators.protocol import Generator
    from segmentation.segmenter import Segmenter
    from toolkit.directions import DirectionSet


def direction_file(path: Path) -> Path:
    """Return the direction set's file for a run folder, or the file itself."""
    return path / "directions.safetensors" if path.is_dir() else path


def open_directions(path: Path) -> "DirectionSet":
    """Return the direction set in a run folder or file, or the shipped one of that name."""
    from generators.catalogue import shipped_file
    from toolkit.directions import DirectionSet

    shipped = shipped_file("directions") / f"{path.name}.safetensors"
    return DirectionSet.load(shipped if not path.exists() and shipped.is_file() else path)


def annotations_beside(path: Path) -> Path:
    """Return where the labels of the set in `path` are written, as lines `index: label`."""
    return path.parent / "human_annotation.txt"


def generator_inputs(name: str, weights: Path | None) -> dict[str, str]:
    """Return what a run records about its generator: names as they are, files by absolute path."""
    path = Path(name)
    inputs = {"generator": str(path.resolve()) if path.exists() else name}
    if weights is not None:
        inputs["weights"] = str(weights.resolve())
    return inputs


def generator_flags(name: str, weights: Path | None) -> str:
    """Return the flags that name the same generator in the next command."""
    return f"--generator {name}" + (f" --weights {weights}" if weights else "")


def generator_of(directions: "DirectionSet", name: str | None, weights: Path | None) -> "Generator":
    """Return the generator a direction set was found on, or the one named instead, after checking that they fit."""
    from generators.catalogue import open_generator

    if name is None:
        source = directions.card.get("source", {})
        name = source.get("generator", directions.generator)
        weights = weights or (Path(source["weights"]) if "weights" in source else None)
    generator = open_generator(name, weights)
    directions.require_dim(generator.latent_dim, generator.name)
    return generator


def resolve_shift(
    directions: "DirectionSet", direction: str | None, alpha: float | None
) -> tuple[int, float, "torch.Tensor"]:
    """Return (index, signed alpha, shift (D,)) for the flags --direction and --alpha, else for the chosen direction."""
    if direction is None:
        choice = directions.choice
        if choice is None:
            directions.chosen_shift()  # raises with advice
            raise AssertionError
        signed = choice.sign * choice.alpha if alpha is None else alpha * choice.sign
        return choice.index, signed, directions.shift(choice.index, signed)
    index = directions.index_of(direction)
    if alpha is None:
        raise UserError("--direction needs the shift length too; give --alpha, negative for the other way")
    return index, alpha, directions.shift(index, alpha)


def open_segmenter(name: str) -> "Segmenter":
    """Return the segmenter called `name`: a run folder, an artefact, a published U-Net file, or a shipped name."""
    from generators.catalogue import shipped_file
    from segmentation.segmenter import Segmenter

    path = Path(name)
    shipped = shipped_file("segmenters") / f"{name}.safetensors"
    if not path.exists() and shipped.is_file():
        path = shipped
    return Segmenter.load(path)
