"""What every discovery method is to whoever runs it: a search that can be driven, stopped, resumed and concluded."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch

from generators.protocol import Generator
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.files.driving import Step
from toolkit.settings import Settings
from toolkit.state import Resumable

SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True)
class Findings:
    """What a search ends with: its directions, the `figures` for result.json and the report, a line for the screen."""

    directions: DirectionSet
    figures: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""


class DirectionSearch(ABC, Generic[SettingsT]):
    """One search for directions by some method, its state included.

    Making it refuses, with UserError, whatever cannot be found, before anything is written. Then `steps` are taken
    until they end, after any of which the state may be saved, and `result` concludes. A method in closed form has no
    steps and writes `result` alone. Where directions of some layers are asked for, the generator is one that is seen
    at these (generators.layered.AtLayers): shifts (D,) and (B, D) of its latents move these layers alone, its first
    weights are theirs, and whoever runs the search notes them in the result.
    """

    label = "discovering"  # beside the progress bar
    reach = 6.0  # of the charts, in latent units

    def __init__(self, generator: Generator, settings: SettingsT, engine: Engine) -> None:
        self.generator = generator
        self.settings = settings
        self.engine = engine

    @property
    def total(self) -> int:
        """Return how many steps there are."""
        return getattr(self.settings, "steps", 0)

    @property
    def state(self) -> Resumable | None:
        """Return what is saved and resumed; None for a search without steps."""
        return None

    def steps(self) -> Iterator[Step]:
        """Take the steps that are left, yielding after each."""
        return iter(())

    def describe(self, figures: Mapping[str, Any]) -> str:
        """Return what stands behind the progress bar after a step of these figures."""
        return ""

    def walks(self, lengths: torch.Tensor) -> torch.Tensor | None:
        """Return the latent shifts (K, L, D) of walks of these lengths (L,) along all K directions as they are now.

        None where they are the straight lines along the directions of the result.
        """
        return None

    @abstractmethod
    def result(self) -> Findings:
        """Return what was found; the card of the set holds what the method has to say of it."""

    @classmethod
    def bytes_needed(cls, generator: Generator, settings: SettingsT, bf16: bool) -> Callable[[int], int]:
        """Return a function from samples at a time to the bytes of a step, of a method that can be fitted into memory.

        Such settings have `batch` and `micro_batch`. The generator is on the CPU.
        """
        raise NotImplementedError
