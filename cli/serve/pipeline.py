"""Photos on their way through a server: first come, first served, those that wait together predicted together.

One thread decodes, one computes the network, a few make the answers, all at a time. A batch is whatever is decoded when
the network becomes free: nobody waits for company, and under load most have some. How many pixels are held between
decoding and answer is bounded, and so is the number of photos that wait.
"""

import io
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Any

import numpy as np
from PIL import Image

from cli.serve.settings import ServeSettings
from segmentation.predict.photos import Predictor
from toolkit.errors import UserError
from toolkit.pictures.photos import read_photo
from toolkit.pictures.picture_files import opened

_HELD_PIXELS = 2**23  # of decoded photos, or of one larger one alone
_JPEG, _SCAN = b"\xff\xd8", b"\xff\xda"
_MOST_SCANS = 100  # progressive ones have ten
_MAKERS = 2  # threads that make answers
_FIRST_GUESS = 0.05  # seconds a photo, before any was measured
_RECENT = 0.1  # weight of the latest batch in the mean
_LONGEST_ADVICE = 60  # seconds after which anybody may ask again

# What an answer is made of: the photo uint8 (H, W, 3), its probability (H, W), and its familiarity.
Finish = Callable[[np.ndarray, np.ndarray, float | None], Any]


class BusyError(Exception):
    """More photos wait than may; `seconds` is when to ask again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"as many photos wait as may; ask again in {seconds} s")
        self.seconds = seconds


class TooManyPixelsError(UserError):
    """A photo has more pixels than are taken."""


@dataclass(eq=False)
class Job:
    """A photo's file, what is to be done with it, and the future answer; `pixels` are those held for it."""

    content: bytes
    refine: bool
    finish: Finish
    answer: Future = field(default_factory=Future)
    photo: np.ndarray | None = None
    pixels: int = 0


