"""Damaged files of every kind end in a value or in one line; a reader that nobody damages files for fails here."""

import ast
import shutil
import sys
import warnings
from pathlib import Path

import pytest
from fuzzing.__main__ import run
from fuzzing.readers import READERS
from fuzzing.samples import write_all

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cli", "discovery", "generators", "segmentation", "toolkit")
COUNT = 7 * len(READERS)
# Whatever takes a file's content apart. All that call one of these are to be among the readers, or below.
PARSERS = {
    "json.load", "json.loads", "tomllib.load", "tomllib.loads", "np.load", "np.fromfile", "np.loadtxt", "torch.load",
    "safe_open", "Image.open", "tarfile.open", "zipfile.ZipFile", "pickle.load", "pickle.loads", "read_text",
    "path.read_text", "parse_json", "parse_toml", "torch.jit.load", "torch.export.load", "read_bytes",
    "read_pickle", "av.open",
}  # fmt: skip
NO_READERS = {
    "toolkit.clips.writing.write_segment": "a clip that is written",
    "toolkit.clips.writing.join": "a clip that is written",
    "toolkit.compute.programs.save_script": "a program that this process has just written",
    "toolkit.compute.precision._cpu": "what the system says of its processor, of which a digest is taken",
    "toolkit.untrusted.text.parse_toml": "the guard itself",
    "toolkit.files.artefacts._in_one_order": "what this process has just serialised",
    "toolkit.files.writing._contents": "bytes that are compared with others, and not taken apart",
    "toolkit.pictures.picture_files._open_heif": "photos of an extra, as others are read",
    "toolkit.pictures.report.picture_file": "pictures that this process has just written",
    "toolkit.pictures.report.write": "the template that is shipped",
    "cli.browse.pictures.animation": "an animation that this process has just written",
    "cli.learning.run._finish": "a segmenter that was loaded a line before, copied byte by byte",
    "cli.serve.token.token_of": "a secret, which has to be of printable characters and is compared with others",
    "cli.runs.processes._reported": "what a process of the same command has just written",
    "generators.own.programs.load_script": "a program that the user named, which is run",
    "generators.own.programs.load_exported": "a program that the user named, which is run",
    "toolkit.hub.sharing.prepare": "an artefact that was loaded a line before, sent byte by byte",
    "toolkit.hub.sharing._is_ours": "text in which one line is looked for, and that is not taken apart",
}


def _called(node: ast.Call) -> set[str]:
    """The names by which a call may stand in PARSERS: as written, and without what is before its last dot."""
    name = ast.unparse(node.func)
    return {name, name.rpartition(".")[2]} if name.endswith((".read_text", ".read_bytes")) else {name}


def _functions_that_parse(path: Path) -> set[str]:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    found = set()
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            if any(_called(call) & PARSERS for call in calls):
                found.add(f"{module}.{function.name}")
    return found


def test_every_function_that_takes_files_apart_is_among_the_readers():
    sources = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    found = set().union(*map(_functions_that_parse, sources))
    covered = {function for reader in READERS.values() for function in reader.functions}
    assert found - covered - set(NO_READERS) == set()
    assert (covered | set(NO_READERS)) - found == set()


def test_the_search_for_readers_sees_nested_ones(tmp_path, monkeypatch):
    (tmp_path / "m.py").write_text(
        "class A:\n  def f(self):\n    with np.load(p) as x: pass\n  def g(s): s.p.read_text()\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert _functions_that_parse(tmp_path / "m.py") == {"m.f", "m.g"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "files"
    write_all(folder)
    return folder


@pytest.mark.parametrize("name", READERS)
def test_every_reader_reads_its_whole_file(name, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "files")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        READERS[name].read(tmp_path / "files")


@pytest.mark.skipif(sys.platform == "win32", reason="limits of memory are POSIX's")
def test_damaged_files_end_in_a_value_or_in_one_line():
    counts, faults = run(COUNT, seed=0, readers=[])
    assert not faults, "\n".join(f"{fault['reader']}, number {fault['number']}: {fault['why']}" for fault in faults)
    assert set(counts) == set(READERS)
    assert sum(ends["refused"] for ends in counts.values()) > COUNT / 3
    assert sum(ends["read"] for ends in counts.values()) > COUNT / 10
