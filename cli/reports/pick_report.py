"""What toolkit pick shows: the table of its finalists, and a picture of why."""

from typing import TYPE_CHECKING

from cli.runs.progress import console
from discovery.settings import PickSettings

if TYPE_CHECKING:
    import numpy as np

    from discovery.picking.picker import Candidate
    from generators.protocol import Generator
    from toolkit.compute.engine import Engine
    from toolkit.directions import DirectionSet


def show_table(picked: "DirectionSet", finalists: "list[Candidate]") -> None:
    """Print the finalists and their figures."""
    from rich.table import Table

    from discovery.picking.picker import OF_FINALISTS

    columns = ["border", "centre", "area", "border_share", "stability", "separation", *OF_FINALISTS]
    table = Table("direction", "sign", "alpha", "score", *columns, "mask rule", box=None)
    for c in finalists:
        figures = [_figure(c, name) for name in columns]
        table.add_row(picked.names[c.index], f"{c.sign:+d}", f"{c.alpha:.1f}", f"{c.score:.3f}", *figures, c.mask_rule)
    console.print(table)
    best = finalists[0]
    console.print(
        f"chose {picked.names[best.index]}, {best.sign * best.alpha:+.1f}: the border changes by "
        f"{best.figures['border']:+.2f}, the centre by {best.figures['centre']:+.2f} (range -1 to 1), "
        f"{best.figures['pass_rate']:.0%} of the lighting masks pass"
        + (f", {best.figures['precision']:.0%} of their area is agreed on" if "precision" in best.figures else "")
    )
    if best.score < 0.2:
        console.print(
            "warning: no direction darkens the background convincingly; look at pick.png, discover longer, or choose "
            "one yourself with --choose"
        )


def _figure(candidate: "Candidate", name: str) -> str:
    if name not in candidate.figures:
        return "-"
    return f"{candidate.figures[name]:{'+.2f' if name in ('border', 'centre') else '.2f'}}"


def candidates_picture(
    generator: "Generator",
    directions: "DirectionSet",
    candidates: "list[Candidate]",
    settings: PickSettings,
    engine: "Engine",
    columns: int = 10,
) -> "np.ndarray":
    """Return a picture with three rows a candidate: images, shifted images, masks over the images."""
    import numpy as np
    import torch

    from discovery.charts import labelled
    from discovery.picking.picker import judged_latents
    from generators.protocol import render_twins
    from toolkit.masks.filters import large_components
    from toolkit.masks.rules import MASK_RULES
    from toolkit.pictures.pixels import grid, overlay, stack_rows, to_bytes

    latents = judged_latents(generator, settings)[:columns].to(engine.device)
    rows = []
    for c in candidates:
        shift = directions.shift(c.index, c.sign * c.alpha).to(engine.device)
        with torch.inference_mode():
            before, after = render_twins(generator, latents, shift)
        masks = large_components(MASK_RULES[c.mask_rule](before, after)).cpu().numpy()
        pictures = to_bytes(before)
        block = grid(np.concatenate([pictures, to_bytes(after), overlay(pictures, masks)]), len(pictures))
        name = f"{directions.names[c.index]}  {c.sign * c.alpha:+.1f}  score {c.score:.3f}  {c.mask_rule}"
        rows.append(labelled(block, name))
    return stack_rows(rows)
