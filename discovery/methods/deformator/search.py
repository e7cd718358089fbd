"""The papers' method as a search: the deformator's directions, and how well the reconstructor classifies them."""

from collections.abc import Callable, Iterator, Mapping

import torch

from discovery.methods.deformator.training import DiscoveryState, DiscoveryStep, bytes_needed, direction_set, discover
from discovery.methods.deformator.validation import validate
from discovery.methods.search import DirectionSearch, Findings
from discovery.settings import DiscoverySettings
from generators.protocol import Generator
from toolkit.compute.engine import Engine


class DeformatorSearch(DirectionSearch[DiscoverySettings]):
    """The deformator's K directions, trained together with a reconstructor."""

    def __init__(self, generator: Generator, settings: DiscoverySettings, engine: Engine) -> None:
        super().__init__(generator, settings, engine)
        self.reach = settings.max_alpha
        self.training = DiscoveryState.start(generator, settings, engine)

    @property
    def state(self) -> DiscoveryState:
        """Return the state of the training."""
        return self.training

    def steps(self) -> Iterator[DiscoveryStep]:
        """Take the steps that are left, yielding after each."""
        return discover(self.training, self.generator, self.settings, self.engine)

    def describe(self, figures: Mapping[str, float]) -> str:
        """Return the loss and the accuracy in words."""
        return f"loss {figures['loss']:.3f}, accuracy {figures['accuracy']:.2f}"

    def walks(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the deformator's own walks (K, L, D), not its directions': those of fc and proj are bent."""
        return self.training.deformator.walks(lengths)

    def result(self) -> Findings:
        """Return the directions with the reconstructor's accuracy (RCA) on samples of its own."""
        accuracy = validate(self.training, self.generator, self.settings, self.engine, self.settings.validation_batches)
        figures = {"steps": self.training.step, "rca": accuracy}
        directions = direction_set(self.training, self.generator, self.settings, figures)
        chance = 1 / len(directions)
        summary = f"{len(directions)} directions; reconstruction accuracy (RCA) {accuracy:.3f}, chance {chance:.3f}"
        return Findings(directions, figures, summary)

    @classmethod
    def bytes_needed(cls, generator: Generator, settings: DiscoverySettings, bf16: bool) -> Callable[[int], int]:
        """Return a function from samples at a time to the bytes that a step on them needs."""
        return bytes_needed(generator, settings, bf16)
