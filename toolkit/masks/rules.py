"""Mask rules: how a shifted image and its reference become a mask (Voynov et al. 2021 and their code).

This is the one table of them: choices, help and plug-ins derive from it. No torch here; a rule imports its function
when it is called. A package adds a rule by an entry point of the group `latent_toolkit.mask_rules` that names a
MaskRule (see toolkit.plug_ins).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolkit.plug_ins import Table, resolved

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class MaskRule:
    """How a shifted image and its reference become a mask.

    `description` says in a few words which pixels are foreground. `compare` turns (reference, after), both (B, 3, H, W)
    in [-1, 1], into masks (B, H, W) bool; it is a function, or the place `package.module:name` of one. The reference is
    the unshifted image, or, where `opposed`, the image shifted the opposite way.
    """

    description: str
    compare: "Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | str"
    opposed: bool = False

    def __call__(self, reference: "torch.Tensor", after: "torch.Tensor") -> "torch.Tensor":
        """Return masks (B, H, W) bool."""
        return (resolved(self.compare) if isinstance(self.compare, str) else self.compare)(reference, after)


def _fault(entry: Any) -> str | None:
    return None if isinstance(entry, MaskRule) else f"it is {type(entry).__name__}, but has to be a MaskRule"


# light-dark: what is brighter after the lightening shift than after the darkening one (Melas-Kyriazi et al. 2021).
_OWN = {
    "lighting": MaskRule("the shift brightens it", "toolkit.masks.comparisons:lighting"),
    "mean_thr": MaskRule("bright after it", "toolkit.masks.comparisons:mean_thr"),
    "light-dark": MaskRule(
        "brighter than after the opposite shift", "toolkit.masks.comparisons:lighting", opposed=True
    ),
}
MASK_RULES: Table[MaskRule] = Table("mask rule", _OWN, _fault, group="mask_rules")
DEFAULT_RULE = "lighting"
MEANINGS = "; ".join(rule.description for rule in _OWN.values())
