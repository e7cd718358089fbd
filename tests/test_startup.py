"""What a command or an import loads: nothing that it does not use."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "assets" / "photos" / "flower.jpg"


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh Python holds after some code."""
    tops = "' '.join({name.partition('.')[0] for name in sys.modules})"
    lines = ["import sys", "try:", f"    {code}", "except SystemExit as end:", "    assert not end.code"]
    lines += [f"print({tops}, file=sys.stderr)"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_predicting_a_photo_loads_no_library_that_it_does_not_use(tmp_path):
    arguments = ["toolkit", "predict", str(PHOTO), "--out", str(tmp_path)]
    heavy = {"sympy", "scipy", "cv2", "torchvision", "matplotlib", "imageio", "tensorboard", "jinja2", "fastapi"}
    loaded = loaded_by(f"sys.argv = {arguments}; import cli.app; cli.app.main()") & heavy
    assert loaded <= loaded_by("import torch")  # torch 2.6 itself imports sympy
    assert len(list(tmp_path.glob("*.png"))) == 3


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"]])
def test_help_loads_neither_torch_nor_numpy(arguments):
    run = f"sys.argv = ['toolkit', *{arguments}]; import cli.app; cli.app.main()"
    assert not loaded_by(run) & {"torch", "numpy", "PIL"}
