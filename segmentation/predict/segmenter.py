"""A trained network with everything needed to use it on a photo of any size; the only place that resizes."""

import copy
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from segmentation.predict.aspects import SHAPES, cut_to
from segmentation.predict.familiarity import LEAST_PHOTOS, MOST_PHOTOS, PREFIX, Familiarity
from segmentation.predict.inference import Noting, Prepared, prepared
from segmentation.predict.onnx_segmenter import ENDING
from segmentation.predict.protocols import PROTOCOLS
from segmentation.predict.windows import Judged, as_photos, settled, windows, without_strips
from segmentation.unet.layouts import is_whole, network_of
from segmentation.unet.network import SMALLEST_SIDE, UNet
from toolkit.errors import UserError, named
from toolkit.files.artefacts import (
    artefact_kind,
    halved,
    load_artefact,
    load_state_file,
    save_artefact,
)
from toolkit.files.shipped import file_named
from toolkit.hub.fetching import origin
from toolkit.pictures.any_photo import Photo, as_photo
from toolkit.pictures.pixels import resize
from toolkit.pictures.scaling import shorter_side
from toolkit.watch import SILENT, Watch

KIND = "segmenter"
Key = TypeVar("Key")
PUBLISHED_SIZE = 128  # the published networks were trained on BigBiGAN's 128 pixel images

_LARGEST_SIZE = 4096  # that a file may ask for; generators make up to 1024 pixels


