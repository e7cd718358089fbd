"""A run that has not come to its end is called so wherever its result is asked for."""

import dataclasses
from typing import ClassVar

import pytest
from cli_runs import DISCOVER, ran, refused

from toolkit.errors import UserError
from toolkit.files.locks import take
from toolkit.files.runs import RunFolder
from toolkit.files.unfinished import require_finished
from toolkit.files.writing import write_json
from toolkit.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class Example(Settings):
    kind: ClassVar[str] = "example"

    steps: int = setting(6500, "steps to take", minimum=1)


@pytest.fixture
def run(tmp_path):
    run = RunFolder.open(tmp_path / "run", Example(), {}, "cpu")
    run.save_checkpoint({"step": 334})
    run.close()
    return tmp_path / "run"


def refusal(path):
    with pytest.raises(UserError) as caught:
        require_finished(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        ("pick", "RUN"),
        ("segment", "RUN", "--out", "new"),
        ("browse", "RUN", "--no-open"),
        ("label", "RUN", "0", "sky"),
        ("export", "RUN", "--layout", "deformator", "--out", "new"),
        ("predict", "PHOTO", "--segmenter", "RUN", "--out", "new"),
        ("sample", "--generator", "RUN", "--out", "new.png"),
        ("embed", "PHOTOS", "--encoder", "RUN", "--out", "new.npy"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_wants_its_result(command, run, tmp_path):
    from toolkit.files.shipped import shipped_file

    (photo,) = list(shipped_file("photos").glob("*.jpg"))[:1]
    words = {"RUN": run, "PHOTO": photo, "PHOTOS": photo.parent}
    words |= {name: tmp_path / name for name in ("new", "new.png", "new.npy")}
    message = refused(*(words.get(word, word) for word in command))
    assert message.startswith(f"{run} holds an unfinished example run, stopped at step 334 of 6500; repeat the command")
    assert not list(tmp_path.glob("new*"))


def test_a_run_before_its_first_checkpoint(run):
    (run / "checkpoint.pt").unlink()
    assert "holds an unfinished example run, stopped early; repeat" in refusal(run / "directions.safetensors")


def test_a_run_under_way(run):
    lock = take(run / ".lock")
    message = refusal(run / "directions.safetensors")
    lock.release()
    assert message == f"{run} holds a example run that is under way at step 334 of 6500; wait for its end"


def test_a_finished_run_and_other_folders_are_not_called_so(run, tmp_path):
    require_finished(tmp_path / "directions.safetensors")
    write_json(run / "result.json", {"steps": 6500})
    require_finished(run / "directions.safetensors")
    assert "no direction set at" in refused("pick", run)


def test_damaged_records_are_no_traceback(run):
    (run / "checkpoint.pt").write_bytes(b"cut")
    (run / "config.toml").write_text("steps = [")
    write_json(run / "run.json", {"kind": "a\x1b[2Jb"})
    assert "holds an unfinished run, stopped early" in refusal(run / "directions.safetensors")


def test_a_finished_discovery_that_is_made_longer_still_opens(tmp_path):
    from toolkit.directions import DirectionSet

    ran("discover", "--generator", "scene", "--out", tmp_path, *DISCOVER)
    (tmp_path / "result.json").unlink()
    assert len(DirectionSet.load(tmp_path)) == 6
