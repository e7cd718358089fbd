"""Generators by name or by file: the one table the command line needs."""

from importlib.resources import files
from pathlib import Path

from generators.own.factories import Factory, find_factory
from generators.own.trust import RECORDED, Code, Trust
from generators.protocol import Generator
from generators.spec import Options, split_spec
from toolkit.errors import UserError
from toolkit.files.artefacts import artefact_kind
from toolkit.files.published import cached, find
from toolkit.files.unfinished import require_finished
from toolkit.plug_ins import offers

DEFAULT = "flowers64"
_IN_FOLDERS = ("generator.safetensors", "generator.pt")  # in run folders, in published ones; the first there is taken


def shipped_file(name: str) -> Path:
    """Return the path of a file shipped in `assets`, from a wheel as from an editable install."""
    return Path(str(files("assets"))) / name


def shipped_generators() -> list[str]:
    """Return the names of the generators whose weights are shipped."""
    return sorted(path.stem for path in shipped_file("generators").glob("*.safetensors"))


def weights_file(name: str, weights: Path | None = None) -> Path | None:
    """Return the file the generator `name` is read from, for one's own code its source; None where there is none.

    Nothing of it is run. UserError for one's own code that is not there.
    """
    name = split_spec(name)[0]
    if name == "scene":
        return None
    if name == "bigbigan":
        return weights or cached(find("bigbigan"))
    if name in shipped_generators():
        return shipped_file("generators") / f"{name}.safetensors"
    factory = _own(name)
    if factory is not None:
        return factory.source_file()
    path = Path(name)
    if path.is_dir():
        return next((path / file for file in _IN_FOLDERS if (path / file).is_file()), None)
    return path if path.is_file() else None


def open_generator(name: str, weights: Path | None = None, trust: Trust = RECORDED) -> Generator:
    """Return the generator called `name`: scene, bigbigan, a shipped name, a file, a run folder, or one's own.

    One's own is `package.module:factory`, or the name of an installed plug-in (generators.own.factories).
    Options may follow, as in `G_ema.pth@classes=239` (generators.spec). `weights` is the file of bigbigan, if not the
    one that `toolkit weights pull` left in the cache. One's own code and programs saved in files run where `trust` lets
    them: `generators.own.trust.TYPED` is for names that the user typed, never for one read from a file. UserError where
    they may not, and saying what there is when nothing fits.
    """
    plain, values = split_spec(name)
    if weights is not None and plain != "bigbigan":
        raise UserError(f"--weights goes with --generator bigbigan, not {plain}; give the file itself as --generator")
    options = Options(values, plain)
    opened = _opened(plain, weights, options, trust)
    options.end()
    return opened


def code_of(name: str) -> Code | None:
    """Return what opening the generator `name` would run besides this toolkit, or None for a name that runs nothing.

    UserError for one's own code that is not there.
    """
    from generators.own.programs import program_code

    plain, values = split_spec(name)
    factory, options = _own(plain), Options(values, plain)
    if factory is not None:
        return factory.code(options)
    path = None if plain in ("scene", "bigbigan") else weights_file(plain)
    return None if path is None else program_code(path, options)


def _opened(name: str, weights: Path | None, options: Options, trust: Trust) -> Generator:
    if name == "scene":
        return _scene(options)
    if name == "bigbigan":
        from generators.published.biggan.generator import load_bigbigan

        file = weights_file(name, weights)
        if file is None:
            raise UserError(
                f"--generator bigbigan needs its weights; {find('bigbigan').how_to_get()}, or give --weights FILE"
            )
        return load_bigbigan(file)
    factory = _own(name)
    if factory is not None:
        return factory.build(options, trust)
    path = weights_file(name)
    if path is not None:
        return _open_file(path, options, trust)
    if Path(name).is_dir():
        require_finished(Path(name) / _IN_FOLDERS[0])
        raise UserError(
            f"{name} holds none of {', '.join(_IN_FOLDERS)}; name the run folder of toolkit train-generator, or a file"
        )
    if Path(name).suffix or len(Path(name).parts) > 1:
        hint = "; one's own code is package.module:factory" if Path(name).suffix == ".py" else ""
        raise UserError(f"there is no generator file {name}; check the path{hint}")
    known = ", ".join(["scene", "bigbigan", *shipped_generators(), *offers("generators")])
    raise UserError(
        f"no generator {name!r}; choose one of {known}, or name a generator file or run folder, or your own "
        "package.module:factory"
    )


def _own(name: str) -> Factory | None:
    return None if name in shipped_generators() else find_factory(name)


def _scene(options: Options) -> Generator:
    from generators.scene import SceneGenerator

    side = options.integer("image_size", 64, low=16)
    return SceneGenerator(image_size=side or 64, mixing_seed=options.integer("mixing_seed", None))


def _open_file(path: Path, options: Options, trust: Trust) -> Generator:
    from generators.compact.network import load_compact
    from generators.own.programs import open_program
    from generators.published.biggan.generator import KIND as BIGBIGAN
    from generators.published.biggan.generator import load_bigbigan
    from generators.published.layouts import OWN_HINT, fits, open_published
    from generators.published.stylegan2.layout import unwrapped
    from toolkit.files.artefacts import load_state_file

    if path.suffix.lower() == ".pkl":
        raise UserError(
            f"{path} is a pickle with code, which is never run; convert StyleGAN2-ADA to the rosinality layout (a .pt "
            "with the entry g_ema), or wrap any other, such as StyleGAN3, as your own generator: package.module:factory"
        )
    kind = artefact_kind(path)
    if kind == BIGBIGAN:
        return load_bigbigan(path)
    if kind is not None:
        return load_compact(path)
    program = open_program(path, options, trust)
    if program is not None:
        return program
    state = load_state_file(path, "generator weights", unwrapped, fits, OWN_HINT)
    return open_published(state, path, options)
