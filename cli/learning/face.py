"""The verb of `import toolkit` that goes the whole way: learn."""

import os
from pathlib import Path
from typing import Any

from cli.learning.job import Brought, Job
from cli.learning.plan import Plan
from cli.learning.run import learn as learn_from
from cli.learning.settings import LearnSettings
from generators.face import open_generator
from segmentation.predict.segmenter import Segmenter
from toolkit.compute.engine import choose_engine
from toolkit.pictures.photo_folder import list_photos, require_outside
from toolkit.screen import watch_of

Where = str | os.PathLike[str]


def learn(
    photos: Where,
    out: Where,
    *,
    generator: Where | None = None,
    directions: Where | None = None,
    segmenter: Where | None = None,
    go_on: bool = False,
    settings: LearnSettings | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: bool = False,
    **changes: Any,
) -> Segmenter:
    """Return a segmenter learnt from a folder of photos of one kind of thing, in the run folder `out`.

    As `toolkit learn`: a generator, directions by several methods, the one that darkens grounds, a U-Net on pairs made
    along it, and self-training, in about `hours` (3 unless passed); the same call resumes it. A generator, directions
    or a segmenter made before are used where they are named. `changes` are fields of LearnSettings, such as `hours=1`.
    UserError where a stage gives nothing useful, unless it is to `go_on`.

    >>> learn("my-photos", "my-run", hours=1)  # doctest: +SKIP
    <Segmenter: U-Net of width 32, 3,352,290 parameters, for 128 pixels, on cpu>
    """
    chosen = LearnSettings.of(settings, None, changes)
    folder, run, watch = Path(photos), Path(out), watch_of(progress)
    require_outside(run, folder)
    paths, engine = list_photos(folder), choose_engine(device, precision)
    brought = Brought(*(None if one is None else os.fspath(one) for one in (generator, directions, segmenter)))

    def show(plan: Plan) -> None:
        for row in plan.table():
            watch.say(", ".join(row))

    learn_from(Job(folder, paths, chosen, brought, engine, run, watch, open_generator, show), go_on=go_on)
    return Segmenter.load(run)
