"""`config.json` of a BigGAN-deep: where it lies, and the sizes that it states."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from generators.published.biggan_deep.layout import BigGANDeepShape
from toolkit.errors import UserError
from toolkit.files.writing import read_json

# What the original takes where the table says nothing: its network of 128 px.
_DEFAULTS = {
    "channel_width": 128,
    "z_dim": 128,
    "num_classes": 1000,
    "n_stats": 51,
    "eps": 1e-4,
    "attention_layer_position": 8,
    "layers": [
        [False, 16, 16], [True, 16, 16], [False, 16, 16], [True, 16, 8], [False, 8, 8],
        [True, 8, 4], [False, 4, 4], [True, 4, 2], [False, 2, 2], [True, 2, 1],
    ],
}  # fmt: skip
_STATES = ("pytorch_model.bin", "model.safetensors")  # Hugging Face's names
_LARGEST = 2**20
_MOST_BLOCKS = 64


def config_path(path: Path) -> Path | None:
    """Return where the configuration of the weights file `path` lies, or None where there is none.

    Hugging Face's `pytorch_model.bin` and `model.safetensors`, and any other `.bin`, have it as `config.json` beside
    them; of `NAME-pytorch_model.bin`, as the original's downloads are named, it is `NAME-config.json`.
    """
    start = next((path.name.removesuffix(end) for end in _STATES if path.name.endswith(end)), "")
    if not start and path.name not in _STATES and path.suffix != ".bin":
        return None
    candidates = (path.with_name(f"{start}config.json"), path.with_name("config.json"))
    return next((beside for beside in candidates if beside.is_file()), None)


def read_config(path: Path) -> Mapping[str, Any]:
    """Return the configuration beside the weights file `path`, {} where there is none; UserError for no table."""
    beside = config_path(path)
    if beside is None:
        return {}
    config = read_json(beside)
    if not isinstance(config, dict):
        raise UserError(f"{beside} is no table of settings; download the folder again")
    return config


def configured_shape(config: Mapping[str, Any]) -> BigGANDeepShape:
    """Return the sizes that a configuration states, with the original's defaults; UserError for impossible values."""
    stated = {**_DEFAULTS, **config}
    width, eps = _whole(stated, "channel_width"), stated["eps"]
    if not _is_number(eps) or not 0 < eps < 1:
        raise UserError(f"eps is {eps!r}, but has to be a number between 0 and 1")
    blocks = _blocks(stated["layers"])
    # One latent number and one number of the class stand side by side in the condition: z_dim of each.
    attention = _whole(stated, "attention_layer_position", low=0)
    shape = BigGANDeepShape(
        channels=(blocks[0][1] * width, *(outputs * width for _, _, outputs in blocks)),
        doubles=tuple(doubles for doubles, _, _ in blocks),
        attention=attention if attention < len(blocks) else None,
        z_dim=_whole(stated, "z_dim"),
        num_classes=_whole(stated, "num_classes"),
        num_stats=_whole(stated, "n_stats", low=2),
        eps=float(eps),
    )
    if config.get("output_dim", shape.image_size) != shape.image_size:
        raise UserError(f"output_dim is {config['output_dim']!r}, but its layers make images of {shape.image_size} px")
    return shape


def _blocks(layers: Any) -> list[tuple[bool, int, int]]:
    """Return (whether it doubles, units in, units out) of every block."""
    whole = isinstance(layers, list) and 0 < len(layers) <= _MOST_BLOCKS and all(map(_is_block, layers))
    if not whole:
        raise UserError("layers is no list of entries like [true, 16, 8]")
    for before, after in pairwise(layers):
        if before[2] != after[1]:
            raise UserError(f"layers has {after} behind {before}, which hands on another number of channels")
    return [(layer[0], layer[1], layer[2]) for layer in layers]


def _is_block(layer: Any) -> bool:
    return isinstance(layer, list) and len(layer) == 3 and type(layer[0]) is bool and all(map(_is_size, layer[1:]))


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value <= _LARGEST


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _whole(stated: Mapping[str, Any], key: str, low: int = 1) -> int:
    value = stated[key]
    if type(value) is not int or not low <= value <= _LARGEST:
        raise UserError(f"{key} is {value!r}, but has to be a whole number from {low} on")
    return value
