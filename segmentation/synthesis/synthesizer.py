"""Images with masks, made by a generator and one shift of its latent space."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch

from generators.protocol import Generator, Latents, image_shape, layers_of, render_twins
from segmentation.synthesis.acceptance import AREA_STEPS, Acceptance, UnfilledError, accepted, filters_on
from segmentation.unet.settings import SegmentationSettings
from toolkit.compute.batches import even_slices, rows_at_once
from toolkit.compute.engine import Engine
from toolkit.errors import UserError, named
from toolkit.masks.filters import areas_within, large_components, mask_areas, multimodal
from toolkit.masks.rules import DEFAULT_RULE, MASK_RULES
from toolkit.moves import AnyShift, Move
from toolkit.streams import Stream


class LatentSource(Protocol):
    """Where the latents of synthetic images come from."""

    def draw(self, count: int, rng: Stream) -> Latents:
        """Return `count` latents on the CPU from the stream's next rows."""
        ...


@dataclass(frozen=True)
class PriorSource:
    """Latents as the generator itself draws them, restricted to +-`truncation` if given."""

    generator: Generator
    truncation: float | None = None

    def draw(self, count: int, rng: Stream) -> Latents:
        """Return `count` latents on the CPU from the stream's next rows."""
        return self.generator.sample(count, rng, self.truncation)


@dataclass(frozen=True)
class EmbeddingSource:
    """Rows z of `embeddings` (N, D), or by layer (N, L, D), drawn with replacement and noised, without classes.

    With n from N(0, I), each layer's own, they become z + `noise` * n, as in the original (Voynov et al. 2021);
    `preserving` makes it sqrt(1 - noise^2) z + noise * n, under which N(0, I) stays itself (2011.13456, section 3.4):
    plain addition carries latents away from the sphere on which the generator was trained.
    """

    embeddings: torch.Tensor
    noise: float = 0.0
    preserving: bool = False

    def draw(self, count: int, rng: Stream) -> Latents:
        """Return `count` latents on the CPU from the stream's next rows."""
        # A stream of its own for the noise: row i has to meet noise i whatever the batch size.
        noises = Stream(rng.seed, f"{rng.name}-noise", rng.position)
        z = self.embeddings[rng.integers(count, len(self.embeddings))]
        if self.noise > 0:
            kept = math.sqrt(1 - self.noise**2) if self.preserving else 1.0
            z = kept * z + self.noise * noises.normal(count, z[0].numel()).view_as(z)
        return Latents(z)


def latent_source(
    generator: Generator, settings: SegmentationSettings, embeddings: torch.Tensor | None = None
) -> LatentSource:
    """Return the source the settings ask for: the embeddings if given, else the generator's own prior.

    UserError for a setting that the source has no use for.
    """
    if embeddings is None:
        if settings.z_noise > 0:
            raise UserError(
                f"{named('z_noise')} is added to embeddings, but none are given; name their file or omit it"
            )
        if settings.noise_kind == "preserving":
            raise UserError(f"{named('noise_kind')} is that of the noise on embeddings, but none are given; omit it")
        return PriorSource(generator, settings.truncation)
    if settings.truncation is not None:
        raise UserError(f"{named('truncation')} bounds random latents, but embeddings are given; omit one of the two")
    return EmbeddingSource(embeddings, settings.z_noise, settings.noise_kind == "preserving")


@dataclass(frozen=True)
class SyntheticBatch:
    """Images (B, 3, H, W) in [-1, 1] and their masks (B, H, W) bool, in the order of their latents."""

    images: torch.Tensor
    masks: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | torch.Tensor) -> "SyntheticBatch":
        return SyntheticBatch(self.images[rows], self.masks[rows])

    def parts(self, size: int | None) -> "Iterator[SyntheticBatch]":
        """Yield the samples in order, at most `size` at a time, or all at once."""
        for rows in even_slices(len(self), size):
            yield self[rows]

    def to(self, device: torch.device) -> "SyntheticBatch":
        """Return the same samples on `device`."""
        return SyntheticBatch(self.images.to(device), self.masks.to(device))

    def cloned(self) -> "SyntheticBatch":
        """Return a copy with memory of its own: a slice would keep, and save, all it was cut from."""
        return SyntheticBatch(self.images.clone(), self.masks.clone())

    @staticmethod
    def cat(parts: "list[SyntheticBatch]") -> "SyntheticBatch":
        """Return the samples of all parts in order."""
        return SyntheticBatch(torch.cat([p.images for p in parts]), torch.cat([p.masks for p in parts]))


