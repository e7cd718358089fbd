"""One self-contained HTML page: text, tables and pictures, everything embedded, nothing fetched from outside."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from toolkit import __version__
from toolkit.files.writing import write_text
from toolkit.pictures.picture_files import opened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGEST_PNG = 500_000  # bytes
_TYPES = {".gif": "image/gif", ".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg"}


@dataclass
class Section:
    """A heading with text, tables and pictures below it, in the order they were added."""

    title: str
    blocks: list[dict[str, Any]] = field(default_factory=list)

    def text(self, words: str) -> "Section":
        """Add a paragraph."""
        self.blocks.append({"kind": "text", "words": words})
        return self

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> "Section":
        """Add a table; floats are shown with three digits."""
        shown = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
        self.blocks.append({"kind": "table", "columns": list(columns), "rows": shown})
        return self

    def picture(self, pixels: np.ndarray, caption: str, zoom: float = 1.0) -> "Section":
        """Add uint8 pixels (H, W, 3), or (H, W, 4) with transparency, shown `zoom` times as large."""
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
        return self._embedded(buffer.getvalue(), "image/png", caption, round(pixels.shape[1] * zoom))

    def picture_file(self, path: Path, caption: str, width: int | None = None) -> "Section":
        """Add a picture or GIF file; a PNG of photos too large for a page that people mail is embedded as JPEG."""
        content, media_type = Path(path).read_bytes(), _TYPES[Path(path).suffix.lower()]
        if media_type == "image/png" and len(content) > _LARGEST_PNG:
            buffer = io.BytesIO()
            with opened(path) as picture:
                picture.convert("RGB").save(buffer, format="JPEG", quality=88)
            content, media_type = buffer.getvalue(), "image/jpeg"
        return self._embedded(content, media_type, caption, width)

    def _embedded(self, content: bytes, media_type: str, caption: str, width: int | None) -> "Section":
        source = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
        self.blocks.append({"kind": "picture", "source": source, "caption": caption, "width": width})
        return self


@dataclass
class Report:
    """A page of sections."""

    title: str
    lead: str
    sections: list[Section] = field(default_factory=list)

    def section(self, title: str) -> Section:
        """Return a new section at the end of the page."""
        self.sections.append(Section(title))
        return self.sections[-1]

    def write(self, path: Path) -> None:
        """Write the page."""
        from jinja2 import Environment

        template = (files("assets") / "report.html").read_text(encoding="utf-8")
        page = Environment(autoescape=True).from_string(template)
        write_text(path, page.render(report=self, version=__version__))


INK = "#7d8794"  # of texts and axes: as far from a white page as from a dark one
_SMOOTHED = 50  # points from which a curve is smoothed; each mean is over a fiftieth of it


def curve_picture(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str
) -> np.ndarray:
    """Return a line plot, uint8 (H, W, 4) on a transparent ground, of named series (x values, y values).

    Long series are drawn as running means, with the values themselves pale behind them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for name, (x, y) in series.items():
        smooth = running_mean(y)
        (line,) = axes.plot(x, smooth, label=name, linewidth=1.5)
        if len(y) >= _SMOOTHED:
            axes.plot(x, y, color=line.get_color(), linewidth=0.8, alpha=0.3, zorder=1)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(color=INK, alpha=0.3)
    if len(series) > 1:
        axes.legend(frameon=False, labelcolor=INK)
    return plotted(figure)


def running_mean(values: Sequence[float]) -> np.ndarray:
    """Return, for each value, the mean of those around it, fewer near the ends; short series stay as they are."""
    y = np.asarray(values, float)
    half = len(y) // (2 * _SMOOTHED)
    sums = np.concatenate([[0.0], np.cumsum(y)])
    places = np.arange(len(y))
    reach = np.minimum(half, np.minimum(places, len(y) - 1 - places))  # the same on both sides: nothing lags
    return (sums[places + reach + 1] - sums[places - reach]) / (2 * reach + 1)


def plotted(figure: "Figure") -> np.ndarray:
    """Return a matplotlib figure as uint8 (H, W, 4), legible on light pages as on dark ones: its ground is clear."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
        axes.tick_params(colors=INK)
        for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
            text.set_color(INK)
        for spine in axes.spines.values():
            spine.set_color(INK)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()
