"""TensorFlow's pickles of StyleGAN2 and StyleGAN2-ADA, read under the names of StyleGAN2-ADA in torch.

Such a pickle is the triple G, D, Gs, of which Gs is the average; each is a record of its variables, of the same of its
parts (mapping and synthesis), and of the arguments it was built with. Its source, which is in it too, is not looked at.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from generators.nvlabs.values import PlainValues, table
from toolkit.untrusted.inert_records import Made, is_call
from toolkit.untrusted.pickled_arrays import SCALAR, array, scalar
from toolkit.untrusted.pickled_tensors import TensorReader

NETWORKS = (("dnnlib.tflib.network", "Network"), ("tfutil", "Network"))
_OLDEST = 4  # version of the state: of StyleGAN2
_DEEPEST = 3  # parts of parts
_MOST = 2000  # variables
_TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])
_FILTER = torch.outer(_TAPS, _TAPS) / 64
_FILTERED = (".conv0.weight", ".conv1.weight", ".skip.weight")

Change = Callable[[torch.Tensor], torch.Tensor]


def networks_in(held: Any) -> list[Made]:
    """Return the records of TensorFlow's networks in what a pickle holds, at its top."""
    inner = held if isinstance(held, list | tuple) else list(held.values()) if isinstance(held, dict) else [held]
    return [one for one in inner if is_call(one, *NETWORKS)]


