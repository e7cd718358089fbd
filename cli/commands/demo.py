"""toolkit demo: the whole chain on a shipped generator, ending in one report page."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.inputs.options import DeviceOption, PrecisionOption, require
from cli.listing import START, listed_in
from cli.reports.hints import command
from cli.runs.progress import console, terminal
from discovery.methods.settings import GanspaceSettings
from discovery.settings import DiscoverySettings, PickSettings
from segmentation.unet.settings import SegmentationSettings

if TYPE_CHECKING:
    import numpy as np

    from discovery.picking.picking import Picked
    from generators.protocol import Generator
    from segmentation.predict.segmenter import Segmenter
    from toolkit.compute.engine import Engine
    from toolkit.directions import DirectionSet
    from toolkit.files.runs import RunFolder
    from toolkit.pictures.report import Report, Section

_PHOTO_HEIGHT = 220


@listed_in(
    START,
    "toolkit demo",
    "toolkit demo --smoke --generator scene --out demo-scene",
    formerly={"--quick": "--smoke"},
)
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    generator: Annotated[str, typer.Option(help="A shipped generator, or scene.")] = "flowers64",
    smoke: Annotated[bool, typer.Option("--smoke", help="A handful of steps: to see that everything runs.")] = False,
    seed: Annotated[int, typer.Option(help="Names every random draw.", min=0)] = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Run discover, pick, render-gif, segment and predict on a shipped generator, and write report.html."""
    from cli.inputs.sources import open_typed
    from discovery.methods.run import discover_into
    from generators.recorded import generator_inputs
    from toolkit.compute.engine import choose_engine
    from toolkit.files.writing import writable_folder

    engine = choose_engine(device, precision)
    opened = open_typed(generator).to(engine.device)
    require(
        not out.is_dir() or not any(out.iterdir()) or (out / "directions" / "run.json").is_file(),
        f"{out} holds other files and no demo; choose an empty or new --out",
    )
    writable_folder(out)
    method, discovery = _search(opened, smoke, seed)
    picking, segmenting = _settings(smoke, seed)
    clock = _Clock()
    console.print(f"1/4 discover directions of {opened.name} by {method}")
    source = generator_inputs(generator, None)
    directions = discover_into(out / "directions", method, opened, discovery, engine, source, terminal)
    clock.lap("discover")
    console.print("2/4 pick the one that darkens the background")
    picked, gif = _pick(opened, directions, picking, engine, out / "directions")
    clock.lap("pick and render-gif")
    console.print("3/4 train a U-Net on synthetic pairs")
    run = _segment(opened, picked.directions, segmenting, engine, out / "segmenter")
    clock.lap("segment")
    console.print("4/4 predict and report")
    report = _report(out, method, opened, picked, engine, gif, run)
    clock.lap("predict and report")
    section = report.section("Time and figures")
    section.table(["step", "seconds"], [[name, float(seconds)] for name, seconds in clock.laps])
    section.table(["figure", "value"], _figures(out, run))
    section.text(
        f"Computed on {engine.describe()}, seed {seed}. The chain is shortened; see the README for full runs, and for "
        "the papers' own way to find directions."
    )
    report.write(out / "report.html")
    console.print(f"wrote {out / 'report.html'} in {clock.total:.0f} s; open it in a browser")
    following = command("predict", "YOUR_PHOTO.jpg", "--segmenter", out / "segmenter", "--out", "predictions")
    console.print(f"next: {following}")


class _Clock:
    def __init__(self) -> None:
        self.started = self.last = time.monotonic()
        self.laps: list[tuple[str, float]] = []

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps.append((name, now - self.last))
        self.last = now

    @property
    def total(self) -> float:
        return time.monotonic() - self.started


