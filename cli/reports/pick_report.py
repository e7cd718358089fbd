"""What toolkit pick shows: the table of its finalists."""

from collections import defaultdict
from typing import TYPE_CHECKING

from cli.runs.progress import console
from toolkit.command_line import as_flags

if TYPE_CHECKING:
    from discovery.picking.picker import Candidate
    from discovery.picking.picking import Picked


_SHOWN = ("border", "area", "agreement")  # of the figures: what fits 80 columns; pick.csv and pick.json have all


def show_table(picked: "Picked") -> None:
    """Print the finalists with their main figures, and why each stands where it does."""
    from rich.table import Table

    from discovery.picking.consensus import ORDER

    table = Table("place", "direction", "shift", "score", *_SHOWN, "mask rule", box=None)
    names, places = picked.directions.names, defaultdict[str, list[str]](list)
    for place, c in enumerate(picked.finalists, start=1):
        figures = [_figure(c, name) for name in _SHOWN]
        table.add_row(str(place), names[c.index], f"{c.sign * c.alpha:+.1f}", f"{c.score:.3f}", *figures, c.mask_rule)
        places[c.reason].append(str(place))
    console.print(table)
    for reason, found in places.items():
        console.print(f"{'place' if len(found) == 1 else 'places'} {', '.join(found)}: {reason}")
    console.print(f"order: {ORDER}")
    bounds = picked.bounds
    console.print(
        f"bounds: masks from {bounds.min_area:.2f} to {bounds.max_area:.2f} of the picture, below "
        f"{bounds.max_border:.2f} of its border (--min-area, --max-area, --max-border)"
    )
    best = picked.finalists[0]
    console.print(
        f"chose {names[best.index]}, {best.sign * best.alpha:+.1f}: the border changes by "
        f"{best.figures['border']:+.2f}, the centre by {best.figures['centre']:+.2f} (range -1 to 1), "
        f"{best.figures['pass_rate']:.0%} of the lighting masks pass"
        + (f", agreement {best.figures['agreement']:.2f}" if "agreement" in best.figures else "")
    )
    if picked.weak:
        worst, *others = picked.weak
        line = "; ".join([*(point.what for point in others), worst.line])
        console.print(as_flags(f"warning: weak pick: {line}"))


def _figure(candidate: "Candidate", name: str) -> str:
    """Return a figure as the table shows it; the area is that of the mask rule which stands beside it."""
    value = candidate.figures.get("rule_area" if name == "area" else name, candidate.figures.get(name))
    return "-" if value is None else f"{value:{'+.2f' if name == 'border' else '.2f'}}"
