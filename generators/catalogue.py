"""Generators by name or by file: the one table the command line needs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from generators.own.factories import find_factory
from generators.own.trust import RECORDED, Code, Trust
from generators.protocol import Generator, Noted
from generators.spec import Options, split_spec
from toolkit.command_line import command
from toolkit.errors import UserError, named
from toolkit.files.artefacts import artefact_kind
from toolkit.files.published import cached, find
from toolkit.files.shipped import shipped_file
from toolkit.files.unfinished import require_finished
from toolkit.hub.fetching import located
from toolkit.hub.reference import is_reference
from toolkit.plug_ins import offers

DEFAULT = "flowers64"
# In run folders, in published ones, in those of Hugging Face; the first that is there is taken.
_IN_FOLDERS = ("generator.safetensors", "generator.pt", "model.safetensors", "pytorch_model.bin")


def shipped_generators() -> list[str]:
    """Return the names of the generators whose weights are shipped."""
    return sorted(path.stem for path in shipped_file("generators").glob("*.safetensors"))


@dataclass(frozen=True)
class Known:
    """A generator with a name of its own: `file` is what it is read from, None where there is none, `build` opens it.

    Both see the weights file that was named beside it, if one was.
    """

    file: Callable[[Path | None], Path | None]
    build: Callable[[Path | None, Options], Generator]


def known_generators() -> dict[str, Known]:
    """Return all generators that have names of their own, by name: the one table of them."""
    shipped = {name: shipped_file("generators") / f"{name}.safetensors" for name in shipped_generators()}
    return {
        "scene": Known(lambda _weights: None, lambda _weights, options: _scene(options)),
        "bigbigan": Known(lambda weights: weights or cached(find("bigbigan")), lambda weights, _options: _big(weights)),
        **{name: Known(partial(_itself, file), partial(_shipped, file)) for name, file in shipped.items()},
    }


def _itself(file: Path, _weights: Path | None) -> Path:
    return file


def _shipped(file: Path, _weights: Path | None, options: Options) -> Generator:
    return _open_file(file, options, RECORDED)


def _scene(options: Options) -> Generator:
    from generators.scene import SceneGenerator

    side = options.integer("image_size", 64, low=16)
    return SceneGenerator(image_size=side or 64, mixing_seed=options.integer("mixing_seed", None))


def _big(weights: Path | None) -> Generator:
    from generators.published.biggan.generator import load_bigbigan

    file = weights or cached(find("bigbigan"))
    if file is None:
        raise UserError(
            f"{named('generator', 'bigbigan')} needs its weights; {find('bigbigan').how_to_get()}, or give "
            f"{named('weights', 'FILE')}"
        )
    return load_bigbigan(file)


def weights_file(name: str, weights: Path | None = None) -> Path | None:
    """Return the file the generator `name` is read from, for one's own code its source; None where there is none.

    Nothing of it is run. UserError for one's own code that is not there, and for what the hub has not.
    """
    name = split_spec(name)[0]
    known = known_generators().get(name)
    if known is not None:
        return known.file(weights)
    factory = find_factory(name)
    if factory is not None:
        return factory.source_file()
    if is_reference(name):
        return located(name, "generators")
    path = Path(name)
    return file_in(path) if path.is_dir() else path if path.is_file() else None


def file_in(folder: Path) -> Path | None:
    """Return the file from which the generator in a folder is read; None where there is none, or no folder."""
    return next((folder / file for file in _IN_FOLDERS if (folder / file).is_file()), None)


def open_generator(name: str, weights: Path | None = None, trust: Trust = RECORDED) -> Generator:
    """Return the generator called `name`: scene, bigbigan, a shipped name, a file, a run folder, or one's own.

    It may be on the hub (toolkit.hub.reference). One's own is `package.module:factory`, or the name of an installed
    plug-in (generators.own.factories).
    Options may follow, as in `G_ema.pth@classes=239` (generators.spec). `weights` is the file of bigbigan, if not the
    one that `toolkit weights pull` left in the cache. One's own code and programs saved in files run where `trust` lets
    them: `generators.own.trust.TYPED` is for names that the user typed, never for one read from a file. UserError where
    they may not, and saying what there is when nothing fits.
    """
    plain, values = split_spec(name)
    if weights is not None and plain != "bigbigan":
        raise UserError(
            f"{named('weights')} goes with {named('generator', 'bigbigan')}, not {plain}; give the file itself as "
            f"{named('generator')}"
        )
    options = Options(values, plain)
    opened = _opened(plain, weights, options, trust)
    options.end()
    for line in opened.notes if isinstance(opened, Noted) else ():
        trust.say(f"note: {line}")
    return opened


def code_of(name: str) -> Code | None:
    """Return what opening the generator `name` would run besides this toolkit, or None for a name that runs nothing.

    UserError for one's own code that is not there.
    """
    from generators.own.programs import program_code

    plain, values = split_spec(name)
    if plain in known_generators():
        return None
    factory, options = find_factory(plain), Options(values, plain)
    if factory is not None:
        return factory.code(options)
    path = weights_file(plain)
    return None if path is None else program_code(path, options)


def _opened(name: str, weights: Path | None, options: Options, trust: Trust) -> Generator:
    known = known_generators()
    if name in known:
        return known[name].build(weights, options)
    factory = find_factory(name)
    if factory is not None:
        return factory.build(options, trust)
    path = weights_file(name)
    if path is not None:
        return _open_file(path, options, trust)
    if Path(name).is_dir():
        require_finished(Path(name) / _IN_FOLDERS[0])
        raise UserError(
            f"{name} holds none of {', '.join(_IN_FOLDERS)}; name the run folder of {command('train-generator')}, or a "
            "file"
        )
    if Path(name).suffix or len(Path(name).parts) > 1:
        hint = "; one's own code is package.module:factory" if Path(name).suffix == ".py" else ""
        raise UserError(f"there is no generator file {name}; check the path{hint}")
    names = ", ".join([*known, *offers("generators")])
    raise UserError(
        f"no generator {name!r}; choose one of {names}, or name a generator file or run folder, or your own "
        "package.module:factory"
    )


def _open_file(path: Path, options: Options, trust: Trust) -> Generator:
    from generators.layouts import open_published
    from generators.own.programs import open_program
    from generators.weights_file import read_weights

    kind = artefact_kind(path)
    if kind is not None:
        return _open_artefact(path, kind, options)
    program = open_program(path, options, trust)
    return open_published(read_weights(path, trust.say), options) if program is None else program


def _open_artefact(path: Path, kind: str, options: Options) -> Generator:
    """Return the generator in one of this toolkit's artefacts, by its kind."""
    from generators import weights_file as published
    from generators.compact import network as compact
    from generators.published.biggan import generator as biggan

    loaders: dict[str, Callable[[], Generator]] = {
        compact.KIND: lambda: compact.load_compact(path),
        biggan.KIND: lambda: biggan.load_bigbigan(path),
        published.KIND: lambda: published.open_weights(path, options),
    }
    if kind not in loaders:
        raise UserError(f"{path} is a {kind} artefact, but a {' or a '.join(loaders)} is needed")
    return loaders[kind]()