class AveragedNetwork:
    """Gs of a triple; ValueError for networks that are no such triple, or older ones."""

    def __init__(self, networks: list[Made], reader: TensorReader) -> None:
        if len(networks) != 3:
            raise ValueError(f"it holds {len(networks)} networks, not G, D and Gs")
        self._network, self._reader = networks[2], reader
        self._values = PlainValues(reader)
        version = self._state(self._network).get("version")
        if type(version) is not int or version < _OLDEST:
            raise ValueError(f"it is of version {version if type(version) is int else 'none'}, older than StyleGAN2")
        self.version = version

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return all entries under the names and in the form of StyleGAN2-ADA in torch."""
        state: dict[str, torch.Tensor] = {}
        for count, (name, value) in enumerate(self._variables(self._network, "", 0)):
            if count > _MOST:
                raise ValueError("it has too many variables")
            entry, change = _renamed(name)
            if entry in state:
                raise ValueError(f"{name} is there twice")
            if entry:
                state[entry] = change(self._tensor(name, value)).contiguous()
        if "synthesis.b4.const" not in state:
            raise ValueError("it has no synthesis/4x4/Const/const")
        return state | dict.fromkeys(_filters(state), _FILTER)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of Gs as StyleGAN2-ADA in torch calls them."""
        given = self._values.plain(self._state(self._network).get("static_kwargs", {}))
        if not isinstance(given, dict) or given.get("resample_kernel", [1, 3, 3, 1]) != [1, 3, 3, 1]:
            raise ValueError("it resamples with another filter than 1, 3, 3, 1")
        base = given.get("fmap_base")
        if isinstance(base, int):  # channels at a side are counted from half of it
            given["channel_base"] = 2 * base
        whole, mapping, synthesis = (
            {new: given[old] for old, new in names.items() if old in given} for names in (_WHOLE, _MAPPING, _SYNTHESIS)
        )
        return {**whole, "mapping_kwargs": mapping, "synthesis_kwargs": synthesis}

    @staticmethod
    def _state(network: Any) -> dict[str, Any]:
        if not is_call(network, *NETWORKS):
            raise ValueError("a part of it is no network")
        return table(network.state, "the state of a network")

    def _variables(self, network: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
        if depth > _DEEPEST:
            raise ValueError("its networks are nested too deeply")
        state = self._state(network)
        variables = state.get("variables")
        if type(variables) is not list:
            raise ValueError("it holds no list of variables")
        for pair in variables:
            if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not str:
                raise ValueError("it holds a variable that is none")
            yield prefix + pair[0], pair[1]
        for name, part in table(state.get("components"), "its table of parts").items():
            yield from self._variables(part, f"{prefix}{name}/", depth + 1)

    def _tensor(self, name: str, value: Any) -> torch.Tensor:
        if is_call(value, *SCALAR):
            return torch.tensor(scalar(value, self._reader.content), dtype=torch.float32)
        try:
            found = array(value, self._reader.content)
            # Bytes cannot be written to, which torch would warn of.
            return torch.from_numpy(found.astype(found.dtype.newbyteorder("="), copy=True))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


_WHOLE = {
    "latent_size": "z_dim", "label_size": "c_dim", "dlatent_size": "w_dim", "resolution": "img_resolution",
    "num_channels": "img_channels",
}  # fmt: skip
_MAPPING = {"mapping_layers": "num_layers", "mapping_lrmul": "lr_multiplier", "mapping_nonlinearity": "activation"}
_SYNTHESIS = {
    "channel_base": "channel_base", "fmap_max": "channel_max", "conv_clamp": "conv_clamp",
    "architecture": "architecture", "nonlinearity": "activation",
}  # fmt: skip


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _first(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[0]


def _inner(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[0, 0]


def _turned(tensor: torch.Tensor) -> torch.Tensor:
    """Return a matrix with its inputs last."""
    return tensor.T


def _kernel(tensor: torch.Tensor) -> torch.Tensor:
    """Return a kernel (h, w, inputs, outputs) as (outputs, inputs, h, w)."""
    return tensor.permute(3, 2, 0, 1)


def _flipped(tensor: torch.Tensor) -> torch.Tensor:
    """Return a kernel of an up-sampling convolution, which are stored the other way round in torch."""
    return _kernel(tensor.flip(0, 1))


def _raised(tensor: torch.Tensor) -> torch.Tensor:
    """Return the biases of styles with the 1 that TensorFlow's network adds when it runs."""
    return tensor + 1


_LAYERS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}
_ENTRIES: Mapping[str, tuple[str, Change]] = {
    "weight": ("weight", _kernel),
    "bias": ("bias", _same),
    "mod_weight": ("affine.weight", _turned),
    "mod_bias": ("affine.bias", _raised),
    "noise_strength": ("noise_strength", _same),
}
_IN_MAPPING: Mapping[str, Change] = {"weight": _turned, "bias": _same}
_PATTERNS = {
    "mapping": re.compile(r"mapping/(?:(LabelEmbed)|Dense(\d{1,3}))/(weight|bias)"),
    "noise": re.compile(r"synthesis/noise(\d{1,2})"),
    "layer": re.compile(rf"synthesis/(\d{{1,5}})x\1/({'|'.join(_LAYERS)})/({'|'.join(_ENTRIES)})"),
}


def _renamed(name: str) -> tuple[str, Change]:
    """Return a variable's name in torch, "" where it has none there, and how its value changes.

    ValueError for one that StyleGAN2 does not have.
    """
    known = {"lod": ("", _same), "dlatent_avg": ("mapping.w_avg", _same)}
    known["synthesis/4x4/Const/const"] = ("synthesis.b4.const", _first)
    if name in known:
        return known[name]
    found = {kind: match for kind, pattern in _PATTERNS.items() if (match := pattern.fullmatch(name))}
    if "mapping" in found:
        embed, layer, entry = found["mapping"].groups()
        return f"mapping.{'embed' if embed else f'fc{layer}'}.{entry}", _IN_MAPPING[entry]
    if "noise" in found:  # one map at 4 px, two at every larger side
        index = int(found["noise"][1])
        return f"synthesis.b{2 ** ((index + 5) // 2)}.conv{1 - index % 2}.noise_const", _inner
    if "layer" in found:
        side, layer, kept = found["layer"].groups()
        entry, change = _ENTRIES[kept]
        flips = kept == "weight" and layer in ("Conv0_up", "Skip")
        return f"synthesis.b{side}.{_LAYERS[layer]}.{entry}", _flipped if flips else change
    raise ValueError(f"it has {name[:80]}, which is none of StyleGAN2")


def _filters(state: Mapping[str, torch.Tensor]) -> Iterator[str]:
    """Yield the names of the filters, constants that TensorFlow's network does not store."""
    for name in state:
        block = re.match(r"synthesis\.b\d+\.", name)
        if block:
            yield f"{block[0]}resample_filter"
        if name.endswith(_FILTERED):
            yield name.removesuffix("weight") + "resample_filter"
