"""Each kind of plug-in as a package of one file: found by its entry point, used through the command line."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from cli_runs import DISCOVER, ran, refused
from PIL import Image

from discovery.methods.search import DirectionSearch
from discovery.methods.table import METHODS, Method
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.masks.rules import MASK_RULES
from toolkit.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
SCENE = ("--generator", "scene@image_size=32", "--precision", "fp32")
PLAIN = ("--no-area-filter", "--no-histogram-filter", "--no-connected-components")

METHOD = '''
from dataclasses import dataclass
from typing import ClassVar

import torch

from discovery.methods.search import DirectionSearch, Findings
from discovery.methods.settings import SefaSettings
from discovery.methods.table import Method
from toolkit.directions import DirectionSet
from toolkit.settings import Settings, same_as, setting


@dataclass(frozen=True)
class ClimbSettings(Settings):
    """Climbing along one latent axis."""

    kind: ClassVar[str] = "discover climb"

    axis: int = setting(0, "the axis", minimum=0)
    steps: int = setting(3, "how far", minimum=1)
    log_every: int = setting(1, "steps between logged figures", minimum=1, watches=True)
    checkpoint_every: int = setting(1, "steps between checkpoints", minimum=1, watches=True)


@dataclass
class ClimbStep:
    step: int
    height: float


class ClimbState:
    def __init__(self, latent_dim):
        self.step, self.vector = 0, torch.zeros(latent_dim)

    def state_dict(self):
        return {"step": self.step, "vector": self.vector}

    def load_state_dict(self, state):
        self.step, self.vector = state["step"], state["vector"]


class ClimbSearch(DirectionSearch):
    label = "climbing"

    def __init__(self, generator, settings, engine):
        super().__init__(generator, settings, engine)
        self.climber = ClimbState(generator.latent_dim)

    @property
    def state(self):
        return self.climber

    def steps(self):
        while self.climber.step < self.total:
            self.climber.step += 1
            self.climber.vector[self.settings.axis] += 2
            yield ClimbStep(self.climber.step, float(self.climber.vector.sum()))

    def describe(self, figures):
        return f"at {figures['height']:.0f}"

    def result(self):
        vectors = self.climber.vector[None]
        scores = {"height": [float(vectors.sum())]}
        card = {"settings": self.settings.defining()}
        found = DirectionSet(vectors, self.generator.name, "climb", scores=scores, card=card)
        return Findings(found, {"steps": self.climber.step}, "reached the top")


METHOD = Method(ClimbSettings, "climb_plug:ClimbSearch", "The axis that was climbed.")
'''
RULE = """
import torch

from toolkit.masks.rules import MaskRule