@dataclass(frozen=True)
class Share:
    """This process's samples of a batch of `count`, and their places in it, (own,) int64, rising; alone, all."""

    samples: SyntheticBatch
    places: torch.Tensor
    count: int

    @staticmethod
    def whole(batch: SyntheticBatch) -> "Share":
        """Return all of a batch."""
        return Share(batch, torch.arange(len(batch)), len(batch))

    def parts(self, size: int | None) -> "Iterator[SyntheticBatch]":
        """Yield this process's samples of each part of the batch, which has at most `size`, or of all at once."""
        for rows in even_slices(self.count, size):
            start, stop = torch.searchsorted(self.places, torch.tensor([rows.start, rows.stop])).tolist()
            yield self.samples[start:stop]


def _require_fit(shift: AnyShift, generator: Generator) -> None:
    """Raise UserError for a shift of latents that a generator has not."""
    one = (layers_of(generator) or 0, generator.latent_dim)
    if isinstance(shift, Move):
        fits, what = shift.latent_dim == one[1], f"moves {shift.latent_dim} numbers"
    else:
        fits = tuple(shift.shape) in ((one[1],), (2, one[1]), (1, *one), (2, 1, *one))
        what = f"has shape {list(shift.shape)}"
    if not fits:
        raise UserError(
            f"the shift {what}, but latents of {generator.name} have {generator.latent_dim} numbers; use a direction "
            "of this generator"
        )


