"""One self-contained HTML page: text, tables and pictures, everything embedded, nothing fetched from outside."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toolkit import __version__
from toolkit.files.writing import write_text
from toolkit.pictures.picture_files import opened

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
        """Add uint8 pixels (H, W, 3), shown `zoom` times as large."""
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


def curve_picture(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str
) -> np.ndarray:
    """Return a line plot, uint8 (H, W, 3), of named series (x values, y values)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, (x, y) in series.items():
        axes.plot(x, y, label=name, linewidth=1.5)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    if len(series) > 1:
        axes.legend(frameon=False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
