"""The run that trains a compact generator on photos, and its encoder where that is the objective."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from generators.compact.joint_training import JointState, JointStep, train_jointly
from generators.compact.network import CompactGenerator
from generators.compact.quality import MIN_PHOTOS, QualityGauge
from generators.compact.settings import GeneratorSettings
from generators.compact.training import GeneratorState, GeneratorStep, train
from generators.encoder.network import Encoder, EncoderNetwork
from generators.encoder.validation import EncoderValidator
from toolkit.compute.engine import Engine
from toolkit.files.driving import Work, log_figures
from toolkit.files.runs import RunFolder
from toolkit.files.writing import sha256_of
from toolkit.pictures.photos import write_picture
from toolkit.pictures.pixels import grid, to_bytes
from toolkit.streams import Stream
from toolkit.watch import Watch

State = GeneratorState | JointState
AnyStep = GeneratorStep | JointStep
_RECONSTRUCTED = 128  # photos whose reconstruction is measured
_OF_ONE_BATCH = ("step", "_loss", "_score")  # figures that say little of the finished generator


def first_state(settings: GeneratorSettings, engine: Engine) -> State:
    """Return the state before the first step of the objective's training."""
    state_class: type[GeneratorState] | type[JointState] = (
        JointState if settings.objective == "bigbigan" else GeneratorState
    )
    return state_class.start(settings, engine)


@dataclass
class GeneratorRun(Work[Any, Any]):
    """A training on photos uint8 (N, 3, S, S), from `state`, into generator.safetensors, and encoder.safetensors.

    `name` is what the generator carries in its card.
    """

    state: State
    photos: torch.Tensor
    settings: GeneratorSettings
    engine: Engine
    inputs: dict[str, str]
    name: str = "photos"

    @cached_property
    def generator(self) -> CompactGenerator:
        """Return the averaged generator as it is in training."""
        return CompactGenerator(self.state.average, {"name": "in training"})

    @cached_property
    def gauge(self) -> QualityGauge:
        """Return what measures samples, made when first needed: in the leading process."""
        return QualityGauge(self.photos, self.settings.image_size, self.engine.device)

    @property
    def encoder(self) -> EncoderNetwork | None:
        """Return the averaged encoder, where one is trained."""
        return self.state.encoder_average if isinstance(self.state, JointState) else None

    def start(self, run: RunFolder, watch: Watch) -> State:
        """Return the state before the first step."""
        if len(self.photos) < MIN_PHOTOS:
            watch.say(f"no quality figures: they need {MIN_PHOTOS} photos, and there are {len(self.photos)}")
        return self.state

    def steps(self, state: State) -> Iterable[AnyStep]:
        """Return the objective's training loop."""
        loop: Callable[..., Iterable[AnyStep]] = train_jointly if isinstance(state, JointState) else train
        return loop(state, self.photos, self.settings, self.engine)

    def attend(self, state: State, step: AnyStep, last: bool, run: RunFolder) -> str | None:
        """Draw, measure and log what is due."""
        if step.step % self.settings.grid_every == 0 or last:
            self._draw_samples(run, step.step)
        figures: dict[str, float] = {}
        if step.step % self.settings.quality_every == 0 or last:
            figures = self._quality(run, step.step)
        if not figures and not last and step.step % self.settings.log_every != 0:
            return None
        figures = log_figures(step, run, **figures)
        quality = ", swd {swd:.1f} (photos {swd_photos:.1f}), nearest {nearest_ratio:.2f}" if "swd" in figures else ""
        return ("critic {critic_loss:.2f}, generator {generator_loss:.2f}" + quality).format(**figures)

    def conclude(self, state: State, run: RunFolder, watch: Watch) -> None:
        """Write the artefacts and the last figures."""
        measured = [line for line in run.metrics() if line["step"] == state.step][-1:]
        figures = {name: value for line in measured for name, value in line.items() if not name.endswith(_OF_ONE_BATCH)}
        source = {"name": self.name, "photos": len(self.photos)}
        card = {**source, "seen": state.step * self.settings.batch, **self.settings.defining()}
        CompactGenerator(state.average.cpu(), card).save(run.path / "generator.safetensors")
        if self.encoder is not None:
            digest = sha256_of(run.path / "generator.safetensors")[:16]
            made_for = {"generator": self.name, "source": {"generator_digest": digest}}
            Encoder(self.encoder.cpu(), {**card, **made_for}).save(run.path / "encoder.safetensors")
        run.finish({"photos": len(self.photos), "steps": state.step, "images": card["seen"], **figures})

    def _draw_samples(self, run: RunFolder, step: int) -> None:
        with torch.no_grad():
            z = self.generator.sample(64, Stream(0, "sample-grid")).to(self.engine.device)
            write_picture(run.path / "samples" / f"{step:07}.png", grid(to_bytes(self.generator(z))))

    def _quality(self, run: RunFolder, step: int) -> dict[str, float]:
        """Measure and draw the generator, and its encoder."""
        figures: dict[str, float] = {}
        if len(self.photos) >= MIN_PHOTOS:
            quality = self.gauge.measure(self.generator, self.engine)
            figures = quality.figures
            write_picture(run.path / "nearest.png", self.gauge.picture(quality))
        if self.encoder is not None:
            shown = self.photos[:: max(1, len(self.photos) // _RECONSTRUCTED)][:_RECONSTRUCTED]
            side, device = self.settings.photo_size, self.engine.device
            validator = EncoderValidator(self.generator, side, (self.photos, shown), device)
            figures |= validator.figures(self.encoder)
            write_picture(run.path / "reconstructions" / f"{step:07}.png", validator.picture(self.encoder))
        return figures
