"""The contrast method: one latent vector that lightens things and darkens their ground, and one that does the opposite.

Melas-Kyriazi, Rupprecht, Laina and Vedaldi, "Finding an Unsupervised Image Segmenter in Each of Your Deep Generative
Models" (2105.08127), section 3. Edges are to stay where they are while brightness moves away from the border, or to it;
a mask is what the first vector makes brighter than the second does (mask rule light-dark). As in the authors' code,
shifts are short in training, their length drawn anew at every step, and longer for masks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from discovery.methods.search import DirectionSearch, Findings
from discovery.methods.settings import ContrastSettings
from generators.protocol import Generator, image_shape
from toolkit.compute.engine import Engine
from toolkit.directions import Choice, DirectionSet
from toolkit.pictures.pixels import gray
from toolkit.state import ResumableState, Stateful
from toolkit.streams import Stream

_STEEPNESS = 4.0  # of the radial map, as in the authors' code
_SHORTEST = 0.1  # shift in training, in latent units
_SOBEL = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8


def edges(images: torch.Tensor) -> torch.Tensor:
    """Return the Sobel gradient's magnitude (B, H, W) of the grey images of (B, 3, H, W)."""
    kernels = torch.stack([_SOBEL, _SOBEL.T])[:, None].to(images)
    slopes = F.conv2d(F.pad(gray(images)[:, None], (1, 1, 1, 1), mode="replicate"), kernels)
    return (slopes.square().sum(dim=1) + 1e-6).sqrt()


def radial_map(height: int, width: int, device: torch.device) -> torch.Tensor:
    """Return (height, width): the distance from the centre, in half sides, less its mean, times 4."""
    down, across = (torch.linspace(-1, 1, side, device=device) for side in (height, width))
    distance = (down[:, None].square() + across[None].square()).sqrt()
    return _STEEPNESS * (distance - distance.mean())


class ContrastVectors(nn.Module):
    """The two vectors (2, D): light, dark."""

    def __init__(self, latent_dim: int, seed: int) -> None:
        super().__init__()
        start = Stream(seed, "contrast-vectors").normal(2, latent_dim)
        self.vectors = nn.Parameter(F.normalize(start, dim=1))

    def forward(self) -> torch.Tensor:
        """Return the unit vectors (2, D)."""
        return F.normalize(self.vectors, dim=1)


@dataclass
class ContrastState(ResumableState):
    """Everything a run needs to resume."""

    vectors: ContrastVectors
    optimiser: torch.optim.Optimizer
    streams: dict[str, Stream]
    step: int = 0

    @classmethod
    def start(cls, generator: Generator, settings: ContrastSettings, engine: Engine) -> "ContrastState":
        """Return the state before the first step."""
        vectors = ContrastVectors(generator.latent_dim, settings.seed).to(engine.device)
        optimiser = torch.optim.Adam(vectors.parameters(), settings.rate)
        streams = {name: Stream(settings.seed, f"contrast-{name}") for name in ("latents", "radius")}
        return cls(vectors, optimiser, streams)

    def parts(self) -> dict[str, Stateful]:
        """Return vectors and optimiser by the name they are saved under."""
        return {"vectors": self.vectors, "optimiser": self.optimiser}


@dataclass(frozen=True)
class ContrastStep:
    """Figures of one step, 0-d tensors, before its update.

    `edge_loss` is the mean squared change of the edges; `light` and `dark` are the mean products of the radial map and
    the brightness after each shift: light falls and dark rises as the vectors improve.
    """

    step: int
    loss: torch.Tensor
    edge_loss: torch.Tensor
    light: torch.Tensor
    dark: torch.Tensor


def optimise(
    state: ContrastState, generator: Generator, settings: ContrastSettings, engine: Engine
) -> Iterator[ContrastStep]:
    """Train until `settings.steps`, yielding after each step."""
    outward = radial_map(*image_shape(generator), engine.device)
    while state.step < settings.steps:
        latents = generator.sample(settings.batch, state.streams["latents"], settings.truncation).to(engine.device)
        radius = settings.mean_alpha + settings.alpha_spread * float(state.streams["radius"].normal(1, 1))
        with torch.no_grad(), engine.autocast():
            reference = edges(generator(latents).float())
        state.optimiser.zero_grad()
        losses, edge_losses, outer = [], [], []
        for index, sign in enumerate((1, -1)):
            shift = max(_SHORTEST, radius) * state.vectors()[index]
            with engine.autocast():
                after = generator(latents.shifted(shift)).float()
            edge_losses.append((edges(after) - reference).square().mean())
            outer.append((gray(after) * outward).mean())
            losses.append(settings.edge_weight * edge_losses[-1] + settings.radial_weight * sign * outer[-1])
            # The two losses share nothing but the latents: one backward pass each needs half the memory.
            losses[-1].backward(inputs=list(state.vectors.parameters()))
        state.optimiser.step()
        state.step += 1
        loss, edge_loss = (torch.stack(parts).detach().sum() for parts in (losses, edge_losses))
        yield ContrastStep(state.step, loss, edge_loss, outer[0].detach(), outer[1].detach())


class ContrastSearch(DirectionSearch[ContrastSettings]):
    """The directions light and dark, light being chosen at the length for masks with dark as its opposite."""

    label = "optimising"

    def __init__(self, generator: Generator, settings: ContrastSettings, engine: Engine) -> None:
        super().__init__(generator, settings, engine)
        self.reach = settings.alpha
        self.training = ContrastState.start(generator, settings, engine)

    @property
    def state(self) -> ContrastState:
        """Return the state of the optimisation."""
        return self.training

    def steps(self) -> Iterator[ContrastStep]:
        """Take the steps that are left, yielding after each."""
        return optimise(self.training, self.generator, self.settings, self.engine)

    def describe(self, figures: Mapping[str, float]) -> str:
        """Return the loss and its two brightnesses in words."""
        return f"loss {figures['loss']:.3f}, light {figures['light']:+.3f}, dark {figures['dark']:+.3f}"

    def result(self) -> Findings:
        """Return the two directions, and how many steps were taken."""
        directions = DirectionSet(
            self.training.vectors().detach(),
            self.generator.name,
            "contrast",
            names=("light", "dark"),
            choice=Choice(0, 1, self.settings.alpha, opposite=1, mask_rule="light-dark"),
            card={"settings": self.settings.defining()},
        )
        return Findings(directions, {"steps": self.training.step})