@dataclass(frozen=True)
class Segmenter:
    """A U-Net, the side in pixels of the images it was trained on, and a card that says how it was made.

    `familiarity` is what it remembers of the photos it was trained on, if there were any.
    The network is copied, so that a segmenter made during training leaves the training alone. Photos go through a
    second copy, prepared for speed when first needed, so that what is saved stays what was trained.
    """

    network: UNet
    image_size: int
    card: Mapping[str, Any] = field(default_factory=dict)
    familiarity: Familiarity | None = field(default=None, repr=False)
    copied: InitVar[bool] = True  # False where nobody else holds the network
    _prepared: dict[bool, Prepared] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self, copied: bool) -> None:
        if self.image_size < SMALLEST_SIDE:
            raise UserError(
                f"the segmenter's image size is {self.image_size}, but the U-Net needs at least {SMALLEST_SIDE}; "
                "train on larger images"
            )
        network = (copy.deepcopy(self.network) if copied else self.network).eval().requires_grad_(False)
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

    @property
    def known(self) -> int:
        """Return how many of its training photos a photo is compared with; 0 where it remembers none."""
        return 0 if self.familiarity is None else self.familiarity.known

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
        """Yield the caller's key, the photo, and its foreground probability (H, W); see `judged_predictions`."""
        for found in self._predicted(photos, protocol, refine, bf16, None):
            yield found[:3]
            del found

    def judged_predictions(
        self,
        photos: Iterable[tuple[Key, Photo]],
        protocol: str = "float",
        refine: bool = False,
        bf16: bool = False,
    ) -> Iterator[Judged[Key]]:
        """Yield the caller's key, the photo, its foreground probability (H, W) float32 in [0, 1], and its familiarity.

        That is the share in (0, 1] of training photos at least as unusual (segmentation.predict.familiarity), or None
        where the segmenter remembers none. The order is that of `photos`.

        Photos are of any size and form (toolkit.pictures.any_photo), yielded as uint8 (H, W, 3), and taken from
        `photos` a few at a time. The network sees them with their shorter side at `image_size`. Protocol "float" keeps
        full precision, "original" goes through 8 bits as the published evaluation does; `refine` lets the result follow
        the photo's edges (segmentation.predict.dense_crf); `bf16` computes the network in bfloat16
        (segmentation.predict.inference says what that changes). UserError for another protocol or what is no photo.
        """
        return self._predicted(photos, protocol, refine, bf16, self.familiarity)

    def _predicted(
        self,
        photos: Iterable[tuple[Key, Photo]],
        protocol: str,
        refine: bool,
        bf16: bool,
        familiarity: Familiarity | None,
    ) -> Iterator[Judged[Key]]:
        if protocol not in PROTOCOLS:
            raise UserError(f"protocol {protocol!r} is unknown; choose one of {', '.join(PROTOCOLS)}")
        network, way = self._ready(bf16), PROTOCOLS[protocol]
        for window in windows(as_photos(photos)):
            noting = Noting(network, len(window), familiarity)
            shown = [without_strips(photo) for _, photo in window]
            soft_maps = way.predict(noting, shown, self.image_size, self.device, noting.note)
            del shown
            familiarities = iter(noting.values)
            for found in settled(window, soft_maps, refine):
                yield *found, next(familiarities)
                del found

    def familiar_with(self, photos: Sequence[Photo], watch: Watch = SILENT) -> "Segmenter":
        """Return the segmenter with statistics of these photos, those it was trained on, in place of any it had.

        Of many photos MOST_PHOTOS, spread evenly, are looked at; with fewer than LEAST_PHOTOS it remembers none.
        """
        if len(photos) < LEAST_PHOTOS:
            return Segmenter(self.network, self.image_size, self.card)
        some = [photos[index] for index in np.linspace(0, len(photos) - 1, min(len(photos), MOST_PHOTOS)).astype(int)]
        known = Familiarity.of(np.stack(list(self._summaries(some, watch))))
        return Segmenter(self.network, self.image_size, self.card, known)

    def _summaries(self, photos: Sequence[Photo], watch: Watch) -> Iterator[np.ndarray]:
        """Yield the summaries (1 + len(SHAPES), F) of photos in their shapes; NaN for those not looked at.

        Of many photos each is cut to one shape, in turn, beside the square; few are cut to all, for means that hold.
        """
        few = len(photos) * len(SHAPES) <= MOST_PHOTOS
        for index, photo in enumerate(watch.over(photos, "looking at photos", "photos")):
            pixels = as_photo(photo)
            square = self._summary(cut_to(pixels, 1))
            looks = np.full((1 + len(SHAPES), len(square)), np.nan, np.float32)
            looks[0] = square
            for shape in range(len(SHAPES)) if few else [index % len(SHAPES)]:
                looks[1 + shape] = self._summary(cut_to(pixels, SHAPES[shape]))
            yield looks

    def _summary(self, photo: np.ndarray) -> np.ndarray:
        images = PROTOCOLS["float"].enter(photo, self.image_size, self.device)
        return self._ready().with_summary(images, SHAPES[-1])[1][0].cpu().numpy()

    def _ready(self, bf16: bool = False) -> Prepared:
        if bf16 not in self._prepared:
            self._prepared[bf16] = prepared(self.network, bf16)
        return self._prepared[bf16]

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
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().numpy())
        return digest.hexdigest()[:16]

    def save(self, path: Path, half: bool = False) -> None:
        """Write the segmenter as one artefact; `half` stores convolutions in 16 bits, at half the size."""
        state = self.network.state_dict()
        tensors = halved(state) if half else dict(state)
        tensors |= self.familiarity.tensors() if self.familiarity else {}
        save_artefact(path, KIND, tensors, {**self.card, "image_size": self.image_size, "width": self.network.width})

    @classmethod
    def load(cls, name: str | os.PathLike[str]) -> "Segmenter":
        """Return the segmenter in a run folder, an artefact or a published U-Net file, or the known one of that name.

        Known are what is shipped, published files in the cache, and what is on the hub (hub:owner/name). UserError when
        there is none, or its file is damaged or does not fit.

        >>> Segmenter.load("flowers64")
        <Segmenter: U-Net of width 32, 3,352,290 parameters, for 64 pixels, on cpu>
        """
        path = file_named(name, "segmenters", "segmenter")
        if path.suffix.lower() == ENDING:
            raise UserError(f"{path} is exported for another runtime than torch: use {named('runtime', 'onnx')}")
        if path.is_dir():
            path = path / "segmenter.safetensors"
        if path.is_file() and artefact_kind(path) is None:
            return load_published(path)
        tensors, card = load_artefact(path, KIND)
        image_size = card.pop("image_size", None)
        if type(image_size) is not int or image_size > _LARGEST_SIZE:
            raise UserError(f"{path} does not say the image size of its network; train it again")
        card.pop("width", None)
        network = network_of({name: tensor for name, tensor in tensors.items() if not name.startswith(PREFIX)}, path)
        card |= origin(name, "segmenters")
        return cls(network, image_size, card, Familiarity.from_tensors(tensors, network.width, path), copied=False)


def load_published(path: Path, image_size: int = PUBLISHED_SIZE) -> Segmenter:
    """Return a segmenter from a plain state dict of the U-Net, such as the published `u_net_imagenet.pth`.

    The width and the way of upsampling are read off the shapes. UserError when the file is something else.
    """
    tensors = load_state_file(path, "U-Net weights", fits=is_whole)
    return Segmenter(network_of(tensors, path), image_size, {"published": Path(path).name})
