"""Settings of learning a segmenter from photos. No torch here: the command line reads the defaults from it."""

from dataclasses import dataclass
from typing import Any, ClassVar

from discovery.methods.table import METHODS
from generators.compact.settings import GeneratorSettings
from toolkit.errors import UserError, named
from toolkit.settings import Settings, same_as, setting

STAGES = ("generator", "directions", "pick", "segmenter", "self-training")


@dataclass(frozen=True)
class LearnSettings(Settings):
    """How a segmenter is learnt from a folder of photos."""

    kind: ClassVar[str] = "learn"

    hours: float = setting(3.0, "about how long all of it may take; the steps of each stage follow from it", above=0)
    image_size: int = same_as(GeneratorSettings, "image_size")
    methods: str = setting("ganspace,sefa,contrast,deformator", "ways to look for directions, separated by commas")
    seed: int = same_as(GeneratorSettings, "seed")
    smoke: bool = setting(False, "a handful of steps of tiny networks, to see that everything runs")

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.method_names if name not in METHODS]
        if unknown or not self.method_names:
            raise UserError(f"{named('methods')} is {self.methods!r}; name some of {', '.join(METHODS)}")
        GeneratorSettings(image_size=self.image_size)  # refuses what it refuses

    @property
    def method_names(self) -> list[str]:
        """Return the names of the methods, each once."""
        return list(dict.fromkeys(name.strip() for name in self.methods.split(",") if name.strip()))

    def defining(self) -> dict[str, Any]:
        """Return the values that decide what comes out: what `hours` led to is in the plan, which may be made anew."""
        return {name: value for name, value in super().defining().items() if name != "hours"}
