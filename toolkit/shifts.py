"""A shift of the latent space: a direction of a set and a signed length, resolved once and passed on by itself.

It moves all layers of a generator alike, or, of one that takes a latent for every layer, some of them.
"""

import hashlib
import itertools
import math
import re
from dataclasses import dataclass

import torch

from toolkit.errors import UserError, named
from toolkit.masks.rules import DEFAULT_RULE, MASK_RULES
from toolkit.moves import AnyShift, Move
from toolkit.untrusted.text import whole_number

ALL_LAYERS = "all"
_LAYERS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*", re.ASCII)
SHORTEST = 1e-6  # of a shift: what is less is lost when it is added to a latent in 32 bits


def finite_length(value: float, name: str = "alpha") -> float:
    """Return a shift length; UserError unless it is a finite number, and long enough to shift anything."""
    if not math.isfinite(value) or abs(value) < SHORTEST:
        raise UserError(
            f"{named(name)} is {value:g}, but has to be a finite number other than 0, {SHORTEST:g} or longer"
        )
    return value


def at_layers(shift: torch.Tensor, layers: torch.Tensor) -> torch.Tensor:
    """Return shift (..., D) as one by layer (..., L, D), which moves only the layers where `layers` (..., L) is true.

    `layers` (L,) are those of all shifts.
    """
    return shift[..., None, :] * layers.to(shift)[..., None]


def read_layers(text: str, count: int, flag: str = "layers") -> torch.Tensor | None:
    """Return which of `count` layers a text such as `0-3,7` names, as a bool tensor (count,); None for all of them.

    `all` names all of them too. UserError for a text of another form and for a layer that is not there; `flag` is the
    name of what the text was passed as.
    """
    text = text.strip()
    if text == ALL_LAYERS:
        return None
    if not _LAYERS.fullmatch(text):
        raise UserError(f"{named(flag)} is {text!r}, but has to be numbers and ranges as in 0-3,7, or {ALL_LAYERS}")
    layers = torch.zeros(count, dtype=torch.bool)
    for part in text.split(","):
        low, high = (whole_number(end) for end in (part.partition("-")[0], part.rpartition("-")[2]))
        if low is None or high is None or max(low, high) >= count:
            raise UserError(f"{named(flag)} names {part}, but there are {count} layers, 0 to {count - 1}")
        if high < low:
            raise UserError(f"{named(flag)} runs from {low} to {high}; write the smaller one first, as in 0-3")
        layers[low : high + 1] = True
    return None if bool(layers.all()) else layers


def layers_text(layers: torch.Tensor | None) -> str:
    """Return the text that names the layers where `layers` (L,) is true, such as `0-3,7`; `all` where it is None."""
    if layers is None or bool(layers.all()):
        return ALL_LAYERS
    numbers = layers.nonzero().flatten().tolist()
    runs = (list(run) for _, run in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]))
    ends = ((run[0][1], run[-1][1]) for run in runs)
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ends)


def require_layers(layers: torch.Tensor, count: int) -> torch.Tensor:
    """Return which layers `count` directions move, on the CPU; UserError unless each moves one of them at least."""
    held = layers.detach().cpu().contiguous()
    if held.dtype != torch.bool or held.dim() != 2 or len(held) != count or not bool(held.any(dim=1).all()):
        what = f"{str(held.dtype).removeprefix('torch.')} {list(held.shape)}"
        raise UserError(
            f"layers of directions are {what}, but one row of truth values for each of {count} directions is needed, "
            "true somewhere"
        )
    return held


@dataclass(frozen=True)
class Shift:
    """A walk of signed length `alpha` along the direction of number `index` and name `name`.

    `vector` (D,), or by layer (1, L, D), or a move, is the whole shift and `opposite` the one towards dark, on the CPU;
    `recorded_rule` is the mask rule that was found best for the direction and recorded with the choice of its set, if
    it was; `recorded_area` the share of the picture that masks stay below, as the choice records it.
    """

    index: int
    name: str
    alpha: float
    vector: AnyShift
    opposite: AnyShift
    recorded_rule: str | None = None
    recorded_area: float | None = None

    def mask_rule(self, rule: str | None = None) -> str:
        """Return the mask rule to use: `rule`, else the recorded one, else lighting.

        UserError for a recorded rule that there is not.
        """
        if rule is None and self.recorded_rule is not None and self.recorded_rule not in MASK_RULES:
            raise UserError(
                f"masks of {self.name} are made by the rule {self.recorded_rule!r}, which is not here; install its "
                f"package, or give {named('mask_rule')}, one of {', '.join(MASK_RULES)}"
            )
        return rule or self.recorded_rule or DEFAULT_RULE

    def seen_by(self, rule: str) -> AnyShift:
        """Return what a mask rule compares: the vector, or with its opposite (2, D) for a rule that needs both.

        A move, whose opposite is itself turned round, stands for both.
        """
        if isinstance(self.vector, Move) or isinstance(self.opposite, Move):
            return self.vector
        return torch.stack([self.vector, self.opposite]) if MASK_RULES[rule].opposed else self.vector

    def inputs(self, seen: AnyShift) -> dict[str, str]:
        """Return what a run records of what a rule compares; the digest keeps apart sets of the same numbers."""
        parts = seen.tensors() if isinstance(seen, Move) else [seen]
        digest = hashlib.sha256(b"".join(part.cpu().numpy().tobytes() for part in parts)).hexdigest()[:16]
        layers = {} if self.layers is None else {"layers": layers_text(self.layers)}
        return {"direction": str(self.index), "alpha": f"{self.alpha:g}", **layers, "shift_digest": digest}

    @property
    def layers(self) -> torch.Tensor | None:
        """Return which layers (L,) the shift moves alone, None where it moves all alike."""
        if isinstance(self.vector, Move):
            return self.vector.layers
        return None if self.vector.dim() == 1 else self.vector[0].any(dim=1)
