"""GANSpace: principal components of a generator's features, carried back to its latent space.

Harkonen, Hertzmann, Lehtinen and Paris, "GANSpace: Discovering Interpretable GAN Controls" (NeurIPS 2020), section 2.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from discovery.methods.ganspace.features import LATENTS, Features
from discovery.methods.ganspace.principal_components import IncrementalPCA, Regression
from discovery.methods.search import DirectionSearch, Findings
from discovery.methods.settings import GanspaceSettings
from discovery.methods.signs import with_fixed_signs
from generators.layered import AtLayers
from generators.protocol import Generator, Latents
from generators.styled import StyledGenerator
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.errors import OUT, UserError, named
from toolkit.streams import Stream


@dataclass
class GanspaceState:
    """What was gathered so far; the first half of the steps goes to the components, the second to the regression."""

    features: Features
    components: IncrementalPCA
    count: int  # directions asked for
    total: int  # steps of both halves; no second half where the latents are the features
    regression: Regression = field(default_factory=Regression)
    step: int = 0

    @classmethod
    def start(cls, generator: Generator, settings: GanspaceSettings) -> "GanspaceState":
        """Return the state before the first step; UserError for more directions than samples can give."""
        features = Features(generator, settings.layer)
        count = settings.directions or generator.latent_dim
        if count >= settings.samples:
            raise UserError(
                f"{count} directions need more than {settings.samples} samples; give more samples or fewer directions"
            )
        half = math.ceil(settings.samples / settings.batch)
        # Twice as many are kept as are asked for: what an update forgets then comes from far weaker ones.
        pca = IncrementalPCA(2 * count)
        return cls(features, pca, count, half if features.layer == LATENTS else 2 * half)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values and tensors; each step draws its latents by its number."""
        parts = {"components": self.components.state_dict(), "regression": self.regression.state_dict()}
        return {**parts, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.components.load_state_dict(state["components"])
        self.regression.load_state_dict(state["regression"])
        self.step = state["step"]


@dataclass(frozen=True)
class GanspaceStep:
    """One batch taken in; `explained` is the share of the variance that the components explain so far."""

    step: int
    explained: float


def gather(
    state: GanspaceState, generator: Generator, settings: GanspaceSettings, engine: Engine
) -> Iterator[GanspaceStep]:
    """Take in batches until all are, yielding after each.

    UserError once all features were seen and vary along fewer directions than were asked for.
    """
    half = math.ceil(settings.samples / settings.batch)
    while state.step < state.total:
        regressing = state.step >= half
        latents = _latents(generator, settings, state.step % half, regressing).to(engine.device)
        features = state.features(latents).cpu()
        if regressing:
            state.regression.update(_coordinates(state, features), latents.z.cpu())
        else:
            state.components.update(features)
        state.step += 1
        if state.step == half:
            _require_enough(state)
        yield GanspaceStep(state.step, float(state.components.shares()[: state.count].sum()))


def _untruncated(generator: Generator) -> Generator:
    """Return a generator without the truncation of w: the authors truncate what they draw, not what they analyse."""
    if isinstance(generator, AtLayers):
        return type(generator)(_untruncated(generator.generator), generator.layers)
    if isinstance(generator, StyledGenerator) and generator.psi != 1:
        return generator.restyled(1.0)
    return generator


def _latents(generator: Generator, settings: GanspaceSettings, batch: int, regressing: bool) -> Latents:
    first = batch * settings.batch
    stream = Stream(settings.seed, "ganspace-regression" if regressing else "ganspace", first)
    return generator.sample(min(settings.batch, settings.samples - first), stream, settings.truncation)


def _coordinates(state: GanspaceState, features: torch.Tensor) -> torch.Tensor:
    """Return (B, K): how many deviations the features lie from their mean along every component."""
    components, deviations = _leading(state)
    return (features.double() - state.components.mean) @ components.T / deviations.clamp_min(1e-12)


def _leading(state: GanspaceState) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the components (K, F) that were asked for and their deviations (K,)."""
    return state.components.components()[: state.count], state.components.deviations()[: state.count]


def _require_enough(state: GanspaceState) -> None:
    """Raise UserError where the features vary along fewer directions than were asked for."""
    deviations = _leading(state)[1]
    alive = int((deviations > 1e-6 * deviations[0].clamp_min(1e-30)).sum())
    if alive < state.count:
        raise UserError(
            f"features of layer {state.features.layer} vary along {alive} directions only; give "
            f"{named('directions', alive)}, and another {OUT}"
        )


class GanspaceSearch(DirectionSearch[GanspaceSettings]):
    """The principal components of a layer's features as directions of the latents, the strongest component first.

    Each has its largest entry positive. The score column `variance` is the share of the features' variance, `length`
    the latent length of one deviation of the features, `sigma` the standard deviation of the latents along the
    direction, in which the authors' sliders are marked, and `centre` where the mean latent lies along it.
    """

    def __init__(self, generator: Generator, settings: GanspaceSettings, engine: Engine) -> None:
        super().__init__(generator, settings, engine)
        self._analysed = _untruncated(generator)
        self.gathered = GanspaceState.start(self._analysed, settings)
        self.label = f"analysing {self.gathered.features.layer}"

    @property
    def total(self) -> int:
        """Return how many batches are taken in, those of the regression included."""
        return self.gathered.total

    @property
    def state(self) -> GanspaceState:
        """Return what was gathered so far."""
        return self.gathered

    def steps(self) -> Iterator[GanspaceStep]:
        """Take in the batches that are left, yielding after each."""
        return gather(self.gathered, self._analysed, self.settings, self.engine)

    def describe(self, figures: Mapping[str, float]) -> str:
        """Return how much the components explain in words."""
        return f"{figures['explained']:.0%} of the variance"

    def result(self) -> Findings:
        """Return the directions, the layer, and how much of its variance they explain."""
        state = self.gathered
        components, deviations = _leading(state)
        mapped = state.features.layer == LATENTS
        moves = components * deviations[:, None] if mapped else state.regression.slopes()
        vectors = with_fixed_signs(moves.float())
        units = F.normalize(vectors.double(), dim=1)
        mean = state.components.mean if mapped else state.regression.mean()
        sigmas = deviations if mapped else state.regression.deviations(units)
        shares = state.components.shares()[: state.count].tolist()
        directions = DirectionSet(
            vectors,
            self.generator.name,
            "ganspace",
            scores={
                "variance": shares,
                "length": moves.norm(dim=1).tolist(),
                "sigma": sigmas.tolist(),
                "centre": (units @ mean).tolist(),
            },
            card={"layer": state.features.layer, "settings": self.settings.defining()},
        )
        return Findings(directions, {"layer": state.features.layer, "explained": sum(shares)})
