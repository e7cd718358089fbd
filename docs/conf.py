"""Settings of the documentation: `uv run --group docs sphinx-build -W docs build/docs`."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

project = "Latent segmentation toolkit"
author = "The authors of the latent segmentation toolkit"
copyright = "2026, the authors; MIT licence"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["**.ipynb_checkpoints"]
nb_execution_mode = "force"  # the tutorials are run, not only shown
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
default_role = "code"  # single backquotes in docstrings
copybutton_prompt_text = "$ "
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = project
html_static_path = ["_static"]

_ROOMS = ("cli", "discovery", "segmentation", "generators", "toolkit")
_GENERATED = Path(__file__).parent / "generated"


def _summary(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def _tree(folder: Path, depth: int = 0) -> list[str]:
    """Return a line for a package and, indented, for each of its rooms and modules, with what each says it is."""
    indent = "    " * depth
    lines = [f"{indent}{folder.name + '/':<{30 - 4 * depth}} {_summary(folder / '__init__.py')}"]
    for module in sorted(folder.glob("*.py")):
        if module.name != "__init__.py":
            lines.append(f"{indent}    {module.name:<{26 - 4 * depth}} {_summary(module)}")
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        lines += _tree(inner, depth + 1)
    return lines


def write_tree() -> None:
    """Write the tree of packages, rooms and modules, each with the first line of its docstring."""
    lines = [line for room in _ROOMS for line in [*_tree(ROOT / room), ""]]
    (_GENERATED / "tree.txt").write_text("\n".join(lines), encoding="utf-8")


def write_commands() -> None:
    """Write a page for each command, from what `toolkit COMMAND --help` says, and the list of them."""
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from cli.app import app

    group = get_command(app)
    context = group.make_context("toolkit", ["--version"], resilient_parsing=True)
    names = [name for name, command in group.commands.items() if not command.hidden]
    for name in names:
        text = get_docs_for_click(obj=group.commands[name], ctx=context, name=name, call_prefix="toolkit")
        (_GENERATED / f"{name}.md").write_text(
            text.replace("## `", "# `", 1).replace("\n### ", "\n## "), encoding="utf-8"
        )
    listed = "\n".join(names)
    (_GENERATED / "commands.md").write_text(
        f"# Commands\n\nFrom `toolkit COMMAND --help`.\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n",
        encoding="utf-8",
    )


def write_settings() -> None:
    """Write a table of the fields of each settings class: default, meaning, range."""
    from dataclasses import fields

    from discovery.settings import DiscoverySettings, PickSettings
    from segmentation.self_training.settings import SelfTrainingSettings
    from segmentation.unet.settings import SegmentationSettings

    for settings in (DiscoverySettings, PickSettings, SegmentationSettings, SelfTrainingSettings):
        rows = ["| setting | default | what it is |", "|---|---|---|"]
        for field in fields(settings):
            choices = field.metadata.get("choices")
            what = field.metadata["help"] + (f": {', '.join(choices)}" if choices else "")
            rows.append(f"| `{field.name}` | {'' if field.default is None else field.default} | {what} |")
        (_GENERATED / f"settings-{settings.kind}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")


_GENERATED.mkdir(exist_ok=True)
write_settings()
write_tree()
write_commands()
