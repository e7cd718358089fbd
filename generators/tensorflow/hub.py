"""The generator of the TF-Hub modules bigbigan-resnet50/1 and its kin as a state dict in the published torch layout.

Names and layouts are those of the conversion of anvoynov/BigGANsAreWatching (2021): weights come from their
moving averages, spectral-norm vectors and statistics as they are.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from generators.tensorflow.bundle import CheckpointBundle, find_index
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors
from toolkit.files.unpacking import members, write_member
from toolkit.files.workplace import temporary_folder
from toolkit.untrusted.text import guarded

_PREFIX = "GenEncWrapper/Generator/"
_AVERAGE = "/ema_0.9999"
_NUM_CLASSES = 1000
_NUM_BLOCKS = 5
_ATTENTION_BLOCK = 3
_FIRST_PIXELS = 16
_LONGEST_CLASS = 10_000  # numbers; BigBiGAN has 128
_ARCHIVES = (".tar.gz", ".tgz")
_CHECKPOINT_FILE = re.compile(r"\w[\w.-]*\.(index|data-\d{5}-of-\d{5})")


def is_module(path: Path) -> bool:
    """Return whether `path` may be a TF-Hub module: a folder, an archive or a checkpoint index."""
    return Path(path).is_dir() or Path(path).name.endswith((".index", *_ARCHIVES))


@contextmanager
def module_variables(path: Path) -> Iterator[CheckpointBundle]:
    """Yield the variables of a module: of its folder, its `.tar.gz`, or its `variables.index`.

    An archive's checkpoint lies in a temporary folder meanwhile. UserError when there is no whole checkpoint.
    """
    if not Path(path).name.endswith(_ARCHIVES) or Path(path).is_dir():
        yield CheckpointBundle(find_index(path))
        return
    with temporary_folder() as folder:
        _unpack_checkpoint(Path(path), folder)
        try:
            bundle = CheckpointBundle(find_index(folder))
        except UserError as error:
            raise UserError(f"{path} holds no whole TensorFlow checkpoint; download the module again") from error
        yield bundle


def _unpack_checkpoint(archive: Path, folder: Path) -> None:
    try:
        with members(archive, "download the module again, or name its folder") as files:
            for path, content, size in files:
                if _CHECKPOINT_FILE.fullmatch(path.name):
                    write_member(content, size, folder / path.name, archive)
    except OSError as error:
        raise UserError(f"cannot unpack {archive} ({error}); download the module again, or name its folder") from error


def convert_tf_variables(variables: Mapping[str, np.ndarray]) -> Tensors:
    """Return the published-layout state, without the unused `sv0`, from variables named as in the hub module.

    Names hold `GenEncWrapper/Generator/`, all behind the same scope (`module/`) or none; others and those not needed
    are ignored. Any width is taken. UserError naming the first variable that is missing, or one of another shape.
    """
    with guarded("the variables are not shaped as those of a BigBiGAN module", "give those of bigbigan-resnet50/1"):
        return _published_layout(variables)


def _published_layout(variables: Mapping[str, np.ndarray]) -> Tensors:
    source = _Variables(variables)
    chunk = source["GenZ/G_linear/w" + _AVERAGE].shape[0]
    one_class = source["linear/w" + _AVERAGE].reshape(1, -1)
    if one_class.numel() > _LONGEST_CLASS:
        raise ValueError(f"linear/w has {one_class.numel()} numbers, and is repeated for every class")
    state = {"shared.weight": one_class.repeat(_NUM_CLASSES, 1)}
    first = source.linear("GenZ/G_linear", bias=True)
    # TF orders the rows (height, width, channel), torch (channel, height, width).
    by_row = {"weight": 0, "bias": 0, "u0": 1}
    state |= {f"linear.{part}": _channels_first(first[part], axis) for part, axis in by_row.items()}
    for i in range(_NUM_BLOCKS):
        block = f"GBlock_{i}" if i else "GBlock"
        for theirs, ours in {"conv0": "conv1", "conv1": "conv2", "conv_sc": "conv_sc"}.items():
            state |= _prefixed(f"blocks.{i}.0.{ours}", source.conv(f"{block}/{theirs}", bias=True))
        for theirs, ours in {"BatchNorm": "bn1", "BatchNorm_1": "bn2"}.items():
            state |= _prefixed(f"blocks.{i}.0.{ours}", source.conditional_norm(f"{block}/{theirs}", chunk))
    for theirs, ours in {"theta": "theta", "phi": "phi", "g": "g", "o_conv": "o"}.items():
        state |= _prefixed(f"blocks.{_ATTENTION_BLOCK}.1.{ours}", source.conv(f"attention/{theirs}"))
    state[f"blocks.{_ATTENTION_BLOCK}.1.gamma"] = source["attention/gamma" + _AVERAGE].reshape(())
    state["output_layer.0.gain"] = source["BatchNorm/scale" + _AVERAGE].flatten()
    state["output_layer.0.bias"] = source["BatchNorm/offset" + _AVERAGE].flatten()
    state |= _prefixed("output_layer.0", source.statistics("BatchNorm"))
    state |= _prefixed("output_layer.2", source.conv("conv_2d", bias=True))
    return {name: tensor.contiguous() for name, tensor in state.items()}


class _Variables:
    """TF variables by their name under the generator, layer by layer in torch's axis order."""

    def __init__(self, variables: Mapping[str, np.ndarray]) -> None:
        scopes = sorted({name.partition(_PREFIX)[0] for name in variables if _PREFIX in name})
        if len(scopes) > 1:
            raise UserError(f"there are generators under {scopes[0]!r} and {scopes[1]!r}; give one module's variables")
        self.prefix = "".join(scopes) + _PREFIX
        self.variables = variables

    def __getitem__(self, name: str) -> torch.Tensor:
        full = self.prefix + name
        if full not in self.variables:
            raise UserError(
                f"the TF variable {full} is missing; give the variables of the hub module bigbigan-resnet50/1"
            )
        values = self.variables[full]
        if not np.issubdtype(values.dtype, np.floating):
            raise UserError(f"the TF variable {full} holds {values.dtype}, but weights are floating-point numbers")
        return torch.from_numpy(np.array(values, dtype=np.float32))

    def conv(self, layer: str, bias: bool = False) -> Tensors:
        return self._layer(layer, (3, 2, 0, 1), bias)

    def linear(self, layer: str, bias: bool = False) -> Tensors:
        return self._layer(layer, (1, 0), bias)

    def _layer(self, layer: str, axes: tuple[int, ...], bias: bool) -> Tensors:
        weight = self[f"{layer}/w{_AVERAGE}"].permute(axes)
        tensors = {"weight": weight, "u0": self[f"{layer}/u0"].reshape(1, -1)}
        return tensors | ({"bias": self[f"{layer}/b{_AVERAGE}"].flatten()} if bias else {})

    def conditional_norm(self, name: str, chunk: int) -> Tensors:
        tensors = self.statistics(name)
        for theirs, ours in {"scale": "gain", "offset": "bias"}.items():
            layer = self.linear(f"{name}/{theirs}")
            # TF conditions on [latent chunk, class embedding], torch on [class embedding, latent chunk].
            layer["weight"] = layer["weight"].roll(-chunk, dims=1)
            tensors |= _prefixed(ours, layer)
        return tensors

    def statistics(self, name: str) -> Tensors:
        return {f"stored_{part}": self[f"{name}/accumulated_{part}"].flatten() for part in ("mean", "var")}


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _channels_first(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    return tensor.unflatten(axis, (_FIRST_PIXELS, -1)).transpose(axis, axis + 1).flatten(axis, axis + 1)
