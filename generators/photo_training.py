"""What trainings on photos share: where a network stands, and the next photos."""

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import nn

from toolkit.compute.batch_norm import synchronised
from toolkit.compute.engine import Engine
from toolkit.streams import Stream

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def placed(network: NetworkT, engine: Engine) -> NetworkT:
    """Return the network on the engine's device, laid out for its convolutions, its batch norms over all processes."""
    return synchronised(network.to(engine.device).to(memory_format=torch.channels_last), engine.team)


def photo_batch(
    photos: torch.Tensor, count: int, mirror: bool, streams: Mapping[str, Stream], engine: Engine, rows: slice
) -> torch.Tensor:
    """Return `rows` of the next `count` photos, (B, 3, S, S) in [-1, 1], drawn from uint8 (N, 3, S, S).

    With `mirror` half of them are mirrored; the streams "photos" and "mirror" say which.
    """
    chosen = photos[streams["photos"].integers(count, len(photos))[rows]].to(engine.device)
    images = chosen.float() / 127.5 - 1
    if mirror:
        flip = streams["mirror"].uniform(count, 1)[rows, :, None, None] < 0.5
        images = torch.where(flip.to(engine.device), images.flip(-1), images)
    return images
