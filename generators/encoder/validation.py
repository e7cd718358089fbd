"""How well an encoder does on samples and photos it was not trained on."""

from collections.abc import Callable

import numpy as np
import torch

from generators.encoder.network import EncoderNetwork
from generators.encoder.reconstruction import LatentMoments, pairs_picture, pyramid_error, rendered
from generators.encoder.settings import EncoderSettings
from generators.protocol import Generator
from toolkit.errors import UserError, named
from toolkit.pictures.pixels import stack_rows
from toolkit.streams import Stream

_SAMPLES = 512
_RECONSTRUCTED = 128  # of them: rendering costs more than encoding
_PAIRS = 12  # columns of the picture
_BATCH = 64


def split_photos(photos: torch.Tensor, settings: EncoderSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (photos to train on, photos to measure on): of the second evenly spaced ones, a tenth or fewer.

    UserError for a single photo.
    """
    if len(photos) < 2:
        raise UserError(
            f"{named('photos')} holds one photo, but one is needed to train and one to measure; give more, or none"
        )
    count = min(settings.held_out, max(1, len(photos) // 10))
    held_out = torch.zeros(len(photos), dtype=torch.bool)
    held_out[torch.arange(count) * len(photos) // count] = True
    return photos[~held_out], photos[held_out]


class EncoderValidator:
    """Measures an encoder on the same fresh samples and held-out photos each time, in full precision.

    `photos` are uint8 (train (N, 3, S, S), held out (M, 3, S, S)), or None.
    """

    def __init__(
        self, generator: Generator, side: int, photos: tuple[torch.Tensor, torch.Tensor] | None, device: torch.device
    ) -> None:
        self.generator = generator
        self.side = side
        self.device = device
        self.moments = LatentMoments.of(generator, device)
        self.z = generator.sample(_SAMPLES, Stream(0, "held-out-samples")).z
        self.samples = self._batched(self._rendered, self.z)
        self.photos = None if photos is None else _as_images(photos[1])
        self.baselines = {} if photos is None else self._baselines(photos[0])

    def figures(self, network: EncoderNetwork) -> dict[str, float]:
        """Return the figures of a network, which is left in evaluation mode.

        latent_r2, latent_r2_worst: share of the variance of samples' latents that the means explain, over all numbers
        of a latent and for the worst of them. sample_error, photo_error: mean pyramid errors of reconstructions.
        photo_error_mean, photo_error_random: those of the photos' mean and of samples that show other things.
        photo_latent_size: root mean square of photos' latents, in units in which the generator's own have 1.
        """
        network.eval()
        z = self._batched(lambda images: network(images)[0], self.samples)
        errors, variances = (self.z - z).square().mean(dim=0), self.z.var(dim=0, unbiased=False)
        # A number of the latent that never varies says nothing about the encoder.
        shares = 1 - (errors / variances)[variances > 0]
        figures = {
            "latent_r2": float(1 - errors.sum() / variances.sum()),
            "latent_r2_worst": float(shares.min()),
            "sample_error": self._error(z[:_RECONSTRUCTED], self.samples[:_RECONSTRUCTED]),
        }
        if self.photos is not None:
            z = self._batched(lambda images: network(images)[0], self.photos)
            figures |= {"photo_error": self._error(z, self.photos), **self.baselines}
            figures["photo_latent_size"] = float(self.moments.normalised(z.to(self.device)).square().mean().sqrt())
        return figures

    def picture(self, network: EncoderNetwork) -> np.ndarray:
        """Return uint8 (H, W, 3): photos above their reconstructions, then samples above theirs."""
        network.eval()
        shown = [] if self.photos is None else [self.photos[:: max(1, len(self.photos) // _PAIRS)][:_PAIRS]]
        shown.append(self.samples[:_PAIRS])
        return stack_rows([pairs_picture(images, self._reconstructed(network, images)) for images in shown])

    def _baselines(self, trained_on: torch.Tensor) -> dict[str, float]:
        assert self.photos is not None
        # In pieces: as float32 a large set of photos would not fit.
        sums = [_as_images(part).sum(dim=0) for part in trained_on.split(_BATCH)]
        mean = torch.stack(sums).sum(dim=0) / len(trained_on)
        others = self.samples[torch.arange(len(self.photos)) % len(self.samples)]
        return {
            "photo_error_mean": float(pyramid_error(mean.expand_as(self.photos), self.photos).mean()),
            "photo_error_random": float(pyramid_error(others, self.photos).mean()),
        }

    def _error(self, z: torch.Tensor, images: torch.Tensor) -> float:
        return float(pyramid_error(self._batched(self._rendered, z), images).mean())

    def _reconstructed(self, network: EncoderNetwork, images: torch.Tensor) -> torch.Tensor:
        return self._batched(lambda part: self._rendered(network(part)[0]), images)

    def _rendered(self, z: torch.Tensor) -> torch.Tensor:
        return rendered(self.generator, z, self.side)

    @torch.no_grad()
    def _batched(self, function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([function(part.to(self.device)).cpu() for part in rows.split(_BATCH)])


def _as_images(photos: torch.Tensor) -> torch.Tensor:
    return photos.float() / 127.5 - 1
