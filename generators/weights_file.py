"""Files of published generators: what they hold, and the artefact that `toolkit convert` makes of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from generators.layouts import OWN_HINT, Weights, fits, open_published, recognised, unwrapped
from generators.nvlabs.reading import is_plain_pickle, read_networks
from generators.protocol import Generator
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.files.artefacts import load_artefact, load_state_file, save_artefact

KIND = "published generator"


def read_weights(path: Path, say: Callable[[str], None] = lambda line: None) -> Weights:
    """Return what a file of a published generator holds: a pickle of NVlabs, a state dict of torch or in safetensors.

    `say` gets what the user should know of the file. UserError for everything else.
    """
    if is_plain_pickle(path):
        return read_networks(path, say)
    return Weights(load_state_file(path, "generator weights", unwrapped, fits, OWN_HINT), path)


def save_weights(path: Path, weights: Weights, card: Mapping[str, Any]) -> tuple[str, Generator]:
    """Write one artefact for `open_weights`; return what layout it has, with its article, and the generator in it.

    It holds the tensors under their published names, and besides `card` the config and the layout. The generator keeps
    its own name unless the card has one. UserError for weights that fit no family; nothing is written then.
    """
    what, weights = recognised(weights)
    own = open_published(weights, Options({}, str(weights.path))).name
    written = {"name": own, **card, "layout": what, "own_name": own, "config": weights.config}
    save_artefact(path, KIND, weights.tensors, written)
    return what, open_weights(path, Options({}, str(path)))


def open_weights(path: Path, options: Options) -> Generator:
    """Return the generator in an artefact of `save_weights`; UserError when it is damaged or fits no family."""
    tensors, card = load_artefact(path, KIND)
    config = card.get("config", {})
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no table of its network's arguments; convert it again")
    generator = open_published(Weights(tensors, path, config), options)
    name, own = card.get("name"), card.get("own_name")
    if isinstance(name, str) and isinstance(own, str):  # options may have put something behind its own
        generator.name = generator.name.replace(own, name, 1)
    return generator
