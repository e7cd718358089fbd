"""File names that are no Unicode pass through every command and can be read back from what it wrote."""

import csv
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from cli_runs import ran

from toolkit.files.names import name_bytes, read_back, writable, written_name
from toolkit.files.writing import write_text
from toolkit.pictures.photos import write_picture

STRANGE = os.fsdecode(b"gr\xfcn\xff")
NAMES = [
    "a",
    "Blüte",
    STRANGE,
    "back\\slash",
    "a\\xffb",
    "\\x5c",
    STRANGE + "\\x41",
    "\ud800",
    "x\udc41y",
    "a\r",
    "\\\r",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_written_so_that_they_are_read_back(name):
    text = written_name(name)
    assert text.encode().decode() == text
    assert read_back(text) == name


def test_different_names_are_written_differently():
    assert len({written_name(name) for name in NAMES}) == len({name_bytes(name) for name in NAMES}) == len(NAMES)


def test_ordinary_names_stay_as_they_are():
    for name in ("a", "Blüte 1", "日本", "50%", "back\\slash", "a\nb"):
        assert written_name(name) == writable(name) == name
        assert name_bytes(name) == name.encode()
    assert written_name(STRANGE) == "gr\\xfcn\\xff"


def test_text_files_take_every_name(tmp_path):
    write_text(tmp_path / "a.txt", f"photo {STRANGE}")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "photo gr\\xfcn\\xff"


@pytest.fixture
def strange(tmp_path):
    """Two photos with masks, one of a name that is no UTF-8."""
    try:
        for name in (STRANGE, "plain"):
            picture = np.full((40, 40, 3), 30, np.uint8)
            picture[10:30, 10:30] = 220
            write_picture(tmp_path / "in" / f"{name}.png", picture)
            write_picture(tmp_path / "masks" / f"{name}.png", picture[..., 0] // 220 * 255)
    except (OSError, UnicodeError):
        pytest.skip("this system's file names are Unicode")
    return tmp_path


def test_eval_writes_such_names(strange):
    ran("eval", "--photos", strange / "in", "--masks", strange / "masks", "--out", strange / "o", "--name", "x")
    rows = list(csv.DictReader(io.StringIO((strange / "o" / "x.csv").read_text(encoding="utf-8"))))
    assert [read_back(row["name"]) for row in rows] == sorted([STRANGE, "plain"])


def test_embed_writes_such_names(strange):
    ran("embed", strange / "in", "--out", strange / "z.npy")
    files = json.loads((strange / "z.json").read_text(encoding="utf-8"))["files"]
    assert [read_back(name) for name in files] == [f"{name}.png" for name in sorted([STRANGE, "plain"])]
    assert "finished already" in ran("embed", strange / "in", "--out", strange / "z.npy")


def test_predict_and_its_faults_name_such_photos(strange):
    ran("predict", strange / "in", "--out", strange / "o", "--write", "mask")
    assert (strange / "o" / f"{STRANGE}_mask.png").is_file()
    (strange / "in" / f"{STRANGE}2.png").write_bytes(b"no picture")
    printed = ran("predict", strange / "in", "--out", strange / "o", "--write", "mask", "--skip-unreadable")
    assert "left out: cannot read the photo" in printed
    assert "gr\\xfcn\\xff2.png" in printed


def test_a_screen_of_few_letters_shows_every_name():
    code = (
        "from cli.runs.progress import console; from toolkit.files.names import print_every_name; print_every_name(); "
        f"console.print('left out', {STRANGE!r}, 'Blüte')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "left out gr\\xfcn\\xff Bl\\xfcte\n"