def _search(generator: "Generator", smoke: bool, seed: int) -> tuple[str, GanspaceSettings | DiscoverySettings]:
    """Return a method and its settings.

    GANSpace's best direction trains as good a segmenter as that of a deformator after 26 minutes (docs/results.md), and
    a better one than a deformator stopped after two; but it needs a generator that shows its inside.
    """
    from generators.protocol import Inspectable

    if isinstance(generator, Inspectable):
        return "ganspace", GanspaceSettings(directions=8 if smoke else 64, samples=64 if smoke else 4000, seed=seed)
    quick = DiscoverySettings.of(None, "quick", {"seed": seed, "directions": 8 if smoke else 64, "log_every": 1})
    steps, batch, checks = (4, 4, 2) if smoke else (1200, 16, 20)
    return "deformator", replace(quick, steps=steps, batch=batch, validation_batches=checks)


def _settings(smoke: bool, seed: int) -> tuple[PickSettings, SegmentationSettings]:
    if smoke:
        return (
            PickSettings(samples=6, num_alphas=2, finalists=3, seed=seed),
            SegmentationSettings(
                steps=4,
                batch=8,
                width=8,
                area_filter=False,
                histogram_filter=False,
                validation_samples=8,
                log_every=1,
                seed=seed,
            ),
        )
    return (
        PickSettings(samples=32, seed=seed),
        SegmentationSettings(
            steps=300,
            batch=24,
            width=32,
            rate=2e-3,
            decay_every=200,
            min_area=0.03,
            validate_every=100,
            validation_samples=96,
            augment=True,
            seed=seed,
        ),
    )


def _pick(
    generator: "Generator", directions: "DirectionSet", settings: PickSettings, engine: "Engine", folder: Path
) -> "tuple[Picked, Path]":
    from cli.reports.pick_report import show_table
    from discovery.animation import walk_frames
    from discovery.picking.files import save_pick
    from discovery.picking.picking import pick_direction
    from toolkit.masks.rules import MASK_RULES
    from toolkit.pictures.animation import write_animation
    from toolkit.streams import Stream

    picked = pick_direction(generator, directions, settings, engine, terminal)
    save_pick(folder / "directions.safetensors", picked, generator, settings, engine)
    show_table(picked)
    latents = generator.sample(8, Stream(settings.seed, "render-gif"))
    shift = picked.directions.resolve()
    rule = MASK_RULES[shift.mask_rule()]
    frames = walk_frames(generator, latents, shift.vector, -shift.vector, 15, 96, rule, engine, 4, terminal)
    path = folder.parent / "direction.gif"
    write_animation(path, frames + frames[-2:0:-1], 12.5)
    return picked, path


def _segment(
    generator: "Generator",
    picked: "DirectionSet",
    settings: SegmentationSettings,
    engine: "Engine",
    folder: Path,
) -> "RunFolder":
    from cli.commands.segment import segment_into
    from segmentation.synthesis.source import MaskSource

    source = MaskSource.along(picked.resolve(), generator, {"generator": generator.name})
    return segment_into(folder, source, source.settled(settings), engine)


