"""The shape of the code base: who imports whom, what is loaded when, what is shipped."""

import ast
import importlib.resources
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "assets": set(),
    "toolkit": set(),
    "generators": {"toolkit"},
    "discovery": {"generators", "toolkit"},
    "segmentation": {"generators", "toolkit"},
    "cli": {"discovery", "segmentation", "generators", "toolkit"},
}
# The face names what it fetches from above, when it is asked for it; `python -m toolkit` is the command line.
MAY_LOOK_UP = {"toolkit/__init__.py", "toolkit/__main__.py"}
SOURCES = [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Every top-level module named by an import anywhere in the file, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(str(node.module).split(".")[0])
    return found


def test_the_reader_of_imports_sees_nested_ones(tmp_path):
    source = "import a.b\ndef f():\n    from c.d import e\n    if x:\n        import g as h\n"
    (tmp_path / "m.py").write_text(source)
    assert imported(tmp_path / "m.py") == {"a", "c", "g"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_downward_only(package):
    allowed = MAY_IMPORT[package] | {package}
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.relative_to(ROOT).as_posix() in MAY_LOOK_UP:
            continue
        wrong = (imported(path) & set(MAY_IMPORT)) - allowed
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_assets_hold_no_code():
    for path in (ROOT / "assets").rglob("*.py"):
        assert not imported(path), path


def test_benchmarks_import_no_command():
    for path in (ROOT / "benchmarks").glob("*.py"):
        assert "cli" not in imported(path), path


# Texts of libraries name settings and arguments (toolkit.errors.named) and commands (toolkit.command_line.command):
# one module alone knows how a shell spells them.
SPELLS_FLAGS = {"toolkit/command_line.py"}
FLAG = re.compile(r"(?<![\w-])--[a-z]")


def in_shell_words(tree: ast.AST, commands: re.Pattern[str]) -> list[str]:
    """String literals that name flags or commands, but docstrings and what is handed to `command`."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "command":
            skipped |= {id(child) for child in ast.walk(node)}
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in skipped
        and (FLAG.search(node.value) or commands.search(node.value))
    ]


def test_libraries_name_values_and_the_command_line_flags():
    from cli.app import _COMMANDS, _GROUPS

    commands = re.compile(rf"\btoolkit ({'|'.join([*_COMMANDS, *_GROUPS])})\b")
    assert in_shell_words(ast.parse("x = f'give --min-area {y}'\nz = 'run toolkit pick'"), commands)
    assert not in_shell_words(ast.parse("'''toolkit pick'''\nx = command('pick', '--out')\ny = '--'"), commands)
    for path in SOURCES:
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith(("cli/", *SPELLS_FLAGS)):
            assert in_shell_words(ast.parse(path.read_text(encoding="utf-8")), commands) == [], place


def test_no_package_imports_the_tests():
    tests = {path.stem for path in (ROOT / "tests").glob("*.py")} | {"tests"}
    for path in SOURCES:
        assert not imported(path) & tests, path


def test_the_command_line_starts_without_the_heavy_libraries():
    heavy = ("torch", "torchvision", "numpy", "scipy", "matplotlib", "PIL", "imageio", "tensorboard")
    code = f"import sys, cli.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module",
    [
        "toolkit.settings",
        "generators.compact.settings",
        "generators.encoder.settings",
        "discovery.settings",
        "discovery.methods.settings",
        "discovery.methods.table",
        "discovery.comparing.settings",
        "segmentation.self_training.settings",
        "segmentation.synthesis.settings",
        "segmentation.video.settings",
        "toolkit.files.writing",
        "toolkit.masks.rules",
        "toolkit.plug_ins",
        "toolkit.errors",
        "toolkit.watch",
        "toolkit.command_line",
        "toolkit.compute.planning",
        "segmentation.export.settings",
        "segmentation.objects.settings",
        "cli.learning.recipe",
        "cli.learning.plan",
        "cli.learning.verdicts",
    ],
)
def test_settings_need_nothing_beyond_the_standard_library(module):
    code = (
        f"import sys, {module}; tops = {{name.split('.')[0] for name in sys.modules}}; "
        "print(sorted(tops & {'torch', 'numpy', 'scipy', 'typer', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_every_package_says_what_it_is(package):
    folders = {path.parent for path in (ROOT / package).rglob("*.py")} | {ROOT / package}
    for folder in folders:
        tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), folder


def test_every_asset_is_reachable_as_a_resource():
    root = ROOT / "assets"
    shipped = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert len(shipped) > 1
    for path in shipped:
        resource = importlib.resources.files("assets").joinpath(*path.relative_to(root).parts)
        assert resource.is_file(), path
        assert resource.read_bytes() == path.read_bytes()


# A room is taken in at a glance while it holds a dozen or so; a file of any length says one thing, if its name does.
MOST_MODULES = 15
AS_MANY_AS_THERE_ARE = {"cli/commands"}  # one module a command, which nobody has to look for


def test_rooms_stay_small():
    modules = Counter(path.parent.relative_to(ROOT).as_posix() for path in SOURCES if path.name != "__init__.py")
    assert {room for room, count in modules.items() if count > MOST_MODULES} <= AS_MANY_AS_THERE_ARE


# What runs code or starts programs, and the one file that may (generators.own.trust says when its callers do).
RUNS_CODE: dict[str, set[str]] = {
    "importlib.import_module": {"cli/app.py", "generators/own/factories.py"},  # the first: its own table of commands
    "importlib.metadata": {"toolkit/plug_ins.py"},
    "pkgutil.resolve_name": {"toolkit/plug_ins.py"},
    "toolkit.plug_ins.resolved": {"discovery/methods/table.py", "toolkit/__init__.py", "toolkit/masks/rules.py"},
    "importlib.util.find_spec": {
        "generators/own/modules.py",
        "generators/tensorflow/encoder.py",
        "toolkit/pictures/animation.py",
    }
    | {"toolkit/pictures/picture_files.py"},
    "torch.jit.load": {"generators/own/programs.py"},
    "torch.export.load": {"generators/own/programs.py"},
    "tensorflow.saved_model.load": {"generators/tensorflow/encoder.py"},
    "torch.load": {"toolkit/files/artefacts.py"},
    "numpy.load": {"generators/protocol.py"},
    "subprocess": {"cli/runs/processes.py"},
    "webbrowser": {"cli/commands/browse.py"},
}
NEVER = (
    *("pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "runpy", "imp", "code", "yaml", "ctypes", "pty"),
    *("builtins.eval", "builtins.exec", "builtins.__import__", "os.system", "os.popen", "os.startfile"),
    *("os.execv", "os.execvp", "os.spawnv", "os.posix_spawn", "multiprocessing", "torch.hub"),
)
RUNS_CODE |= {name: set() for name in NEVER}
RUNS_CODE["pickle"] = {
    "toolkit/untrusted/old_pickles.py"
}  # its own class, for which every name stands for the same inert thing
_BUILTINS = ("eval", "exec", "__import__")


def reached(tree: ast.AST) -> set[str]:
    """Every dotted name in the code, by the names under which modules and their parts were imported."""
    known = {name: f"builtins.{name}" for name in _BUILTINS}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            tops = [alias.name.partition(".")[0] for alias in node.names]
            known |= dict(zip(tops, tops, strict=True)) | {
                alias.asname: alias.name for alias in node.names if alias.asname
            }
        elif isinstance(node, ast.ImportFrom):
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    found = set(known.values()) - {f"builtins.{name}" for name in _BUILTINS}
    for node in ast.walk(tree):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in known:
            found.add(".".join([known[node.id], *parts]))
    return found


def running(tree: ast.AST) -> set[str]:
    """Those of RUNS_CODE that the code reaches."""
    names = reached(tree)
    return {rule for rule in RUNS_CODE if any(f"{name}.".startswith(f"{rule}.") for name in names)}


@pytest.mark.parametrize(
    ("source", "rules"),
    [
        ("import torch\nx = torch.load(p)", {"torch.load"}),
        ("import torch as t\nx = [t.jit.load]", {"torch.jit.load"}),
        ("def f():\n    from torch import load as read\n    return read(p)", {"torch.load"}),
        ("from importlib import import_module", {"importlib.import_module"}),
        ("import importlib\nimportlib.import_module(name)", {"importlib.import_module"}),
        ("exec(text)", {"builtins.exec"}),
        ("network.eval()\nre.compile(x)\nstate.load(y)", set()),
        ("import os\nos.system('x')", {"os.system"}),
        ("import numpy as np\nnp.load(p)", {"numpy.load"}),
    ],
)
def test_the_reader_of_names_sees_them_under_other_names(source, rules):
    assert running(ast.parse(source)) == rules


def test_code_is_run_in_its_one_place_only():
    places: dict[str, set[str]] = {rule: set() for rule in RUNS_CODE}
    for path in SOURCES:
        for rule in running(ast.parse(path.read_text(encoding="utf-8"))):
            places[rule].add(path.relative_to(ROOT).as_posix())
    assert places == RUNS_CODE


@pytest.mark.parametrize(
    ("called", "flag", "value"), [("torch.load", "weights_only", "True"), ("np.load", "allow_pickle", "False")]
)
def test_pickles_are_never_read_blindly(called, flag, value):
    calls = [
        node
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == called
    ]
    assert calls
    for call in calls:
        flags = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert flags.get(flag) == value


def private_to_torch(tree: ast.AST) -> set[str]:
    """Names of torch that are not public, reached as attributes, by imports or by getattr."""
    names = {name for name in reached(tree) if name.partition(".")[0] == "torch"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
            whose = ast.unparse(node.args[0])
            names |= {f"{whose}.{ast.unparse(node.args[1])}"} if whose.partition(".")[0] == "torch" else set()
    public = "__version__", "__file__"
    return {
        name for name in names if any(part.startswith(("_", "'")) and part not in public for part in name.split("."))
    }


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import torch\ntorch._foreach_copy_(a, b)", {"torch._foreach_copy_"}),
        ("def f():\n    from torch._dynamo.exc import E", {"torch._dynamo.exc.E"}),
        ("import torch\ngetattr(torch.cpu, '_is')", {"torch.cpu.'_is'"}),
        ("import torch\ntorch.__version__\nself._x", set()),
    ],
)
def test_the_reader_of_private_names_sees_them(source, found):
    assert private_to_torch(ast.parse(source)) == found


def test_private_names_of_torch_are_used_in_one_module_only():
    fence = ROOT / "toolkit" / "compute" / "torch_private.py"
    assert private_to_torch(ast.parse(fence.read_text(encoding="utf-8")))
    for path in [*SOURCES, *(ROOT / "benchmarks").glob("*.py")]:
        if path != fence:
            assert not private_to_torch(ast.parse(path.read_text(encoding="utf-8"))), path
