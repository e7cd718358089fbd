"""toolkit eval: a segmenter, or anybody's maps, measured against masks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.inputs import completion
from cli.inputs.options import (
    DEFAULT_SEGMENTER,
    DeviceOption,
    PrecisionOption,
    RefineOption,
    SegmenterOption,
    require,
    with_settings,
)
from cli.inputs.photo_folder import over_masks
from cli.listing import SEGMENTATION, listed_in
from cli.reports.hints import command
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import Bar, console
from segmentation.evaluate.settings import EvaluationSettings
from toolkit.command_line import as_flags

if TYPE_CHECKING:
    from segmentation.evaluate.evaluation import Evaluation
    from toolkit.compute.engine import Engine

_SHOWN = ("iou", "accuracy", "max_f", "mae", "s_measure", "max_e", "weighted_f", "boundary_f")


@with_settings(EvaluationSettings)
@listed_in(
    SEGMENTATION,
    "toolkit eval --photos flowers17/images --masks flowers17/masks --out eval",
    "toolkit eval --predictions maps --masks masks --out eval --stretch",
    formerly={"--model": "--segmenter", "--images": "--photos"},
)
def evaluate(
    settings: EvaluationSettings,
    masks: Annotated[
        list[Path], typer.Option(help="Folder of masks, or a COCO .json of annotations; once per data set.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for result.json, per-image CSV files and pictures of cases.")],
    segmenter: SegmenterOption = None,
    photos: Annotated[list[Path] | None, typer.Option(help="Folder of photos, in the order of --masks.")] = None,
    predictions: Annotated[
        list[Path] | None, typer.Option(help="Folder of grey-level maps instead of --segmenter and --photos.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="Name of each data set in the results.")] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="float, or original (the published 8-bit path).",
            autocompletion=completion.one_of(("float", "original")),
        ),
    ] = "float",
    refine: RefineOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "fp32",
    processes: ProcessesOption = 1,
) -> None:
    """Measure a segmenter on photos with masks, or grey-level maps against masks."""
    require(
        segmenter is None or predictions is None,
        "--predictions are measured without a --segmenter; give one of the two",
    )
    require(
        predictions is None or not (photos or refine or protocol != "float"),
        "--photos, --refine and --protocol go with --segmenter; omit them with --predictions",
    )
    model = segmenter or (DEFAULT_SEGMENTER if predictions is None else None)
    folders = photos if predictions is None else predictions
    require(
        folders is not None and len(folders) == len(masks),
        f"{len(masks)} --masks but {len(folders or [])} "
        f"{'--photos' if predictions is None else '--predictions'}; give one for each data set",
    )
    from toolkit.files.locks import PATIENCE, claimed
    from toolkit.files.writing import writable_folder, write_json

    names = _names(name, folders or [], masks)
    require(
        not (out / "run.json").exists(), f"{out} is a run folder with a result.json of its own; choose another --out"
    )
    engine = engine_of(device, precision, processes)
    evaluations = _evaluations(model, folders or [], masks, names, settings, protocol, refine, engine)
    if engine.team.lead:
        writable_folder(out)
    for evaluation in evaluations:
        with Bar(evaluation.dataset, len(evaluation), unit="images") as bar:
            for _ in bar.over(evaluation):
                pass
    results = [evaluation.result() for evaluation in evaluations]
    if not engine.team.lead:
        return
    with claimed(out, PATIENCE):
        for evaluation in evaluations:
            _write(evaluation, out)
        write_json(out / "result.json", {"model": model, "datasets": results})
    _show(results)
    for evaluation, result in zip(evaluations, results, strict=True):
        if (things := result.get("objects")) is not None:
            console.print(f"{evaluation.dataset}: {_things(things)}")
        if result["masks"]["ignored_pixels"]:
            console.print(f"{evaluation.dataset}: {result['masks']['ignored_pixels']} pixels of the masks were ignored")
        for warning in evaluation.warnings():
            console.print(f"{evaluation.dataset}: {as_flags(warning)}")
    console.print(f"wrote {out / 'result.json'}, a CSV and a picture of cases for each data set")
    if model is not None:
        console.print(f"next: {command('predict', 'MY_PHOTOS', '--segmenter', model, '--out', 'predictions')}")


def _names(named: list[str] | None, folders: list[Path], masks: list[Path]) -> list[str]:
    generic = ("images", "masks", "predictions", "photos", "gt")
    names = named or [
        (folder if folder.name not in generic else folder.resolve().parent).name or mask.name
        for folder, mask in zip(folders, masks, strict=True)
    ]
    require(len(names) == len(masks), f"{len(names)} --name for {len(masks)} data sets; give one for each")
    require(len(set(names)) == len(names), f"data sets are named {', '.join(names)}; give each its own --name")
    for one in names:
        bare = bool(one.strip(". ")) and Path(one).name == one  # Windows takes a backslash, and C:, for a path
        require(bare, f"--name {one!r} cannot name a file; use letters and digits")
    return names


def _evaluations(
    model: str | None,
    folders: list[Path],
    masks: list[Path],
    names: list[str],
    settings: EvaluationSettings,
    protocol: str,
    refine: bool,
    engine: "Engine",
) -> "list[Evaluation]":
    from segmentation.evaluate.evaluation import evaluate as measured
    from segmentation.evaluate.evaluation import evaluate_predictions
    from segmentation.evaluate.pairs import pair_folders
    from segmentation.predict.protocols import PROTOCOLS
    from segmentation.predict.segmenter import Segmenter

    require(protocol in PROTOCOLS, f"protocol {protocol!r} is unknown; choose one of {', '.join(PROTOCOLS)}")
    triples = list(zip(folders, masks, names, strict=True))
    if model is None:
        evaluations = [
            evaluate_predictions(folder, mask, one, settings, engine.team, over_masks) for folder, mask, one in triples
        ]
    else:
        segmenter = Segmenter.load(model).to(engine.device)
        meaning = PROTOCOLS[protocol].meaning + ("; refined by a dense CRF" if refine else "")
        evaluations = [
            measured(
                pair_folders(folder, mask, settings.ignore_unpaired),
                lambda photo: segmenter.probability(photo, protocol, refine, engine.bf16),
                one,
                meaning,
                settings,
                engine.team,
                over=over_masks,
                many=lambda photos: segmenter.predictions(photos, protocol, refine, engine.bf16),
            )
            for folder, mask, one in triples
        ]
    for evaluation in evaluations:
        for note in evaluation.notes():
            console.print(f"{evaluation.dataset}: {as_flags(note)}")
    return evaluations


def _write(evaluation: "Evaluation", out: Path) -> None:
    from segmentation.evaluate.cases import cases_picture
    from segmentation.evaluate.evaluation import rows_csv
    from toolkit.files.writing import write_text
    from toolkit.pictures.photos import write_picture

    write_text(out / f"{evaluation.dataset}.csv", rows_csv(evaluation.rows()))
    write_picture(out / f"{evaluation.dataset}_cases.png", cases_picture(evaluation))


def _things(figures: dict[str, Any]) -> str:
    """Return the figures of single things in a line."""
    if figures["ap"] is None:
        return f"no true things, {figures['predicted']} predicted"
    shown = ", ".join(
        f"{words} {figures[name]:.3f}" for name, words in (("ap", "AP"), ("ap50", "AP at .5"), ("corloc", "CorLoc"))
    )
    return f"{figures['predicted']} things predicted, {figures['true']} true: {shown}"


def _show(results: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("data set", "images", *_SHOWN, box=None)
    for result in results:
        table.add_row(result["dataset"], str(result["images"]), *(f"{result['measures'][name]:.3f}" for name in _SHOWN))
    console.print(table)
