"""Pairs in tar shards that any number of commands make together, on any machines that share a folder.

A shard's pairs are drawn from a stream of its own, which the seed and the shard's number name, so that whoever makes it
makes the same. It is claimed by a lock, made in a hidden folder, and gets its name when it is whole; then a note beside
it says so. Whoever is killed loses the shard under way, and the next one to look makes it. Where a file system has no
locks two may make one shard, to the same bytes.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from segmentation.synthesis.acceptance import Acceptance, accepted
from segmentation.synthesis.picture import advise, draw_samples
from segmentation.synthesis.run import STREAM, SynthesisRun
from segmentation.synthesis.settings import SynthesizeSettings
from segmentation.synthesis.shards import ShardWriter, encoded, shard_name
from segmentation.synthesis.synthesizer import MaskSynthesizer
from toolkit.errors import UserError
from toolkit.files.driving import is_finished, open_run
from toolkit.files.locks import PATIENCE, claimed, take
from toolkit.files.runs import PLAN
from toolkit.files.workplace import workplace
from toolkit.files.writing import read_json, settle, sha256_of, writable_folder, write_json
from toolkit.watch import SILENT, Stopped, Watch


def make_shared(work: SynthesisRun, out: Path, watch: Watch = SILENT) -> int:
    """Make the shards that nobody has made or is making, and return how many others are still at.

    The command that finds all of them whole writes the manifest. UserError where the folder holds a run of other
    settings, precision or inputs; Stopped where `watch` asked for a stop.
    """
    if _begun(work, out):
        damaged = [index for index in range(_count(work.settings)) if not _is_as_noted(out, index)]
        if not damaged:
            watch.say(f"{out} is finished already")
            return 0
        watch.say(f"{len(damaged)} of the shards are lost or damaged, and made again")
        for index in damaged:
            _note(out, index).unlink(missing_ok=True)
    if not (out / "samples.png").exists():
        draw_samples(work.synthesizer(), out / "samples.png", watch=watch)
    _fill(work, out, watch)
    missing = [index for index in range(_count(work.settings)) if not _is_whole(out, index)]
    if not missing:
        _conclude(work, out, watch)
    return len(missing)


def _begun(work: SynthesisRun, out: Path) -> bool:
    """Write down what the folder's run is, or compare it with that, and return whether it is finished."""
    writable_folder(out)
    with claimed(out, PATIENCE):
        run = open_run(work, out)
        # From here on there is work to protect: the same folder with another seed is refused.
        write_json(out / PLAN, {"shards": _count(work.settings), "pairs": work.settings.samples})
        return is_finished(work, run)


def _fill(work: SynthesisRun, out: Path, watch: Watch) -> None:
    settings = work.settings
    whole = sum(_size(settings, index) for index in range(_count(settings)) if _is_whole(out, index))
    with (
        ThreadPoolExecutor(torch.get_num_threads()) as pool,
        watch.bar(work.label, settings.samples, whole, "pairs") as advance,
        watch.stops() as stop_wanted,
    ):

        def wrote(pairs: int) -> None:
            advance(pairs)
            if stop_wanted():
                raise Stopped("within a shard, which the next command makes anew")

        for index in range(_count(settings)):
            lock = None if _is_whole(out, index) else take(out / f".{shard_name(index)}.lock")
            if lock is None:
                continue
            try:
                if not _is_whole(out, index):  # its maker may have ended between the two looks
                    _make(work, out, index, pool, wrote)
            finally:
                lock.release()


def _make(work: SynthesisRun, out: Path, index: int, pool: ThreadPoolExecutor, wrote: Callable[[int], None]) -> None:
    settings, synthesizer = work.settings, work.synthesizer(f"{STREAM}-{index}")
    try:
        with workplace(out) as place:
            writer = ShardWriter(place, settings.shard_size, index)
            left = _size(settings, index)
            while left > 0:
                # The last batch is drawn in full like the others and cut, so that no pair depends on their number.
                batch = synthesizer.batch(settings.batch)[:left]
                for image, mask in encoded(batch, work.engine.team, pool):
                    writer.write(image, mask)
                left -= len(batch)
                wrote(len(batch))
            writer.finish()
            (note,) = writer.contents()["shards"]
            settle(place / shard_name(index), out / shard_name(index))
        write_json(_note(out, index), {**note, **_counted(synthesizer)})
    except OSError as error:
        raise UserError(f"cannot write into {out}: {error.strerror or error}; make room, then repeat it") from error


def _counted(synthesizer: MaskSynthesizer) -> dict[str, Any]:
    state = synthesizer.state_dict()
    return {name: {str(key): count for key, count in sorted(state[name].items())} for name in ("counts", "areas")}


def _conclude(work: SynthesisRun, out: Path, watch: Watch) -> None:
    """Write the manifest, which is the same whoever does."""
    notes = [read_json(_note(out, index)) for index in range(_count(work.settings))]
    acceptance = _acceptance(notes, work.settings)
    shards = [{name: note[name] for name in ("file", "pairs", "sha256")} for note in notes]
    watch.say(f"synthetic pairs: {acceptance.describe()}")
    advise(acceptance, watch)
    with claimed(out, PATIENCE):
        run = open_run(work, out)
        write_json(out / "manifest.json", work.manifest({"shards": shards}, acceptance))
        run.finish({"steps": work.settings.steps, "pairs": work.settings.samples, **acceptance.as_dict()})


def _acceptance(notes: list[dict[str, Any]], settings: SynthesizeSettings) -> Acceptance:
    counts, areas = Counter[str](), Counter[int]()
    for note in notes:
        counts.update(note["counts"])
        areas.update({int(step): count for step, count in note["areas"].items()})
    return accepted(counts, areas, settings.masking())


def _count(settings: SynthesizeSettings) -> int:
    return -(-settings.samples // settings.shard_size)


def _size(settings: SynthesizeSettings, index: int) -> int:
    return min(settings.shard_size, settings.samples - index * settings.shard_size)


def _note(out: Path, index: int) -> Path:
    return out / Path(shard_name(index)).with_suffix(".json")


def _is_as_noted(out: Path, index: int) -> bool:
    """Return whether a shard holds the bytes that its note says, as training on a finished folder relies on."""
    return _is_whole(out, index) and sha256_of(out / shard_name(index)) == read_json(_note(out, index)).get("sha256")


def _is_whole(out: Path, index: int) -> bool:
    return _note(out, index).exists() and (out / shard_name(index)).exists()
