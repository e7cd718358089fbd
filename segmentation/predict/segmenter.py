"""A trained network with everything needed to use it on a photo of any size; the only place that resizes."""

import copy
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from segmentation.predict.dense_crf import dense_crf
from segmentation.predict.inference import prepared, windows
from segmentation.predict.protocols import PROTOCOLS, Network
from segmentation.unet.layouts import is_whole, network_of
from segmentation.unet.network import SMALLEST_SIDE, UNet
from toolkit.errors import UserError
from toolkit.files.artefacts import (
    artefact_kind,
    halved,
    load_artefact,
    load_state_file,
    save_artefact,
)
from toolkit.files.shipped import file_named
from toolkit.pictures.any_photo import Photo, as_photo
from toolkit.pictures.pixels import resize, shorter_side

KIND = "segmenter"
Key = TypeVar("Key")
PUBLISHED_SIZE = 128  # the published networks were trained on BigBiGAN's 128 pixel images

_LARGEST_SIZE = 4096  # that a file may ask for; generators make up to 1024 pixels
_LONGEST_TO_SHORTEST = 8  # a longer strip is padded, or its network input would grow without bound


@dataclass(frozen=True)
class Segmenter:
    """A U-Net, the side in pixels of the images it was trained on, and a card that says how it was made.

    The network is copied, so that a segmenter made during training leaves the training alone. Photos go through a
    second copy, prepared for speed when first needed, so that what is saved stays what was trained.
    """

    network: UNet
    image_size: int
    card: Mapping[str, Any] = field(default_factory=dict)
    _prepared: dict[bool, Network] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.image_size < SMALLEST_SIDE:
            raise UserError(
                f"the segmenter's image size is {self.image_size}, but the U-Net needs at least {SMALLEST_SIDE}; "
                "train on larger images"
            )
        network = copy.deepcopy(self.network).eval().requires_grad_(False)
        object.__setattr__(self, "network", network.to(memory_format=torch.channels_last))

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter in self.network.parameters())
        side = f"{self.image_size} pixels"
        return f"<Segmenter: U-Net of width {self.network.width}, {count:,} parameters, for {side}, on {self.device}>"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_prepared": {}}

    @property
    def device(self) -> torch.device:
        """Return where the network computes."""
        return next(self.network.parameters()).device

    def to(self, device: torch.device) -> "Segmenter":
        """Return the segmenter on `device`."""
        self.network.to(device)
        self._prepared.clear()
        return self

    def probability(
        self, photo: Photo, protocol: str = "float", refine: bool = False, bf16: bool = False
    ) -> np.ndarray:
        """Return the foreground probability (H, W) of one photo; see `predictions`."""
        return next(self.predictions([(None, photo)], protocol, refine, bf16))[2]

    def predictions(
        self,
        photos: Iterable[tuple[Key, Photo]],
        protocol: str = "float",
        refine: bool = False,
        bf16: bool = False,
    ) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
        """Yield the caller's key, the photo, and its foreground probability (H, W) float32 in [0, 1], in order.

        Photos are of any size and form (toolkit.pictures.any_photo), yielded as uint8 (H, W, 3), and taken from
        `photos` a few at a time. The network sees them with their shorter side at `image_size`. Protocol "float" keeps
        full precision, "original" goes through 8 bits as the published evaluation does; `refine` lets the result follow
        the photo's edges (segmentation.predict.dense_crf); `bf16` computes the network in bfloat16
        (segmentation.predict.inference says what that changes). UserError for another protocol or what is no photo.
        """
        if protocol not in PROTOCOLS:
            raise UserError(f"protocol {protocol!r} is unknown; choose one of {', '.join(PROTOCOLS)}")
        if bf16 not in self._prepared:
            self._prepared[bf16] = prepared(self.network, bf16)
        for window in windows((key, as_photo(photo)) for key, photo in photos):
            shown = [_without_strips(photo) for _, photo in window]
            soft_maps = PROTOCOLS[protocol].predict(self._prepared[bf16], shown, self.image_size, self.device)
            for (key, photo), probability in zip(window, soft_maps, strict=True):
                own = probability[: photo.shape[0], : photo.shape[1]]
                yield key, photo, dense_crf(photo, own) if refine else own

    @torch.no_grad()
    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """Return foreground probabilities (B, H, W) float32 of images (B, 3, H, W) in [-1, 1], as "float" does."""
        size = (images.shape[-2], images.shape[-1])
        logits = self.network(resize(images, shorter_side(*size, self.image_size)))
        return resize(logits.float().softmax(dim=1)[:, 1:], size)[:, 0].clamp(0, 1)

    def mask(self, photo: Photo, threshold: float = 0.5, protocol: str = "float", refine: bool = False) -> np.ndarray:
        """Return the mask (H, W) bool of a photo: probability at least `threshold`."""
        return self.probability(photo, protocol, refine) >= threshold

    def digest(self) -> str:
        """Return 16 letters that identify its weights, for run records."""
        digest = hashlib.sha256()
        for name, tensor in self.network.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: Path, half: bool = False) -> None:
        """Write the segmenter as one artefact; `half` stores convolutions in 16 bits, at half the size."""
        state = self.network.state_dict()
        tensors = halved(state) if half else state
        save_artefact(path, KIND, tensors, {**self.card, "image_size": self.image_size, "width": self.network.width})

    @classmethod
    def load(cls, name: str | os.PathLike[str]) -> "Segmenter":
        """Return the segmenter in a run folder, an artefact or a published U-Net file, or the known one of that name.

        Known are what is shipped, and published files in the cache. UserError when there is none, or its file is
        damaged or does not fit.

        >>> Segmenter.load("flowers64")
        <Segmenter: U-Net of width 32, 3,352,290 parameters, for 64 pixels, on cpu>
        """
        path = file_named(name, "segmenters", "segmenter")
        if path.is_dir():
            path = path / "segmenter.safetensors"
        if path.is_file() and artefact_kind(path) is None:
            return load_published(path)
        tensors, card = load_artefact(path, KIND)
        image_size = card.pop("image_size", None)
        if type(image_size) is not int or image_size > _LARGEST_SIZE:
            raise UserError(f"{path} does not say the image size of its network; train it again")
        card.pop("width", None)
        return cls(network_of(tensors, path), image_size, card)


def load_published(path: Path, image_size: int = PUBLISHED_SIZE) -> Segmenter:
    """Return a segmenter from a plain state dict of the U-Net, such as the published `u_net_imagenet.pth`.

    The width and the way of upsampling are read off the shapes. UserError when the file is something else.
    """
    tensors = load_state_file(path, "U-Net weights", fits=is_whole)
    return Segmenter(network_of(tensors, path), image_size, {"published": Path(path).name})


def _without_strips(photo: np.ndarray) -> np.ndarray:
    """Return the photo with its shorter side padded, repeating the edge, to an eighth of the longer one."""
    height, width = photo.shape[:2]
    least = -(-max(height, width) // _LONGEST_TO_SHORTEST)
    tall, wide = max(0, least - height), max(0, least - width)
    return np.pad(photo, [(0, tall), (0, wide), (0, 0)], mode="edge") if tall or wide else photo
