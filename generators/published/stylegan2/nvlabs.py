"""The layout of NVIDIA's StyleGAN2-ADA, and of the StyleGAN2 of their StyleGAN3 repository: states and arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generators.layouts import Weights
from generators.mapping import MAPPING_RATE
from generators.published.stylegan2.naming import Entry, Naming
from toolkit.errors import UserError

USUAL_CLAMP = 256.0
NAMING = Naming(lambda name: Entry(f"mapping.{name}"), lambda block, name: Entry(f"synthesis.b{4 << block}.{name}"))


@dataclass(frozen=True)
class Arguments:
    """What the constructor's arguments decide beyond the shapes of a state.

    `clamp` bounds every layer's features, None: nothing does; `rate` of learning of the mapping; `notes` for the user.
    """

    clamp: float | None
    rate: float = MAPPING_RATE
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, weights: Weights) -> "Arguments":
        """Return the arguments that weights come with; UserError for what this toolkit does not render.

        There are two dialects: StyleGAN2-ADA nests those of the synthesis, and does not clamp unless they say so; the
        StyleGAN3 repository has them flat, and clamps at 256 unless they say otherwise.
        """
        given = weights.config.get("init_kwargs")
        if not isinstance(given, Mapping):
            return cls(USUAL_CLAMP, notes=(_NO_ARGUMENTS.format(path=weights.path),))
        nested = given.get("synthesis_kwargs")
        synthesis = nested if isinstance(nested, Mapping) else given
        mapping = given.get("mapping_kwargs")
        mapping = mapping if isinstance(mapping, Mapping) else {}
        for name, kwargs in (("mapping", mapping), ("synthesis", synthesis)):
            if kwargs.get("activation", "lrelu") != "lrelu":
                raise UserError(
                    f"the {name} of {weights.path} has the activation {kwargs['activation']!r}, but this toolkit "
                    "renders lrelu alone; wrap it as your own generator: package.module:factory"
                )
        clamp = synthesis.get("conv_clamp", None if synthesis is nested else USUAL_CLAMP)
        rate = mapping.get("lr_multiplier", MAPPING_RATE)
        return cls(
            None if clamp is None else _positive(clamp, "conv_clamp", weights),
            _positive(rate, "lr_multiplier", weights),
        )


_NO_ARGUMENTS = (
    "{path} does not say where features are clamped (conv_clamp); 256 is taken, with which NVIDIA's programs train"
)


def _positive(value: Any, name: str, weights: Weights) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise UserError(f"{name} in {weights.path} is {value!r}, but has to be a number above 0; check the file")
    return float(value)
