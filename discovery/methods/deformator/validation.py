"""How well a reconstructor classifies directions on samples of its own."""

import torch

from discovery.methods.deformator.training import STREAMS, DiscoveryState, draw_batch
from discovery.settings import DiscoverySettings
from generators.protocol import Generator, render_twins
from toolkit.compute.engine import Engine
from toolkit.streams import Stream


def validate(
    state: DiscoveryState,
    generator: Generator,
    settings: DiscoverySettings,
    engine: Engine,
    batches: int | None = None,
) -> float:
    """Return the reconstructor classification accuracy (RCA) in [0, 1]: the share of `confusion` on its diagonal."""
    counts = confusion(state, generator, settings, engine, batches)
    return counts.diagonal().sum().item() / counts.sum().item()


@torch.no_grad()
def confusion(
    state: DiscoveryState,
    generator: Generator,
    settings: DiscoverySettings,
    engine: Engine,
    batches: int | None = None,
) -> torch.Tensor:
    """Return counts (K, K) int64 of pairs by direction (rows) and by the reconstructor's answer, in evaluation mode.

    They are of `batches` batches, `settings.validation_batches` if not given. The samples come from streams of their
    own, the same at every call, so figures compare and training is not disturbed.
    """
    count = state.deformator.num_directions
    streams = {name: Stream(settings.seed, f"validate-{name}") for name in STREAMS}
    state.deformator.eval()
    state.reconstructor.eval()
    counts = torch.zeros(count * count, dtype=torch.long, device=engine.device)
    for number in range(batches or settings.validation_batches):
        batch = draw_batch(streams, generator, count, settings, engine)
        if number % engine.team.size != engine.team.rank:
            continue
        shift = state.deformator(batch.basis(count))
        with engine.autocast():
            logits, _ = state.reconstructor(*render_twins(generator, batch.latents, shift))
        cells = batch.index * count + logits.argmax(dim=1)
        counts += torch.bincount(cells, minlength=count * count)
    return engine.team.total(counts).view(count, count).cpu()
