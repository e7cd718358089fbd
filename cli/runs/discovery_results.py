"""What every way to find directions leaves in its run folder: the set, charts, a page and the figures."""

from typing import TYPE_CHECKING, Any

from cli.reports.hints import command
from cli.runs.progress import Bar, console

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from generators.protocol import Generator
    from toolkit.directions import DirectionSet
    from toolkit.files.runs import RunFolder
    from toolkit.pictures.report import Report

FRAMES_A_SIDE = 5
_WAYS = {
    "discover": "A deformator was trained together with a reconstructor that tells, from an image and its shifted "
    "twin, which direction was taken and how far (Voynov and Babenko 2020). RCA is the share it tells right; "
    "`length` is how long a unit shift is in the latent space.",
    "ganspace": "Principal components of the generator's features, strongest first, carried back to its latents by "
    "regression (GANSpace, Harkonen et al. 2020). `variance` is the share of the features' variance that a component "
    "explains, `length` how far one of its deviations is in the latent space.",
    "sefa": "The eigenvectors of the first layers' weights, which change their outputs most, strongest first (SeFa, "
    "Shen and Zhou 2021). `eigenvalue` is by how much, squared.",
    "contrast": "Two vectors, found by optimisation: `light` lightens the centre and darkens the border while edges "
    "stay, `dark` does the opposite (Melas-Kyriazi et al. 2021). In training `light` falls and `dark` rises, "
    "`edge_loss` is the squared change of the edges. Masks are what `light` makes brighter than `dark` (mask rule "
    "light-dark).",
    "coordinates": "The latent axes themselves: a control for the other ways.",
    "random": "Random orthonormal directions: a control for the other ways.",
}


def conclude(
    run: "RunFolder",
    found: "DirectionSet",
    generator: "Generator",
    walks: "torch.Tensor",
    seed: int,
    figures: dict[str, Any],
) -> "DirectionSet":
    """Write set, charts of `walks` (K, F, D), report.html and result.json, and return the set under its labels.

    Files of an earlier `toolkit pick` are removed: they tell of directions that were.
    """
    from discovery.annotations import read_annotations, write_annotations
    from discovery.charts import write_charts

    labels = run.path / "human_annotation.txt"
    if labels.exists():
        found = found.renamed(read_annotations(labels))
    else:
        write_annotations(labels, {})
    for stale in ("pick.json", "pick.csv", "pick.png"):
        if (run.path / stale).exists():
            (run.path / stale).unlink()
            console.print(f"removed {stale}: the directions have moved on since; run toolkit pick again")
    with Bar("drawing", len(walks), unit="directions") as bar:
        drawn = write_charts(run.path / "charts", generator, walks, found.names, seed=seed, drew=bar.advance)
    found.save(run.path / "directions.safetensors")
    reach = float(walks[0, -1].norm())
    _page(run, found, drawn, reach, figures).write(run.path / "report.html")
    run.finish({"directions": len(found), **figures})
    return found


def _page(
    run: "RunFolder", found: "DirectionSet", charts: "list[Path]", reach: float, figures: dict[str, Any]
) -> "Report":
    from toolkit.pictures.report import Report, curve_picture

    lead = f"{len(found)} directions of {found.generator}, found by {found.method}."
    report = Report(f"Directions of {found.generator}", lead)
    section = report.section("Directions")
    section.text(_WAYS[found.method.split(" ")[0]])
    section.text(
        f"A row is a direction, its number at the left; a strip is one latent moved by -{reach:.3g} to {reach:.3g}; "
        "the unmoved image is framed in red."
    )
    for chart in charts:
        first, last = (int(number) for number in chart.stem.split("_"))
        section.picture_file(chart, f"directions {first} to {last}", width=1100)
    if found.choice is None:
        section.text(f"Next: {command('pick', run.path)} ranks them as background darkeners and chooses one.")
    section.text(f"{command('browse', run.path)} shows them live, names them and chooses one by hand.")
    if found.scores:
        columns = list(found.scores)
        rows = [[i, found.names[i], *(found.scores[name][i] for name in columns)] for i in range(len(found))]
        report.section("Scores").table(["number", "name", *columns], rows)
    lines = run.metrics()
    if lines:
        section = report.section("Training")
        for name in [key for key in lines[-1] if key != "step"]:
            logged = [line for line in lines if name in line]
            curve = [line["step"] for line in logged], [line[name] for line in logged]
            section.picture(curve_picture({name: curve}, "step", name), name)
    report.section("Figures").table(["figure", "value"], [[name, value] for name, value in figures.items()])
    return report
