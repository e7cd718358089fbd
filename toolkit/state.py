"""The resumable state of a training: parts that have a state dict, random streams and the step."""

from collections.abc import Mapping
from typing import Any, Protocol

from toolkit.streams import Stream


class Stateful(Protocol):
    """A network, an optimiser, or anything else that gives and takes its state as a dictionary."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values and tensors."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Continue from a saved state."""
        ...


class Resumable(Stateful, Protocol):
    """The state of something that takes steps, of which `step` have been taken."""

    step: int


class ResumableState:
    """Base of training states: `step`, `streams`, and the parts a subclass names are all there is to save."""

    step: int
    streams: dict[str, Stream]

    def parts(self) -> Mapping[str, Stateful]:
        """Return networks and optimisers by the name they are saved under."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values and tensors."""
        saved = {name: part.state_dict() for name, part in self.parts().items()}
        return {**saved, "streams": {name: s.position for name, s in self.streams.items()}, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        for name, position in state["streams"].items():
            self.streams[name].position = position
        self.step = state["step"]
