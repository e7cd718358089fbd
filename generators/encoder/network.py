"""An encoder for any generator: from an image to the mean and spread of the latents that could have made it."""

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import nn

from generators.compact.square import SquareShape, load_network
from toolkit.files.artefacts import halved, save_artefact
from toolkit.pictures.pixels import resize
from toolkit.provenance import GeneratorSource
from toolkit.streams import Stream

KIND = "encoder"
_WIDEST = 4  # times the first stage's channels
_LAST_SIDE = 4
# The spread of a latent number lies within exp(-4) and exp(2): beyond, one outlier of a young encoder decides a batch.
_LOG_SPREAD = (-4.0, 2.0)


@dataclass(frozen=True)
class EncoderShape(SquareShape):
    """The sizes that name an encoder."""

    what: ClassVar[str] = "an encoder"

    def channels(self) -> list[int]:
        """Return the channels at sides image_size / 2, image_size / 4, ... 4."""
        stages = (self.image_size // 2 // _LAST_SIDE).bit_length()
        return [min(_WIDEST, 2**i) * self.width for i in range(stages)]


class _Block(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        inner = self.norm2(self.conv2(F.silu(self.norm1(self.conv1(features)))))
        return F.silu(self.shortcut(features) + inner)


class EncoderNetwork(nn.Module):
    """Images (B, 3, S, S) -> mean and log of the spread of their latents, each (B, D)."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        channels = shape.channels()
        # Folding the picture to half its side first keeps full-size convolutions, the costliest ones, away from CPUs.
        stages: list[nn.Module] = [
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, channels[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.SiLU(),
        ]
        for inputs, outputs in itertools.pairwise(channels):
            stages += [nn.AvgPool2d(2), _Block(inputs, outputs)]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels[-1] * _LAST_SIDE**2, 2 * shape.latent_dim)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (mean, log spread), each (B, D) float32, of images (B, 3, S, S) in [-1, 1]."""
        features = self.stages(images.to(memory_format=torch.channels_last))
        # Estimated as the log of a variance: as that of a spread it moves twice as far a step, and young encoders
        # diverge (R^2 of -1.4 after 200 steps of 64 samples instead of 0.35).
        mean, log_variance = self.head(features.flatten(1)).float().chunk(2, dim=1)
        return mean, (0.5 * log_variance).clamp(*_LOG_SPREAD)


class Encoder:
    """A trained encoder, frozen and in evaluation mode.

    `generator` names the generator whose latents it estimates.
    """

    def __init__(self, network: EncoderNetwork, card: dict[str, Any]) -> None:
        self.network = network.eval().requires_grad_(False)
        self.card = card
        self.generator: str = card["generator"]
        self.latent_dim = network.shape.latent_dim
        self.image_size = network.shape.image_size

    @property
    def source(self) -> GeneratorSource:
        """Return what the card says of the generator that the encoder was trained on."""
        return GeneratorSource.of(self.card)

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean and the spread, each (B, D), of the latents of images (B, 3, H, W) in [-1, 1].

        Squares of another side are resized to the encoder's own.
        """
        mean, log_spread = self.network(resize(images, (self.image_size, self.image_size)))
        return mean, log_spread.exp()

    def embed(self, images: torch.Tensor, sample: bool, rng: Stream) -> torch.Tensor:
        """Return latents (B, D) of images (B, 3, H, W): their means, or with `sample` a draw from the next rows."""
        mean, spread = self(images)
        return mean + spread * rng.normal(*mean.shape).to(mean) if sample else mean

    def to(self, device: torch.device) -> Self:
        """Return the encoder on `device`."""
        self.network.to(device)
        return self

    def save(self, path: Path, half: bool = False) -> None:
        """Write the encoder as one artefact; `half` stores its weights in 16 bits, at half the size."""
        state = self.network.state_dict()
        save_artefact(path, KIND, halved(state) if half else state, {**self.card, "shape": asdict(self.network.shape)})


def load_encoder(path: Path) -> Encoder:
    """Return the encoder in an artefact; UserError when the file is another kind, damaged or does not fit."""
    return Encoder(*load_network(path, KIND, EncoderShape, EncoderNetwork, "generator"))