def right_half(reference, after):
    masks = torch.zeros_like(after[:, 0], dtype=torch.bool)
    masks[..., masks.shape[-1] // 2 :] = True
    return masks


RULE = MaskRule("its right half", right_half)
"""
DEFORMATOR = """
from discovery.methods.deformator.deformators import Deformator


class Halved(Deformator):
    def deformed(self, shifts):
        return shifts / 2
"""
FAMILY = """
import torch

from generators.layouts import Family, Layout
from generators.own import OwnGenerator


def shapes(state):
    held = state.get("patterns")
    return {"patterns": tuple(held.shape) if held is not None and held.dim() == 4 else (1, 3, 32, 32)}


def build(weights, options):
    patterns = options.number("gain", 1.0) * weights.tensors["patterns"]
    return OwnGenerator(
        lambda z: torch.tanh(torch.tensordot(z, patterns, 1)), latent_dim=len(patterns), image_size=patterns.shape[-1]
    )


FAMILY = Family((Layout("a sum of patterns", shapes, build),))
"""
COMMAND = '''
import sys

import typer

print("imported", file=sys.stderr)


def twice(number: int) -> None:
    """Print twice a number."""
    if number > 100:
        from toolkit.errors import UserError

        raise UserError("too much")
    typer.echo(2 * number)
'''
PLUG_INS = {
    "climb_plug": ("methods", "climb", "METHOD", METHOD),
    "right_plug": ("mask_rules", "right-half", "RULE", RULE),
    "halved_plug": ("deformators", "halved", "Halved", DEFORMATOR),
    "pattern_plug": ("families", "patterns", "FAMILY", FAMILY),
    "twice_plug": ("commands", "twice", "twice", COMMAND),
}


def installed(folder: Path, module: str, group: str, name: str, place: str, source: str | None) -> None:
    """Put a package of one file, and what says so, into a folder of packages."""
    if source is not None:
        (folder / f"{module}.py").write_text(source)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[latent_toolkit.{group}]\n{name} = {module}:{place}\n")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    for module, (group, name, place, source) in PLUG_INS.items():
        installed(folder, module, group, name, place, source)
    return folder


@pytest.fixture(scope="module")
def toolkit(packages, tmp_path_factory):
    """Run the command line in a process that has the packages."""
    folder = tmp_path_factory.mktemp("work")
    paths = os.pathsep.join([str(packages), str(ROOT)])

    def run(*arguments: object, status: int = 0) -> subprocess.CompletedProcess:
        words = [sys.executable, "-P", "-c", "from cli.app import main; main()", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"}
        done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def contrast_set(tmp_path):
    vectors = torch.eye(16)[:1]
    card = {"source": {"generator": "scene@image_size=32"}}
    DirectionSet(vectors, "scene", "known", choice=Choice(0, 1, 3.0), card=card).save(tmp_path / "set.safetensors")
    return tmp_path / "set.safetensors"


def test_a_method_runs_as_our_own_do(toolkit, tmp_path):
    words = ("discover", "--method", "climb", "--axis", "5", *SCENE, "--out", tmp_path / "run")
    assert "reached the top" in toolkit(*words).stdout
    assert "resuming at step 3" in toolkit(*words, "--steps", "4").stdout
    directions = DirectionSet.load(tmp_path / "run")
    assert torch.equal(directions.vectors, torch.eye(16)[5:6])
    assert directions.scores == {"height": [8.0]}
    assert directions.card["source"] == {"generator": "scene@image_size=32"}
    assert (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[1:3] == [
        '{"step": 2, "height": 4.0}',
        '{"step": 3, "height": 6.0}',
    ]
    assert "The axis that was climbed." in (tmp_path / "run" / "report.html").read_text()
    assert "--axis goes with --method climb, not random" in toolkit(*words, "--method", "random", status=2).stderr
    help_text = toolkit("discover", "--help").stdout
    assert "--axis" in help_text
    assert "halved" in help_text


def test_a_mask_rule_makes_masks(toolkit, contrast_set, tmp_path):
    words = (contrast_set, "--mask-rule", "right-half", *PLAIN, "--precision", "fp32")
    toolkit("synthesize", *words, "--samples", "2", "--batch", "2", "--out", tmp_path / "pairs")
    for file in (tmp_path / "pairs" / "masks").iterdir():
        mask = np.asarray(Image.open(file))
        assert (mask[:, :16] == 0).all()
        assert (mask[:, 16:] == 255).all()
    tiny = ("--steps", "2", "--batch", "4", "--width", "4", "--validation-count", "4", "--out", tmp_path / "segmenter")
    assert "mean mask area 0.50" in toolkit("segment", *words, *tiny).stdout


def test_a_kind_of_deformator_shifts_latents(toolkit, tmp_path):
    words = ("discover", *SCENE, *DISCOVER, "--steps", "1", "--directions", "4", "--deformator", "halved")
    toolkit(*words, "--out", tmp_path / "run")
    directions = DirectionSet.load(tmp_path / "run")
    assert torch.equal(directions.vectors, torch.eye(16)[:4])
    assert directions.scores == {"length": [0.5] * 4}


def test_a_family_is_known_by_its_entries(toolkit, tmp_path):
    patterns = torch.linspace(-0.5, 0.7, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
    torch.save({"module.patterns": patterns}, tmp_path / "file.pt")
    np.save(tmp_path / "z.npy", np.array([[1.0, 2.0]], np.float32))
    words = ("--latents", tmp_path / "z.npy", "--out", tmp_path / "images.npy")
    toolkit("sample", "--generator", f"{tmp_path / 'file.pt'}@gain=0.5", *words)
    expected = torch.tanh(0.5 * (patterns[:1] + 2 * patterns[1:]))
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "images.npy")), expected)
    torch.save({"module.other": patterns}, tmp_path / "file.pt")
    assert "a sum of patterns" in toolkit("sample", "--generator", tmp_path / "file.pt", *words, status=2).stderr


def test_a_command_is_listed_without_being_imported(toolkit):
    listing = toolkit("--help")
    assert "twice" in listing.stdout
    assert "a plug-in of twice_plug" in listing.stdout
    assert "imported" not in listing.stderr
    assert toolkit("twice", 21).stdout == "42\n"
    assert "Print twice a number." in toolkit("twice", "--help").stdout
    assert toolkit("twice", 101, status=2).stderr.endswith("error: too much\n")


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Packages that offer what is not there, not whole, or twice."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for group in ("methods", "mask_rules", "deformators", "families", "commands"):
        installed(folder, f"absent_{group}", group, "absent", "THING", None)
        installed(folder, f"wrong_{group}", group, "wrong", "THING", "THING = 3\n")
    for module in ("first_plug", "second_plug"):
        installed(folder, module, "mask_rules", "double", "RULE", RULE)
    installed(folder, "own_plug", "mask_rules", "lighting", "RULE", RULE)
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "reason"),
    [("absent", "ModuleNotFoundError: No module named 'absent_"), ("wrong", "it is int, but has to")],
)
def test_what_cannot_be_used_is_named_in_a_line_and_hinders_nothing_else(
    broken, contrast_set, tmp_path, monkeypatch, name, reason
):
    monkeypatch.chdir(tmp_path)
    end = "update or uninstall {0}"

    def message(kind: str, group: str) -> str:
        return f"the {kind} '{name}' of {name}_{group} cannot be used: {name}_{group}:THING: "

    for kind, group, words in (
        ("discovery method", "methods", ("discover", "--method", name, *SCENE, "--out", "run")),
        (
            "mask rule",
            "mask_rules",
            ("synthesize", contrast_set, "--mask-rule", name, "--samples", "2", "--out", "pairs"),
        ),
        ("command", "commands", (name,)),
    ):
        told = refused(*words)
        assert told.startswith(message(kind, group) + reason)
        assert told.endswith(end.format(f"{name}_{group}"))
    told = refused("discover", *SCENE, *DISCOVER, "--deformator", name, "--out", "run")
    assert told.startswith(message("deformator", "deformators"))
    assert not (tmp_path / "run").exists()
    assert "absent" in ran("--help")
    ran("discover", "--method", "random", "--directions", "2", *SCENE, "--out", "run")
    torch.save({"patterns": torch.ones(2, 2)}, "file.pt")
    assert "'absent' of absent_families cannot be used" in refused("sample", "--generator", "file.pt", "--out", "x.png")


def test_two_packages_of_one_name_are_named_and_our_own_names_stay_ours(broken):
    with pytest.raises(
        UserError, match=r"several packages offer a mask rule 'double': first_plug:RULE, second_plug:RULE"
    ):
        MASK_RULES["double"]
    assert MASK_RULES["lighting"].description == "the shift brightens it"
    assert list(MASK_RULES)[:3] == ["lighting", "mean_thr", "light-dark"]


@pytest.mark.parametrize("name", ["os:system", "toolkit.masks.comparisons:lighting", "", "Lighting"])
def test_a_name_selects_an_entry_and_imports_nothing(name):
    assert name not in MASK_RULES
    with pytest.raises(KeyError):
        MASK_RULES[name]


@dataclass(frozen=True)
class Unnamed(Settings):
    """Settings without a kind of their own."""


@dataclass(frozen=True)
class Named(Settings):
    kind: ClassVar[str] = "discover named"


class WithoutResult(DirectionSearch):
    pass


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((Unnamed, "a:b", "it"), "a subclass of toolkit.settings.Settings with a kind of their own"),
        ((int, "a:b", "it"), "a subclass of toolkit.settings.Settings with a kind of their own"),
        ((Named, "a.b", "it"), "the place of a DirectionSearch, package.module:name"),
        ((Named, "a:b", " "), "its explanation, for the report, is missing"),
    ],
)
def test_a_method_that_lacks_a_part_is_refused_when_it_is_made(parts, text):
    with pytest.raises(UserError, match=text):
        Method(*parts)


@pytest.mark.parametrize(
    ("place", "scales", "text"),
    [
        (f"{__name__}:WithoutResult", False, "WithoutResult lacks result"),
        (f"{__name__}:Named", False, "Named has to be a subclass of"),
        ("discovery.methods.closed_form:RandomSearch", True, "RandomSearch lacks bytes_needed"),
    ],
)
def test_a_search_that_lacks_a_part_is_refused_before_it_starts(place, scales, text):
    with pytest.raises(UserError, match=text):
        Method(Named, place, "it", scales).opened()


@pytest.mark.parametrize("name", METHODS.own)
def test_every_method_of_ours_is_whole(name):
    assert METHODS[name].opened().result