class MaskSynthesizer:
    """Batches of images with masks: latents drawn, rendered twice, masked, filtered and refilled.

    Accepted samples come in the order of their latents and none is thrown away, so sample i of a seed is the
    same whatever the batch size. `shift` (D,), or by layer (1, L, D), decides the device; as (2, D) or (2, 1, L, D) it
    holds the shift towards light and the one towards dark, for the rule light-dark, which otherwise takes -`shift` for
    the latter. It may be a move too (toolkit.moves).
    The processes of the `engine` render some rows each, `micro_batch` latents of the settings at a time, or as many as
    `rows_at_once` says, and get them all. With a bf16 `engine` the images are rendered in it: on flowers64 0.2 % of the
    mask pixels then differ by the rule mean_thr, 0.6 % by lighting.
    """

    def __init__(
        self,
        generator: Generator,
        shift: AnyShift,
        settings: SegmentationSettings,
        source: LatentSource,
        name: str = "synthesis",
        engine: Engine | None = None,
    ) -> None:
        _require_fit(shift, generator)
        self.generator = generator
        self.shift = shift
        self.settings = settings
        self.source = source
        self.engine = engine or Engine(shift.device, bf16=False)
        self._generate = self.engine.fast(generator.__call__)
        self.rule = MASK_RULES[settings.mask_rule or DEFAULT_RULE]
        light, dark = shift if isinstance(shift, torch.Tensor) and shift.dim() in (2, 4) else (shift, -shift)
        self._shifts = (light, dark) if self.rule.opposed else (light,)
        self.stream = Stream(settings.seed, name)
        self._kept: tuple[SyntheticBatch, torch.Tensor] | None = None  # own samples left over, who holds each of all
        self._last = (0, 0)  # the row of the stream and the number of latents that were rendered last
        self._counts: Counter[str] = Counter()
        self._areas: Counter[int] = Counter()

    @property
    def acceptance(self) -> Acceptance:
        """Return the statistics since the first sample."""
        return accepted(self._counts, self._areas, self.settings)

    def batch(self, count: int) -> SyntheticBatch:
        """Return the next `count` accepted samples, on the device of the shift; all processes get all.

        UnfilledError, a UserError that names the filter to ease, when `max_attempts` renderings of `count` latents do
        not suffice.
        """
        own, holders = self._taken(count)
        team = self.engine.team
        return SyntheticBatch(team.gathered(own.images, holders), team.gathered(own.masks, holders))

    def share(self, count: int, part: int | None = None) -> Share:
        """Return this process's share of the next `count` accepted samples; errors as of `batch`.

        Who rendered a sample keeps it, but for those few that change hands so that all processes have equally many, of
        each part of at most `part` samples where a batch is cut.
        """
        own, holders = self._taken(count)
        team = self.engine.team
        evened = torch.cat([team.evened(holders[rows]) for rows in even_slices(count, part)])
        moved = SyntheticBatch(team.moved(own.images, holders, evened), team.moved(own.masks, holders, evened))
        return Share(moved, (evened == team.rank).nonzero()[:, 0], count)

    def _taken(self, count: int) -> tuple[SyntheticBatch, torch.Tensor]:
        """Return this process's samples of the next `count`, and who holds each of these, (count,) int64."""
        counts, areas = self._counts.copy(), self._areas.copy()
        parts, attempts = [self._kept] if self._kept is not None else [], 0
        while (found := sum(len(holders) for _, holders in parts)) < count:
            if attempts == self.settings.max_attempts:
                of_this = accepted(self._counts - counts, self._areas - areas, self.settings)
                raise UnfilledError(found, count, attempts, of_this)
            parts.append(self._attempt(max(count, self.engine.team.size)))
            attempts += 1
        filled, holders = SyntheticBatch.cat([own for own, _ in parts]), torch.cat([holders for _, holders in parts])
        own = int((holders[:count] == self.engine.team.rank).sum())
        self._kept = (filled[own:].cloned(), holders[count:]) if len(holders) > count else None
        return filled[:own], holders[:count]

    @torch.no_grad()
    def _attempt(self, count: int) -> tuple[SyntheticBatch, torch.Tensor]:
        """Return those of this process's rows of the next `count` samples that pass, and who holds each that does.

        Rows are dealt out like cards, so that wherever a batch ends all hold about as many of it.
        """
        team = self.engine.team
        self._last = (self.stream.position, count)
        dealt = torch.arange(count) % team.size
        latents = self.source.draw(count, self.stream)[dealt == team.rank].to(self.shift.device)
        most = self.settings.micro_batch or rows_at_once(self._pixels, self.shift.device)
        parts = [self._rendered(latents[rows]) for rows in even_slices(len(latents), most)]
        own = SyntheticBatch.cat([batch for batch, _ in parts])
        own_numbers = torch.cat([numbers for _, numbers in parts])
        rejecting, areas = team.dealt(own_numbers, count).cpu().unbind(dim=1)
        for number, name in enumerate(self._filters, start=1):
            self._counts[name] += int((rejecting == number).sum())
        passing = rejecting == 0
        self._counts["drawn"] += count
        self._counts["accepted"] += int(passing.sum())
        self._areas.update((areas * AREA_STEPS // own.masks[0].numel()).tolist())
        return own[own_numbers[:, 0] == 0], dealt[passing]

    def _rendered(self, latents: Latents) -> tuple[SyntheticBatch, torch.Tensor]:
        """Return the samples of `latents` and (B, 2): the first filter, from 1, that rejects it, else 0; its pixels."""
        with self.engine.autocast():
            before, after, *dark = (images.float() for images in render_twins(self._generate, latents, *self._shifts))
        masks = self.rule(dark[0] if dark else before, after)
        if self.settings.connected_components:
            masks = large_components(masks, self.settings.component_ratio)
        areas = mask_areas(masks).long()
        rejecting = torch.zeros_like(areas)
        for number, passes in enumerate(self._filters.values(), start=1):
            rejecting[(rejecting == 0) & ~passes(areas, after)] = number
        # Generators without a bounded last layer leave the range of photos, which the network is to see.
        return SyntheticBatch(before.clamp(-1, 1), masks), torch.stack([rejecting, areas], dim=1)

    @cached_property
    def _pixels(self) -> int:
        """Return the pixels of all images that are rendered of one latent."""
        return (1 + len(self._shifts)) * math.prod(image_shape(self.generator))

    @cached_property
    def _filters(self) -> dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
        """Return the filters by name, in order: (areas of masks, images after the shift) -> (B,) which pass."""

        def within(least: float, below: float) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
            return lambda areas, after: areas_within(areas, after[0, 0].numel(), least, below)

        filters: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
            "min_area": within(self.settings.min_area, 1),
            "max_area": within(0, self.settings.area_bound),
            "histogram_filter": lambda areas, after: multimodal(after),
        }
        return {name: filters[name] for name in filters_on(self.settings)}

    def state_dict(self) -> dict[str, Any]:
        """Return the stream's position, the surplus of accepted samples and the counts, on the CPU.

        Of several processes none has the whole surplus: they note how to render it again.
        """
        counts = {"counts": dict(self._counts), "areas": dict(self._areas)}
        return {"position": self.stream.position, "surplus": self._surplus(), **counts}

    def _surplus(self) -> dict[str, Any] | None:
        if self._kept is None:
            return None
        own, holders = self._kept
        if self.engine.team.size == 1:
            return {"images": own.images.cpu(), "masks": own.masks.cpu()}
        position, count = self._last  # always the last samples of the last rendering
        return {"position": position, "count": count, "samples": len(holders)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state, by however many processes."""
        self._kept = None if state["surplus"] is None else self._restored(state["surplus"])
        self.stream.position = state["position"]
        self._counts = Counter(state["counts"])
        self._areas = Counter(state.get("areas", {}))  # saved states of before have none

    def _restored(self, surplus: dict[str, Any]) -> tuple[SyntheticBatch, torch.Tensor]:
        rank = self.engine.team.rank
        if "images" in surplus:
            batch = SyntheticBatch(surplus["images"], surplus["masks"]).to(self.shift.device)
            holders = torch.arange(len(batch)) % self.engine.team.size
            return batch[holders == rank], holders
        self.stream.position = surplus["position"]
        batch, holders = self._attempt(surplus["count"])
        holders, before = holders[-surplus["samples"] :], holders[: -surplus["samples"]]
        return batch[int((before == rank).sum()) :], holders
