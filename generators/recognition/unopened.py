"""Files that users of GANs hold and that are no generator this toolkit opens: what they are, and what to do about it.

They are recognised by names of entries alone (self-conditioned GANs call all by the same names), after the file has
been found to fit no layout.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from toolkit.files.artefacts import Tensors

_AVERAGE = "give the file of the generator, or of its average (EMA)"


@dataclass(frozen=True)
class Unopened:
    """`what` a file is, with its article; `advice` on what to do; whether a state `is_one`."""

    what: str
    advice: str
    is_one: Callable[[Tensors], bool]


def unopened(state: Tensors) -> Unopened | None:
    """Return what a state is that fits no layout, or None where it is none of the table either."""
    return next((entry for entry in _TABLE if entry.is_one(state)), None)


def _named(*patterns: str) -> Callable[[Tensors], bool]:
    """Return whether each pattern fits some name of a state, from its beginning or from behind a dot on."""

    def is_one(state: Tensors) -> bool:
        return all(any(re.search(rf"(?:^|\.){pattern}", name) for name in state) for pattern in patterns)

    return is_one


def _reads_pictures(state: Tensors) -> bool:
    """Return whether the convolution `conv_img` of a residual network has colours in front of it, not behind."""
    weight = state.get("conv_img.weight")
    return (
        weight is not None and weight.dim() == 4 and weight.shape[1] in (1, 3) and "resnet_0_0.conv_0.weight" in state
    )


def _discriminator(code: str, is_one: Callable[[Tensors], bool]) -> Unopened:
    return Unopened(f"a discriminator ({code})", _AVERAGE, is_one)


_TABLE = (
    Unopened(
        "a StyleGAN in lernapparat's layout, which GANSpace uses",
        "its noise is not stored, so its images are others each time; give the same network in genforce's layout, "
        "{generator_smooth: ...}, or wrap it as your own generator: package.module:factory",
        _named(r"g_mapping\.dense", r"g_synthesis\.blocks\."),
    ),
    Unopened(
        "an encoder with its StyleGAN2 beside it (pSp, e4e)",
        "save the entries behind 'decoder.' without it, a StyleGAN2 in rosinality's layout, and open that",
        _named(r"encoder\.input_layer\.", r"decoder\.convs\."),
    ),
    Unopened(
        "an EG3D, which renders scenes seen by a camera",
        "wrap it as your own generator: package.module:factory",
        _named(r"backbone\.synthesis\.b4\.const"),
    ),
    Unopened(
        "a StyleGAN-XL, which maps embeddings of pretrained classifiers",
        "wrap it as your own generator: package.module:factory",
        _named(r"mapping\.embed_proj\.", r"synthesis\."),
    ),
    Unopened(
        "a generator of PyTorch-StudioGAN with another backbone than big_resnet and resnet",
        "these two are opened; wrap others as your own generator: package.module:factory",
        _named(r"linear0\.", r"blocks\.\d+\.0\.(conv2d[34]|deconv0)\."),
    ),
    _discriminator("StyleGAN2-ADA or StyleGAN3", _named(r"b\d+\.fromrgb\.", r"b4\.(fc|out)\.")),
    _discriminator("rosinality's StyleGAN2", _named(r"convs\.\d+\.", r"final_linear\.\d\.")),
    _discriminator("genforce", _named(r"input\d+\.(conv\.)?weight", r"layer\d+\.(conv\.)?weight")),
    _discriminator("torch-mimicry", _named(r"block1\.c1\.", r"l\d+\.")),
    _discriminator("PyTorch-StudioGAN", _named(r"linear1\.", r"blocks\.\d+\.\d+\.conv2d1\.")),
    _discriminator("BigGAN-PyTorch", _named(r"linear\.", r"embed\.", r"blocks\.\d+\.\d+\.conv1\.")),
    _discriminator("self-conditioned GANs", _reads_pictures),
)
