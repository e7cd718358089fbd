"""Batches of a mask synthesizer rendered by a thread while the network trains on the batch before."""

from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any, Self

import torch

from generators.protocol import Latents
from segmentation.synthesis.acceptance import Acceptance
from segmentation.synthesis.synthesizer import LatentSource, MaskSynthesizer, Share, SyntheticBatch
from toolkit.streams import Stream


class Prefetched:
    """The next batches of `count` samples of `synthesizer`, at most `ahead` (1 or more) of them made in advance.

    A twin of the synthesizer renders in one thread, on CUDA in a stream of its own; `synthesizer` itself follows the
    batches taken and shares no state with the twin. Whenever this is saved, closed or stopped by an error, it is thus
    where it would be had it rendered the taken batches itself. Use as a context: leaving it stops the thread.
    """

    def __init__(self, synthesizer: MaskSynthesizer, count: int, ahead: int = 1) -> None:
        self.synthesizer = synthesizer
        self.count = count
        self.ahead = ahead
        self._rendering: _Rendering | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def acceptance(self) -> Acceptance:
        """Return the statistics from the first sample to the last one taken."""
        return self.synthesizer.acceptance

    def batch(self) -> SyntheticBatch:
        """Return the next `count` accepted samples, and have the thread begin another batch.

        What goes wrong in the thread is raised here, in place of the batch it befell; UserError as of the synthesizer.
        """
        if self._rendering is None:
            self._rendering = _Rendering(self.synthesizer, self.count, self.ahead)
        try:
            batch, state = self._rendering.take()
            self.synthesizer.load_state_dict(state)
        except BaseException:  # Ctrl-C while waiting too: the batch waited for would be lost, and samples with it
            self.close()
            raise
        return batch

    def share(self) -> Share:
        """Return the next batch as the share of a process that works alone."""
        return Share.whole(self.batch())

    def state_dict(self) -> dict[str, Any]:
        """Return the synthesizer's state after the last batch taken."""
        return self.synthesizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state, of this class or of a synthesizer; what was rendered in advance is forgotten."""
        self.close()
        self.synthesizer.load_state_dict(state)

    def close(self) -> None:
        """Stop the thread, at most one rendering later; batches not taken are forgotten, and made anew if asked for."""
        if self._rendering is not None:
            self._rendering.stop()
            self._rendering = None


@dataclass(frozen=True)
class _Rendered:
    batch: SyntheticBatch
    state: dict[str, Any]  # of the synthesizer after this batch
    ready: torch.cuda.Event | None  # the moment in the side stream when the batch is there


@dataclass(frozen=True)
class _UntilStopped:
    """Latents of `source` until `stop` is set: a batch that the filters hardly fill may take very many renderings."""

    source: LatentSource
    stop: Event

    def draw(self, count: int, rng: Stream) -> Latents:
        if self.stop.is_set():
            raise CancelledError
        return self.source.draw(count, rng)


class _Rendering:
    """A thread at work from the state `like` has now."""

    def __init__(self, like: MaskSynthesizer, count: int, ahead: int) -> None:
        self._count = count
        self._device = like.shift.device
        self._stop = Event()
        self._stream = _side_stream(self._device)
        with torch.cuda.stream(self._stream):  # memory belongs to the stream it was asked for in; None is no stream
            source = _UntilStopped(like.source, self._stop)
            self._twin = MaskSynthesizer(
                like.generator, like.shift, like.settings, source, like.stream.name, like.engine
            )
            self._twin.load_state_dict(like.state_dict())
        # Not a daemon: those are cut down at exit in the midst of a kernel. The pool's thread is joined there, and ends
        # as well when nobody holds the pool any more. OpenMP's number of threads is each thread's own, and sums depend
        # on it; so are grad mode and autocast, which the synthesizer sets for each rendering.
        self._pool = ThreadPoolExecutor(1, "prefetch", torch.set_num_threads, (torch.get_num_threads(),))
        self._waiting: deque[Future[_Rendered]] = deque(self._pool.submit(self._render) for _ in range(ahead))

    def take(self) -> tuple[SyntheticBatch, dict[str, Any]]:
        """Return the oldest batch once it is there, safe in the current stream, and the state after it."""
        rendered = self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._render))
        if rendered.ready is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(rendered.ready)
            for tensor in (rendered.batch.images, rendered.batch.masks):
                # Else the side stream may get the memory again as soon as the tensor is dropped, work on it pending.
                tensor.record_stream(current)
        return rendered.batch, rendered.state

    def stop(self) -> None:
        """Return once the thread has ended; the rendering under way is the last one."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def _render(self) -> _Rendered:
        with torch.cuda.stream(self._stream):  # a thread's own, as is the current device, which this sets too
            batch = self._twin.batch(self._count)
            ready = None if self._stream is None else self._stream.record_event()
            return _Rendered(batch, self._twin.state_dict(), ready)


def _side_stream(device: torch.device) -> torch.cuda.Stream | None:
    """Return a stream behind all work queued on `device` so far, such as the upload of weights; None but on CUDA."""
    if device.type != "cuda":
        return None
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    return stream
