"""The shape of the code base: who imports whom, what is loaded when, what is shipped."""

import ast
import importlib.resources
import subprocess
import sys
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
        wrong = (imported(path) & set(MAY_IMPORT)) - allowed
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_assets_hold_no_code():
    for path in (ROOT / "assets").rglob("*.py"):
        assert not imported(path), path


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
        "generators.settings",
        "generators.encoder_settings",
        "discovery.settings",
        "discovery.method_settings",
        "discovery.comparison_settings",
        "segmentation.self_training_settings",
        "segmentation.synthesize_settings",
        "toolkit.files",
        "toolkit.errors",
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


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
