"""What every discovery method leaves in its run folder: the set, charts, a page and the figures."""

from typing import Any

import torch

from discovery.annotations import annotations_beside, read_annotations, write_annotations
from discovery.charts import write_charts
from discovery.page import write_page
from generators.protocol import Generator
from toolkit.command_line import command
from toolkit.directions import DirectionSet
from toolkit.files.runs import RunFolder
from toolkit.watch import SILENT, Watch


def write_results(
    run: RunFolder,
    directions: DirectionSet,
    generator: Generator,
    walks: torch.Tensor,
    seed: int,
    figures: dict[str, Any],
    method: str,
    watch: Watch = SILENT,
) -> DirectionSet:
    """Write set, charts of `walks` (K, F, D), report.html and result.json, and return the set under its labels.

    Walks by layer are (K, F, 1, L, D). `method` is the name of the discovery method. Files of an earlier pick are
    removed: they describe directions that are gone.
    """
    labels = annotations_beside(run.path / "directions.safetensors")
    if labels.exists():
        directions = directions.renamed(read_annotations(labels))
    else:
        write_annotations(labels, {})
    for stale in ("pick.json", "pick.csv", "pick.png"):
        if (run.path / stale).exists():
            (run.path / stale).unlink()
            watch.say(f"removed {stale}: the directions have moved on since; run {command('pick')} again")
    with watch.bar("drawing", len(walks), unit="directions") as advance:
        write_charts(run.path / "charts", generator, walks, directions.names, seed=seed, drew=advance)
    directions.save(run.path / "directions.safetensors")
    reach = float(walks[0, -1].norm(dim=-1).max())  # of a layer, where the walks are by layer
    result = {"directions": len(directions), "method": method, "reach": reach, **figures}
    write_page(run.path, directions, result)
    run.finish(result)
    return directions