def _report(
    out: Path,
    method: str,
    generator: "Generator",
    pick: "Picked",
    engine: "Engine",
    gif: Path,
    run: "RunFolder",
) -> "Report":
    from discovery.methods.table import METHODS
    from segmentation.predict.segmenter import Segmenter
    from toolkit.pictures.report import Report, curve_picture

    picked = pick.directions
    report = Report(
        f"Directions and a segmenter from {generator.name}",
        "Nobody drew a mask for this page: a direction that darkens backgrounds was found in the generator's latent "
        "space, it gave images with masks, and a U-Net learnt from them.",
    )
    charts = sorted((out / "directions" / "charts").glob("*.png"))
    page = next(path for path in charts if int(path.stem[-3:]) >= picked.chosen().index)
    section = report.section("Directions")
    section.text(f"{len(picked)} directions. {METHODS[method].explanation}")
    section.text("Each row walks along one of them, for three latents.")
    section.picture_file(
        page, f"The page with the picked direction {picked.chosen().index}; the red frame is the unshifted image."
    )
    _explain_pick(report.section("Why this direction"), pick, out / "directions" / "pick.png")
    report.section("The picked direction").picture_file(
        gif, "There and back along it. Outlined: the mask, which is what stands out bright once the ground is dark."
    )
    report.section("Synthetic pairs").picture_file(
        out / "segmenter" / "synthetic.png", "Generated images, and below them the masks the direction gives."
    )
    lines = [line for line in run.metrics() if "loss" in line]
    series = {"training": ([m["step"] for m in lines], [m["loss"] for m in lines])}
    checks = [line for line in run.metrics() if "synthetic_loss" in line]
    if len(checks) > 1:
        series["held-out synthetic"] = ([m["step"] for m in checks], [m["synthetic_loss"] for m in checks])
    report.section("Training").picture(curve_picture(series, "step", "cross entropy"), "Loss of the U-Net.")
    segmenter = Segmenter.load(run.path)
    section = report.section("Predictions")
    section.text(
        "The photo is a real one (by vultilion, CC BY 2.0, see assets/photos). The pictures below it are fresh samples "
        "of the generator that the U-Net was not trained on."
    )
    section.picture(_photo_panels(segmenter), "Photo, foreground probability, mask over the photo.")
    section.picture(_sample_panels(segmenter, generator, engine), "Fresh samples and their predicted masks.", 1.5)
    return report


def _explain_pick(section: "Section", picked: "Picked", picture: Path) -> None:
    from discovery.picking.picker import FIGURES

    columns, names = ["direction", "sign", "alpha", "score", *FIGURES], picked.directions.names
    rows = [
        [names[c.index], f"{c.sign:+d}", c.alpha, c.score, *(c.figures.get(name, "-") for name in FIGURES)]
        for c in picked.finalists
    ]
    section.text("Every direction was tried with both signs and several lengths; the score wants all of these at once:")
    section.table(["figure", "meaning"], [[name, meaning] for name, meaning in FIGURES.items()])
    section.table(columns, rows)
    section.picture_file(picture, "The best candidates: images, shifted images, masks.")


def _photo_panels(segmenter: "Segmenter") -> "np.ndarray":
    import numpy as np

    from toolkit.files.shipped import shipped_file
    from toolkit.pictures.outlines import overlay
    from toolkit.pictures.photos import list_photos, read_photo
    from toolkit.pictures.pixels import from_bytes, grid, resize, stack_rows, to_bytes

    rows = []
    for path in list_photos(shipped_file("photos")):
        photo = read_photo(path)
        soft = segmenter.probability(photo)
        levels = np.repeat((soft * 255).round().astype(np.uint8)[..., None], 3, axis=-1)
        panels = from_bytes(np.stack([photo, levels, overlay(photo, soft >= 0.5)]))
        width = round(photo.shape[1] * _PHOTO_HEIGHT / photo.shape[0])
        rows.append(grid(to_bytes(resize(panels, (_PHOTO_HEIGHT, width))), 3, gap=6))
    return stack_rows(rows)


def _sample_panels(segmenter: "Segmenter", generator: "Generator", engine: "Engine") -> "np.ndarray":
    import numpy as np

    from generators.protocol import rendered
    from toolkit.pictures.outlines import overlay
    from toolkit.pictures.pixels import grid, to_bytes
    from toolkit.streams import Stream

    latents = generator.sample(10, Stream(0, "demo-unseen"))
    pictures = np.concatenate([to_bytes(images) for _, images in rendered(generator, latents, engine.device)])
    masks = np.stack([segmenter.mask(picture) for picture in pictures])
    return grid(np.concatenate([pictures, overlay(pictures, masks)]), 10)


def _figures(out: Path, run: "RunFolder") -> list[list[Any]]:
    from toolkit.files.writing import read_json

    found, result = read_json(out / "directions" / "result.json"), run.result or {}
    known = {"rca": "reconstruction accuracy (RCA)", "explained": "share of the features' variance in the directions"}
    rows: list[list[Any]] = [[words, found[name]] for name, words in known.items() if name in found]
    return rows + [[name.replace("_", " "), v] for name, v in result.items() if name.startswith("synthetic_")]
