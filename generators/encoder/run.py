"""The run that trains an encoder for a generator."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from generators.encoder.network import Encoder
from generators.encoder.settings import EncoderSettings
from generators.encoder.training import EncoderState, EncoderStep, encoder_shape, train
from generators.encoder.validation import EncoderValidator
from generators.protocol import Generator
from toolkit.compute.engine import Engine
from toolkit.errors import UserError, named
from toolkit.files.driving import Work
from toolkit.files.runs import RunFolder
from toolkit.pictures.photos import write_picture
from toolkit.watch import Watch

_SHOWN = ("latent_loss", "photo_loss", "latent_r2", "photo_error")


@dataclass
class EncoderRun(Work[EncoderState, EncoderStep]):
    """A training on samples, and on photos (to train on, to measure on) where there are any, into encoder.safetensors.

    The photos are uint8 (N, 3, S, S) as `encoder_shape` says S.
    """

    generator: Generator
    photos: tuple[torch.Tensor, torch.Tensor] | None
    settings: EncoderSettings
    engine: Engine
    inputs: dict[str, str]
    extendable: tuple[str, ...] = ()

    @cached_property
    def validator(self) -> EncoderValidator:
        """Return what measures the network, made when first needed."""
        side = encoder_shape(self.generator, self.settings).image_size
        return EncoderValidator(self.generator, side, self.photos, self.engine.device)

    def start(self, run: RunFolder, watch: Watch) -> EncoderState:
        """Return the state before the first step."""
        return EncoderState.start(self.generator, self.settings, self.engine)

    def steps(self, state: EncoderState) -> Iterator[EncoderStep]:
        """Return the training loop."""
        photos = None if self.photos is None else self.photos[0]
        return train(state, self.generator, photos, self.settings, self.engine)

    def attend(self, state: EncoderState, step: EncoderStep, last: bool, run: RunFolder) -> str | None:
        """Log what is due, and draw pairs where it is measured."""
        figures: dict[str, float] = {}
        if step.step % self.settings.log_every == 0 or last:
            figures = {name: float(value) for name, value in vars(step).items() if value is not None and name != "step"}
        if step.step % self.settings.validate_every == 0 or last:
            figures |= self.validator.figures(state.network)
            write_picture(run.path / "pairs.png", self.validator.picture(state.network))
        if not figures:
            return None
        run.log(step.step, **figures)
        return ", ".join(f"{name} {figures[name]:.3f}" for name in _SHOWN if name in figures)

    def conclude(self, state: EncoderState, run: RunFolder, watch: Watch) -> None:
        """Write the encoder and its last figures."""
        measured = [line for line in run.metrics() if "latent_r2" in line]
        if not measured:
            raise UserError(f"the log in {run.path} lacks its last figures; train again in another {named('out')}")
        figures: dict[str, Any] = {name: value for name, value in measured[-1].items() if name != "step"}
        card = {
            "generator": self.generator.name,
            "source": self.inputs,
            "settings": self.settings.defining(),
            "figures": figures,
        }
        Encoder(state.network.cpu(), card).save(run.path / "encoder.safetensors")
        run.finish({**self.inputs, "steps": state.step, **figures})
        for line in described(figures):
            watch.say(line)


def described(figures: dict[str, Any]) -> list[str]:
    """Return lines on how well an encoder does."""
    lines = [
        f"latents of fresh samples: R^2 {figures['latent_r2']:.3f}, worst number {figures['latent_r2_worst']:.3f}; "
        f"error of their reconstructions {figures['sample_error']:.3f}"
    ]
    if "photo_error" in figures:
        lines.append(
            f"held-out photos: error of reconstructions {figures['photo_error']:.3f}; of the photos' mean "
            f"{figures['photo_error_mean']:.3f}, of samples at random {figures['photo_error_random']:.3f}"
        )
    return lines
