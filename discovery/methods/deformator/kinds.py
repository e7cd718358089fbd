"""The kinds of deformators and reconstructors, one table each; settings and plug-ins derive from them. No torch here.

A package adds a kind of deformator by an entry point of the group `latent_toolkit.deformators` that names a subclass of
`discovery.methods.deformator.deformators.Deformator` (see toolkit.plug_ins).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from toolkit.plug_ins import Table

if TYPE_CHECKING:
    from torch import nn

    from discovery.methods.deformator.deformators import Deformator

_DEFORMATORS, _RECONSTRUCTORS = (f"discovery.methods.deformator.{name}" for name in ("deformators", "reconstructors"))


def _fault(entry: Any) -> str | None:
    from discovery.methods.deformator.deformators import Deformator

    if isinstance(entry, type) and issubclass(entry, Deformator) and entry.deformed is not Deformator.deformed:
        return None
    return "it has to be a subclass of Deformator that has its own method `deformed`"


DEFORMATORS: "Table[type[Deformator]]" = Table(
    "deformator",
    {
        "fc": f"{_DEFORMATORS}:FcDeformator",
        "linear": f"{_DEFORMATORS}:LinearDeformator",
        "id": f"{_DEFORMATORS}:IdDeformator",
        "ortho": f"{_DEFORMATORS}:OrthoDeformator",
        "proj": f"{_DEFORMATORS}:ProjDeformator",
        "random": f"{_DEFORMATORS}:RandomDeformator",
    },
    _fault,
    group="deformators",
)
# (number of directions, side to which images are shrunk or None, channels of an image) -> network
RECONSTRUCTORS: "Table[Callable[[int, int | None, int], nn.Module]]" = Table(
    "reconstructor",
    {"resnet": f"{_RECONSTRUCTORS}:ResNetReconstructor", "lenet": f"{_RECONSTRUCTORS}:LeNetReconstructor"},
)
