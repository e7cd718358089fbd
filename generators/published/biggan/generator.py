"""Generators of the BigGAN family: BigBiGAN (Donahue & Simonyan 2019) and class-conditional BigGAN."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from generators.frozen import FrozenGenerator
from generators.layers.conditional import ConditionalGenerator
from generators.layouts import Family, Layout, Weights
from generators.protocol import Latents
from generators.published.biggan.network import (
    BIGBIGAN,
    BIGGAN_128,
    BigGANNetwork,
    BigGANShape,
    infer_shape,
    published_shapes,
)
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.files.artefacts import (
    Tensors,
    artefact_kind,
    differences,
    load_artefact,
    load_state_file,
    match_state,
    save_artefact,
)

KIND = "bigbigan generator"
_TARGET_CLASSES = "target_classes"
_SAME_CLASS = 1e-3  # of the largest number in the class embeddings


class BigBiGAN(FrozenGenerator):
    """The unconditional generator (see generators.protocol): every latent is rendered as class 0.

    In the published weights all classes share one embedding, so the class makes no difference.
    """

    def __init__(self, network: BigGANNetwork, name: str = "bigbigan") -> None:
        super().__init__(network, name)

    def __call__(self, latents: Latents) -> torch.Tensor:
        """Return images (B, 3, S, S) in [-1, 1]; gradients reach the latents."""
        return self.network(latents.z, torch.zeros(len(latents), dtype=torch.long, device=latents.z.device))


class ConditionalBigGAN(ConditionalGenerator):
    """The class-conditional generator (see generators.layers.conditional)."""

    def __init__(self, network: BigGANNetwork, classes: Sequence[int] = ()) -> None:
        super().__init__(network, f"biggan{network.shape.resolution}", network.shape.num_classes, classes)


def load_bigbigan(path: Path) -> BigBiGAN:
    """Return the generator in an artefact or a published-layout file (`BigBiGAN_x1.pth`, .safetensors), of any width.

    Classes that differ are not looked at: whoever asks for BigBiGAN gets the first, as in the original. UserError when
    the file is missing, damaged, not finite or has other entries; unused `sv0` may be absent.
    """
    name = "bigbigan"
    if artefact_kind(path) == KIND:
        state, card = load_artefact(path, KIND)
        name = str(card.get("name", name))
    else:
        state = load_state_file(path, "BigBiGAN weights", fits=is_whole)
    shape = _bigbigan_shape(state, path)
    return BigBiGAN(BigGANNetwork(shape, {**state, "shared.weight": state["shared.weight"][:1]}), name)


def save_bigbigan(path: Path, state: Tensors, card: Mapping[str, Any], source: Path) -> None:
    """Write a published-layout state, without the unused `sv0`, as one artefact for `load_bigbigan`.

    UserError naming `source` when the state does not fit, or when its classes differ: it then is no BigBiGAN.
    """
    _bigbigan_shape(state, source)
    if not _has_one_class(state):
        count = len(state["shared.weight"])
        raise UserError(f"{source} is class-conditional: its {count} classes differ; BigBiGAN has one for all")
    save_artefact(path, KIND, {name: t for name, t in state.items() if not name.endswith(".sv0")}, card)


def published_entries(state: Tensors) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every entry of a published state of the sizes of `state`; UserError for none.

    Among them are the classes (int64, one or a list) that the original's adapter keeps beside the network, if there.
    """
    sizes = published_shapes(infer_shape(state, BIGGAN_128))
    if _TARGET_CLASSES in state:
        sizes[_TARGET_CLASSES] = tuple(state[_TARGET_CLASSES].shape)
    return sizes


def from_published(weights: Weights, options: Options) -> BigBiGAN | ConditionalBigGAN:
    """Return the generator of a whole published state: BigBiGAN where all classes are one, else conditional BigGAN.

    Option `classes` (239,12 ...) names those a conditional one draws from; without it, those of the adapter in the
    state, else all. UserError for an unknown class.
    """
    state = weights.tensors
    if _has_one_class(state):
        shape = infer_shape(state, BIGBIGAN)
        return BigBiGAN(BigGANNetwork(shape, {**state, "shared.weight": state["shared.weight"][:1]}))
    kept = state[_TARGET_CLASSES].long().flatten().tolist() if _TARGET_CLASSES in state else ()
    classes = options.integers("classes") or kept
    return ConditionalBigGAN(BigGANNetwork(infer_shape(state, BIGGAN_128), state), classes)


FAMILY = Family(
    (
        Layout(
            "a BigGAN or BigBiGAN (BigGAN-PyTorch layout)",
            published_entries,
            from_published,
            lambda name: name.endswith(".sv0"),
        ),
    )
)


def _has_one_class(state: Tensors) -> bool:
    rows = state["shared.weight"].float()
    # What a conversion rounds is no class of its own: those of BigGAN differ by as much as they are long.
    return bool((rows - rows[:1]).abs().max() <= _SAME_CLASS * rows.abs().max())


def is_whole(state: Tensors) -> bool:
    """Return whether a state has all entries of published BigBiGAN weights of its size, and no other."""
    try:
        return not differences(state, sizes := published_entries(state), _unused(sizes))
    except UserError:
        return False


def is_bigbigan(state: Tensors) -> bool:
    """Return whether a state is whole published BigBiGAN weights: of the layout, with one class for all images."""
    return is_whole(state) and _has_one_class(state)


def _unused(sizes: Mapping[str, Any]) -> list[str]:
    return [name for name in sizes if name.endswith(".sv0")]


def _bigbigan_shape(state: Tensors, path: Path) -> BigGANShape:
    """Return the sizes of BigBiGAN weights read from `path`; UserError for all others."""
    what = "BigBiGAN weights"
    try:
        shape = infer_shape(state, BIGBIGAN)
    except UserError as error:
        raise UserError(f"{path} does not fit {what}: {error}") from error
    sizes = published_shapes(shape)
    match_state(state, sizes, path, what, optional=_unused(sizes))
    return shape
