"""The run that trains a U-Net on synthetic pairs, and what is watched in any training of one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from generators.protocol import Generator, image_shape
from segmentation.predict.segmenter import Segmenter
from segmentation.synthesis.picture import draw_samples
from segmentation.synthesis.synthesizer import LatentSource
from segmentation.unet.network import UNet
from segmentation.unet.settings import SegmentationSettings
from segmentation.unet.training import SegmentationState, SegmentationStep, train
from toolkit.compute.engine import Engine
from toolkit.files.driving import Work
from toolkit.files.runs import RunFolder
from toolkit.masks.rules import DEFAULT_RULE
from toolkit.moves import AnyShift
from toolkit.watch import Watch

Measure = Callable[[UNet], dict[str, float]]


@dataclass
class SegmentationRun(Work[SegmentationState, SegmentationStep]):
    """A training along `shift` (see MaskSynthesizer) of a generator, into segmenter.safetensors and synthetic.png.

    `measure` gives figures of the network on photos, where there are any.
    """

    generator: Generator
    shift: AnyShift
    settings: SegmentationSettings
    engine: Engine
    source: LatentSource
    inputs: dict[str, str]
    direction_name: str
    measure: Measure | None = None

    def __post_init__(self) -> None:
        # What is recorded is what is used, which a later version may choose otherwise.
        rule, bound = self.settings.mask_rule or DEFAULT_RULE, self.settings.area_bound
        self.settings = replace(self.settings, mask_rule=rule, max_area=bound)

    def start(self, run: RunFolder, watch: Watch) -> SegmentationState:
        """Return the state before the first step."""
        return SegmentationState.start(self.generator, self.shift, self.settings, self.engine, self.source)

    def begin(self, state: SegmentationState, run: RunFolder, watch: Watch) -> None:
        """Draw some pairs."""
        draw_samples(state.synthesizer, run.path / "synthetic.png", watch=watch)

    def steps(self, state: SegmentationState) -> Iterator[SegmentationStep]:
        """Return the training loop."""
        return train(state, self.settings, self.engine)

    def attend(self, state: SegmentationState, step: SegmentationStep, last: bool, run: RunFolder) -> str | None:
        """Log what is due."""
        settings = self.settings
        due = step.step % settings.log_every == 0 or last
        measure = self.measure if step.step % settings.validate_every == 0 or last else None
        return log_training(step, run, due, "synthetic", measure, state.network)

    def conclude(self, state: SegmentationState, run: RunFolder, watch: Watch) -> None:
        """Write the segmenter and the figures."""
        # The name is recorded but no part of what the run is: naming a direction must not keep one from being resumed.
        source: dict[str, Any] = {**self.inputs, "direction_name": self.direction_name}
        figures = last_figures(run, "synthetic")
        card = {"source": source, "steps": state.step, "settings": self.settings.defining(), "figures": figures}
        Segmenter(state.network.cpu(), min(image_shape(self.generator)), card).save(run.path / "segmenter.safetensors")
        run.finish({**source, "steps": state.step, **figures, **state.synthesizer.acceptance.as_dict()})


def log_training(
    step: SegmentationStep, run: RunFolder, due: bool, validated_on: str, measure: Measure | None, network: UNet
) -> str | None:
    """Log what is due after a step of a U-Net's training, and return what to show of it.

    Figures of validations are logged as `validated_on`_iou and so on, those of photos as `measure` names them.
    """
    figures = {"loss": float(step.loss), "rate": step.rate} if due else {}
    if step.validation is not None:
        figures |= {f"{validated_on}_{name}": value for name, value in vars(step.validation).items()}
    if measure is not None:
        figures |= measure(network)
    if not figures:
        return None
    run.log(step.step, **figures)
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if name != "rate")


def last_figures(run: RunFolder, validated_on: str) -> dict[str, float]:
    """Return the figures of the run's last validation, on samples held out and on photos."""
    checked = [line for line in run.metrics() if f"{validated_on}_loss" in line or "photo_iou" in line][-1:]
    wanted = (validated_on, "photo_")
    return {name: value for line in checked for name, value in line.items() if name.startswith(wanted)}
