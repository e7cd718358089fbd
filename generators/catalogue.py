"""Generators by name or by file: the one table the command line needs."""

from importlib.resources import files
from pathlib import Path

from generators.protocol import Generator
from toolkit.artefacts import artefact_kind
from toolkit.errors import UserError
from toolkit.weights import cached, find

DEFAULT = "flowers64"


def shipped_file(name: str) -> Path:
    """Return the path of a file shipped in `assets`, from a wheel as from an editable install."""
    return Path(str(files("assets"))) / name


def shipped_generators() -> list[str]:
    """Return the names of the generators whose weights are shipped."""
    return sorted(path.stem for path in shipped_file("generators").glob("*.safetensors"))


def weights_file(name: str, weights: Path | None = None) -> Path | None:
    """Return the file the generator `name` would be read from, or None for the closed-form scene and unknown names."""
    if name == "scene":
        return None
    if name == "bigbigan":
        return weights or cached(find("bigbigan"))
    if name in shipped_generators():
        return shipped_file("generators") / f"{name}.safetensors"
    path = Path(name)
    path = path / "generator.safetensors" if path.is_dir() else path
    return path if path.is_file() else None


def open_generator(name: str, weights: Path | None = None) -> Generator:
    """Return the generator called `name`: scene, bigbigan, a shipped name, a file or a run folder.

    `weights` is the file of bigbigan, if not the one that `toolkit weights pull` left in the cache.
    UserError saying what there is when nothing fits.
    """
    if weights is not None and name != "bigbigan":
        raise UserError(f"--weights goes with --generator bigbigan, not {name}; give the file itself as --generator")
    if name == "scene":
        from generators.scene import SceneGenerator

        return SceneGenerator()
    if name == "bigbigan":
        from generators.bigbigan import load_bigbigan

        file = weights_file(name, weights)
        if file is None:
            raise UserError(
                f"--generator bigbigan needs its weights; {find('bigbigan').how_to_get()}, or give --weights FILE"
            )
        return load_bigbigan(file)
    path = weights_file(name)
    if path is not None:
        return _open_file(path)
    if Path(name).is_dir():
        raise UserError(f"{name} holds no generator.safetensors; name the run folder of toolkit train-generator")
    known = ", ".join(["scene", "bigbigan", *shipped_generators()])
    raise UserError(f"no generator {name!r}; choose one of {known}, or name a generator file or run folder")


def _open_file(path: Path) -> Generator:
    from generators.bigbigan import KIND as BIGBIGAN
    from generators.bigbigan import load_bigbigan
    from generators.compact import load_compact

    if path.suffix in (".pth", ".pt") or artefact_kind(path) in (None, BIGBIGAN):
        return load_bigbigan(path)
    return load_compact(path)
