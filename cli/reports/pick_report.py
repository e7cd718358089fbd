"""What toolkit pick shows: the table of its finalists."""

from typing import TYPE_CHECKING

from cli.runs.progress import console

if TYPE_CHECKING:
    from discovery.picking.picker import Candidate
    from discovery.picking.picking import Picked


def show_table(picked: "Picked") -> None:
    """Print the finalists and their figures."""
    from rich.table import Table

    from discovery.picking.consensus import ORDER
    from discovery.picking.picker import OF_FINALISTS

    columns = ["border", "centre", "area", "border_share", "stability", "separation", *OF_FINALISTS]
    table = Table("place", "direction", "sign", "alpha", "score", *columns, "mask rule", box=None)
    names = picked.directions.names
    for place, c in enumerate(picked.finalists, start=1):
        figures = [_figure(c, name) for name in columns]
        table.add_row(
            str(place), names[c.index], f"{c.sign:+d}", f"{c.alpha:.1f}", f"{c.score:.3f}", *figures, c.mask_rule
        )
    console.print(table)
    console.print(f"order: {ORDER}")
    best = picked.finalists[0]
    console.print(
        f"chose {names[best.index]}, {best.sign * best.alpha:+.1f}: the border changes by "
        f"{best.figures['border']:+.2f}, the centre by {best.figures['centre']:+.2f} (range -1 to 1), "
        f"{best.figures['pass_rate']:.0%} of the lighting masks pass"
        + (f", {best.figures['precision']:.0%} of their area is agreed on" if "precision" in best.figures else "")
    )
    if best.score < 0.2:
        console.print(
            "warning: no direction darkens the background convincingly; look at pick.png, discover longer, or choose "
            "one yourself with --direction and --alpha"
        )


def _figure(candidate: "Candidate", name: str) -> str:
    if name not in candidate.figures:
        return "-"
    return f"{candidate.figures[name]:{'+.2f' if name in ('border', 'centre') else '.2f'}}"