class Pipeline:
    """Predicts photos one after another, or some at a time; `batches` hears how many went together."""

    def __init__(
        self,
        segmenter: Predictor,
        settings: ServeSettings,
        bf16: bool = False,
        batches: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._segmenter, self._settings, self._bf16, self._batches = segmenter, settings, bf16, batches
        self._held: dict[Job, None] = {}  # from their submission to their answer
        self._waiting: dict[Job, None] = {}  # to be decoded, in order of arrival
        self._decoded: dict[Job, None] = {}
        self._pixels = 0
        self._since: dict[str, float] = {}  # when each thread began with what it does
        self._seconds = _FIRST_GUESS
        self._closed = False
        self._changed = threading.Condition()
        self._makers = ThreadPoolExecutor(_MAKERS, "serve-answers")
        for work in (self._decode_all, self._predict_all):
            threading.Thread(target=work, name=f"serve{work.__name__}", daemon=True).start()

    @property
    def held(self) -> int:
        """Return how many photos wait or are under way."""
        return len(self._held)

    @property
    def stuck(self) -> bool:
        """Return whether a thread has been at one thing for longer than any photo may take."""
        longest = self._settings.work_seconds
        return any(time.monotonic() - since > longest for since in list(self._since.values()))

    @property
    def advice(self) -> int:
        """Return in how many seconds there will be room again."""
        return min(_LONGEST_ADVICE, max(1, math.ceil(self._seconds * self.held)))

    def submit(self, content: bytes, finish: Finish, refine: bool = False) -> Future:
        """Return the future of what `finish` makes of the photo in a file's `content`; cancelled, it is given up.

        It raises UserError for a photo that cannot be read. BusyError where too many wait.
        """
        job = Job(content, refine, finish)
        with self._changed:
            if self._closed or len(self._held) >= self._settings.queue:
                raise BusyError(self.advice)
            self._held[job] = self._waiting[job] = None
            self._changed.notify_all()
        job.answer.add_done_callback(lambda _: self._forget(job))
        return job.answer

    def try_out(self) -> None:
        """Predict a first photo, which takes longer than others; UserError where the segmenter cannot."""
        file = io.BytesIO()
        Image.new("RGB", (64, 64)).save(file, "PNG")
        self.submit(file.getvalue(), lambda *found: None).result()

    def close(self) -> None:
        """Begin nothing more, and give up what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for job in list(self._held):
            job.answer.cancel()
        self._makers.shutdown(wait=False, cancel_futures=True)

    def _forget(self, job: Job) -> None:
        """Let go of what is held for a job that is answered or given up, but for the pixels of a photo in use."""
        with self._changed:
            self._held.pop(job, None)
            if job in self._waiting:
                del self._waiting[job]
            if job in self._decoded:
                del self._decoded[job]
                self._let_go(job)
            self._changed.notify_all()

    def _let_go(self, job: Job) -> None:
        with self._changed:
            self._pixels -= job.pixels
            job.pixels, job.photo = 0, None
            self._changed.notify_all()

    def _decode_all(self) -> None:
        while (job := self._next_waiting()) is not None:
            self._since["decode"] = time.monotonic()
            try:
                photo = self._decoded_photo(job)
            except Exception as error:  # one's own fault, and nobody else's
                self._let_go(job)
                _settle(job, error=error)
            else:
                self._pass_on(job, photo)
            self._since.pop("decode", None)

    def _next_waiting(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            job = next(iter(self._waiting))
            del self._waiting[job]
            return job

    def _decoded_photo(self, job: Job) -> np.ndarray:
        _require_few_scans(job.content)
        file = io.BytesIO(job.content)
        with opened(file) as header:
            pixels = header.width * header.height
        if pixels > self._settings.most_pixels:
            most = self._settings.most_megapixels
            raise TooManyPixelsError(f"the photo has {pixels / 1e6:.1f} megapixels; send one of at most {most:g}")
        self._wait_for_room(job, pixels)
        file.seek(0)
        return read_photo(file)

    def _wait_for_room(self, job: Job, pixels: int) -> None:
        """Hold so many pixels as soon as there is room, or nothing else is held."""

        def fits() -> bool:
            return self._closed or not self._pixels or self._pixels + pixels <= _HELD_PIXELS

        self._since.pop("decode", None)  # waiting is not being stuck
        with self._changed:
            self._changed.wait_for(fits)
            job.pixels = pixels
            self._pixels += pixels
        self._since["decode"] = time.monotonic()

    def _pass_on(self, job: Job, photo: np.ndarray) -> None:
        with self._changed:
            job.content, job.photo = b"", photo
            if job in self._held:
                self._decoded[job] = None
            else:  # given up meanwhile
                self._let_go(job)
            self._changed.notify_all()

    def _predict_all(self) -> None:
        while batch := self._next_batch():
            self._since["predict"] = start = time.monotonic()
            self._batches(len(batch))
            self._predict(batch)
            self._seconds += _RECENT * ((time.monotonic() - start) / len(batch) - self._seconds)
            self._since.pop("predict", None)

    def _next_batch(self) -> list[Job]:
        """Return the longest waiting photos that are treated alike; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._decoded or self._closed)
            if self._closed:
                return []
            refine = next(iter(self._decoded)).refine
            alike = takewhile(lambda job: job.refine == refine, self._decoded)
            batch = list(islice(alike, self._settings.together))
            for job in batch:
                del self._decoded[job]
            return batch

    def _predict(self, batch: Sequence[Job]) -> None:
        """Predict a batch and have the answers made; where that fails, photo by photo, so that one fails alone."""
        left = list(batch)
        photos = [(job, job.photo) for job in batch if job.photo is not None]
        try:
            found = self._segmenter.judged_predictions(photos, refine=batch[0].refine, bf16=self._bf16)
            for job, photo, soft, familiarity in found:
                self._makers.submit(self._make, job, photo, soft, familiarity)
                left.remove(job)
        except Exception as error:
            if len(batch) > 1:
                for job in left:
                    self._predict([job])
            else:
                self._let_go(batch[0])
                _settle(batch[0], error=error)

    def _make(self, job: Job, photo: np.ndarray, soft: np.ndarray, familiarity: float | None) -> None:
        try:
            if not job.answer.done():
                _settle(job, job.finish(photo, soft, familiarity))
        except Exception as error:
            _settle(job, error=error)
        finally:
            self._let_go(job)


def _require_few_scans(content: bytes) -> None:
    """Raise UserError for a JPEG of very many scans, each of which takes some bytes and a pass over all its pixels.

    In what a scan codes, these two bytes do not follow each other.
    """
    scans = content.count(_SCAN) if content.startswith(_JPEG) else 0
    if scans > _MOST_SCANS:
        raise UserError(
            f"the photo is a JPEG of {scans} scans, which would take hours; send one of at most {_MOST_SCANS}"
        )


def _settle(job: Job, value: object = None, error: Exception | None = None) -> None:
    try:
        if error is None:
            job.answer.set_result(value)
        else:
            job.answer.set_exception(error)
    except InvalidStateError:  # given up at this very moment
        pass
