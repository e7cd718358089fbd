"""Model cards (README.md with YAML in front) made from what an artefact records of itself."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolkit import __version__
from toolkit.command_line import command
from toolkit.hub.reference import Reference, is_reference
from toolkit.hub.refusals import library
from toolkit.untrusted.printable import printable

LIBRARY = "latent-segmentation-toolkit"
MARK = f"<!-- made by {LIBRARY}; a card without this line is left as it is -->"
_MEASURES = {"iou": "IoU", "accuracy": "accuracy", "max_f": "max F", "boundary_f": "boundary F"}
# What figures were taken on, by how their names begin; photos that somebody named begin otherwise, and say no set.
_TAKEN_ON = {
    "held_out_": "photos held out of training, with masks of the training's own making",
    "synthetic_": "synthetic images held out of training, with the masks of their direction",
}
_PLAIN = re.compile(r"[\w./:@=+-]+", re.ASCII)
_LONGEST = 300  # letters of a value that is shown
_ESCAPED = str.maketrans({letter: f"\\{letter}" for letter in "|<>[]`*_#"})


@dataclass(frozen=True)
class _Look:
    """How a kind of artefact is called on the hub: its task there, what it is in a sentence, lines that use it.

    The lines are made of the artefact's reference and the name of the generator that it is for.
    """

    task: str
    what: str
    usage: Callable[[str, str], list[str]]
    code: Callable[[str, str], str]


_LOOKS = {
    "segmenters": _Look(
        "image-segmentation",
        "A network that separates the thing in a photo from its ground, trained without labels",
        lambda name, _: [command("predict", "MY_PHOTOS", "--segmenter", name, "--refine", "--out", "masks")],
        lambda name, _: f'mask = toolkit.mask("photo.jpg", "{name}")  # (H, W) bool',
    ),
    "directions": _Look(
        "image-to-image",
        "Directions of a generator's latent space, along which its images change in one way each",
        lambda name, _: [
            command("render-gif", name, "--direction", 0, "--alpha", 6, "--out", "direction.gif"),
            command("browse", name),
        ],
        lambda name, _: f'directions = toolkit.open_directions("{name}")',
    ),
    "generators": _Look(
        "unconditional-image-generation",
        "A generator of images from latents",
        lambda name, _: [
            command("sample", "--generator", name, "--samples", 16, "--out", "samples.png"),
            command("discover", "--generator", name, "--preset", "quick", "--out", "directions"),
        ],
        lambda name, _: f'latents = toolkit.sample("{name}", 6)',
    ),
    "encoders": _Look(
        "image-feature-extraction",
        "An encoder from photos to the latents of a generator",
        lambda name, generator: [
            command("embed", "MY_PHOTOS", "--generator", generator, "--encoder", name, "--out", "latents.npy")
        ],
        lambda name, generator: f'latents = toolkit.embed("MY_PHOTOS", "{generator}", encoder="{name}")',
    ),
}


def model_card(role: str, card: Mapping[str, Any], target: Reference, digest: str, licence: str) -> str:
    """Return README.md for an artefact that plays a role of toolkit.hub.fetching.ROLES, with what its card records.

    `digest` is the SHA-256 of the file, `licence` one of the hub's names for licences.
    """
    look = _LOOKS[role]
    figures = dict(_figures(card))
    hub = library(target)
    results = list(_results(hub, look.task, figures))
    data = hub.ModelCardData(
        license=licence,
        library_name=LIBRARY,
        pipeline_tag=look.task,
        tags=[LIBRARY, role.removesuffix("s").replace("direction", "latent-directions"), "gan", "unsupervised"],
        metrics=sorted({one.metric_type for one in results}) or None,
        base_model=_base(card),
        model_name=target.name if results else None,
        eval_results=results or None,
    )
    named = str(target), _generator(card)
    lines = [
        *("---", data.to_yaml().strip(), "---", MARK, "", f"# {target.name}", ""),
        f"{look.what}, for `{LIBRARY}`.",
        *("", "## Use", "", "```bash", f"pip install '{LIBRARY}[hub]'"),
        *look.usage(*named),
        *("```", "", "```python", "import toolkit", "", look.code(*named), "```", "", "## What it records", ""),
        *("| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in _rows(card, figures))),
        f"| file | SHA-256 `{digest}` |",
        f"| written by | version {__version__} |",
        "",
    ]
    return "\n".join(lines)


def _figures(card: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the figures that a card records."""
    stated = card.get("figures")
    for name, value in {**(stated if isinstance(stated, Mapping) else {}), "rca": card.get("rca")}.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield str(name), value


def _results(hub: Any, task: str, figures: Mapping[str, float]) -> Iterator[Any]:
    """Yield what the hub shows beside a model: each measure with what it was taken on."""
    for start, dataset in _TAKEN_ON.items():
        for measure, title in _MEASURES.items():
            if start + measure in figures:
                yield hub.EvalResult(
                    task_type=task,
                    dataset_type="own",
                    dataset_name=dataset,
                    metric_type=measure,
                    metric_name=title,
                    metric_value=round(figures[start + measure], 4),
                )


def _base(card: Mapping[str, Any]) -> str | None:
    """Return the repository of what the artefact was made from, where that is on the hub."""
    source = card.get("source")
    shared = card.get("shared")
    names = [source.get(key) for key in ("model", "generator")] if isinstance(source, Mapping) else []
    names = [shared.get("from"), *names] if isinstance(shared, Mapping) else names
    texts = [name for name in names if isinstance(name, str) and is_reference(name)]
    return Reference.parse(texts[0]).repository if texts else None


def _generator(card: Mapping[str, Any]) -> str:
    """Return the name of the generator that a card says, fit to stand in a line of code."""
    source = card.get("source")
    name = (source.get("generator") if isinstance(source, Mapping) else None) or card.get("generator")
    return name if isinstance(name, str) and _PLAIN.fullmatch(name) else "GENERATOR"


def _rows(card: Mapping[str, Any], figures: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for name in ("name", "generator", "method", "photos", "steps", "round", "image_size", "latent_dim", "width"):
        if isinstance(card.get(name), str | int | float):
            yield name.replace("_", " "), _cell(card[name])
    choice, names = card.get("choice"), card.get("names")
    if isinstance(names, list):
        yield "directions", str(len(names))
    if isinstance(choice, Mapping):
        yield "chosen", _cell(f"direction {choice.get('index')}, length {choice.get('alpha')}")
    for title in ("source", "settings"):
        table = card.get(title)
        if isinstance(table, Mapping):
            shown = ", ".join(f"{key} {value}" for key, value in table.items() if value is not None)
            yield title, _cell(shown)
    for name, value in figures.items():
        yield _cell(name.replace("_", " ")), f"{value:.4g}"


def _cell(value: object) -> str:
    """Return a value out of a file as text that stays in its cell and marks up nothing."""
    text = printable(" ".join(str(value).split()))
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return text.translate(_ESCAPED)
