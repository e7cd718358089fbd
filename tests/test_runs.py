"""The run folder: taken up again by the same command, refused to any other, and its logs fit its checkpoint."""

import dataclasses
import json
import os
from typing import ClassVar

import pytest
import torch

from toolkit.errors import UserError
from toolkit.files.runs import RunFolder
from toolkit.files.writing import read_json
from toolkit.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class Example(Settings):
    kind: ClassVar[str] = "example"

    steps: int = setting(10, "steps to take", minimum=1)
    rate: float = setting(0.1, "learning rate", above=0)
    bound: float | None = setting(None, "bound", above=0)


class Other(Example):
    kind: ClassVar[str] = "other"


INPUTS = {"generator": "flowers64"}


def opened(path, settings=None, inputs=INPUTS, **options) -> RunFolder:
    return RunFolder.open(path, settings or Example(), inputs, "cpu, fp32, 1 threads", **options)


def begun(path) -> None:
    """Leave a run folder with a step of work in it."""
    run = opened(path)
    run.log(1, loss=1.0)
    run.close()


def refusal(*arguments, **options) -> str:
    with pytest.raises(UserError) as caught:
        opened(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_a_new_run_writes_down_what_it_is(out):
    run = opened(out)
    record = read_json(out / "run.json")
    assert (record["kind"], record["inputs"], record["engine"]) == ("example", INPUTS, "cpu, fp32, 1 threads")
    assert record["torch"] == torch.__version__
    assert record["command"].startswith("toolkit")
    assert record["resumed"] == []
    assert "rate = 0.1" in (out / "config.toml").read_text()
    assert run.result is None
    assert run.metrics() == []
    assert run.load_checkpoint() is None


def test_the_same_settings_take_it_up_again(out):
    opened(out)
    started = read_json(out / "run.json")["started"]
    opened(out)
    opened(out)
    record = read_json(out / "run.json")
    assert record["started"] == started
    assert len(record["resumed"]) == 2


def test_a_run_of_another_kind_is_refused(out):
    opened(out)
    assert refusal(out, Other()) == f"{out} holds a example run, not other; choose another output folder"


@pytest.mark.parametrize(
    ("settings", "inputs", "text"),
    [
        (Example(rate=0.2), INPUTS, "rate was 0.1, now 0.2"),
        (Example(bound=1.0), INPUTS, "bound was None, now 1.0"),
        (Example(steps=11, rate=0.2), INPUTS, "steps was 10, now 11; rate was 0.1, now 0.2"),
        (Example(), {"generator": "scene"}, "generator was 'flowers64', now 'scene'"),
        (Example(), {}, "generator was 'flowers64', now None"),
        (Example(), {**INPUTS, "photos": "p"}, "photos was None, now 'p'"),
    ],
)
def test_other_settings_or_inputs_are_refused(out, settings, inputs, text):
    begun(out)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    expected = f"{out} holds a run begun otherwise: {text}; repeat that command or choose another output folder"
    assert refusal(out, settings, inputs) == expected
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_a_setting_that_may_be_extended(out):
    begun(out)
    opened(out, Example(steps=20), extendable=("steps",))
    assert "steps = 20" in (out / "config.toml").read_text()
    assert "rate was" in refusal(out, Example(steps=20, rate=0.2), extendable=("steps",))


def test_a_run_older_than_a_setting_had_that_setting_s_default(out):
    begun(out)
    config = (out / "config.toml").read_text().replace("rate = 0.1\n", "")
    (out / "config.toml").write_text(config)
    assert "rate was 0.1, now 0.2" in refusal(out, Example(rate=0.2))
    opened(out).close()


def test_a_refused_start_leaves_nothing_to_protect(out):
    opened(out).close()
    opened(out, Example(rate=0.2)).close()
    assert "rate = 0.2" in (out / "config.toml").read_text()


def test_a_folder_with_other_files_is_refused(out):
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    assert refusal(out) == f"{out} holds other files and no run; choose an empty or new output folder"
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_places_that_take_nothing(out):
    out.write_text("x")
    assert "it is a file" in refusal(out)
    assert "cannot write into" in refusal(out / "below")
    if os.path.isdir("/proc/self"):
        assert "cannot write into" in refusal("/proc/no-such-folder")


def test_a_damaged_record_is_named(out):
    begun(out)
    (out / "run.json").write_text('{"kind": ')
    assert "run.json is not a JSON file" in refusal(out)
    (out / "run.json").write_text("{}")
    assert "holds a None run, not example" in refusal(out)


def logged(out, steps, scale=1.0):
    run = opened(out)
    run.load_checkpoint()
    for step in steps:
        run.log(step, loss=step * scale, rate=0.5)
    return run


def test_the_log_reads_back(out):
    run = logged(out, [1, 2])
    run.close()
    assert run.metrics() == [{"step": 1, "loss": 1.0, "rate": 0.5}, {"step": 2, "loss": 2.0, "rate": 0.5}]


def test_resuming_drops_what_was_logged_after_the_checkpoint(out):
    run = logged(out, [1, 2])
    run.save_checkpoint({"step": 2, "x": torch.ones(3)})
    run.log(3, loss=3.0, rate=0.5)
    run.log(4, loss=4.0, rate=0.5)
    run.close()

    again = opened(out)
    state = again.load_checkpoint()
    assert state is not None
    assert state["step"] == 2
    assert torch.equal(state["x"], torch.ones(3))
    assert [line["step"] for line in again.metrics()] == [1, 2]
    again.log(3, loss=30.0, rate=0.5)
    again.close()
    assert [line["loss"] for line in again.metrics()] == [1.0, 2.0, 30.0]


def test_without_a_checkpoint_the_log_starts_afresh(out):
    logged(out, [1, 2]).close()
    again = opened(out)
    assert again.load_checkpoint() is None
    assert again.metrics() == []


@pytest.mark.parametrize("rest", ['{"step": 3, "lo', '{"step": 3, "loss": 1.', "{", '{"step": 3, "loss": 3.0}'])
def test_a_last_line_cut_short_does_no_harm(out, rest):
    run = logged(out, [1, 2])
    run.save_checkpoint({"step": 3})
    run.close()
    with (out / "metrics.jsonl").open("a") as handle:
        handle.write(rest)
    again = opened(out)
    whole = [1, 2, 3] if rest.endswith("}") else [1, 2]
    assert [line["step"] for line in again.metrics()] == whole
    again.load_checkpoint()
    again.log(4, loss=4.0)
    again.close()
    assert [line["step"] for line in again.metrics()] == [*whole, 4]
    assert all(json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines())


def test_a_damaged_checkpoint_is_named_and_stays(out):
    run = opened(out)
    run.save_checkpoint({"step": 2, "x": torch.ones(1000)})
    content = run.checkpoint.read_bytes()[:-200]
    run.checkpoint.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read .*checkpoint\.pt as the checkpoint: it is damaged"):
        opened(out).load_checkpoint()
    assert run.checkpoint.read_bytes() == content


@pytest.mark.parametrize("state", [{"x": 1}, [1, 2]])
def test_a_checkpoint_of_something_else(out, state):
    run = opened(out)
    torch.save(state, run.checkpoint)
    with pytest.raises(UserError, match=r"checkpoint\.pt holds no state of a run; delete it to start again"):
        run.load_checkpoint()


def test_the_result_says_that_it_is_done(out):
    run = logged(out, [1])
    assert run.result is None
    run.finish({"iou": 0.75, "steps": 1})
    assert run.result == {"iou": 0.75, "steps": 1}
    assert opened(out).result == {"iou": 0.75, "steps": 1}


def scalars(out, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(out / "tensorboard"))
    board.Reload()
    return [(event.step, event.value) for event in board.Scalars(name)]


def test_tensorboard_reads_the_same_numbers(out):
    logged(out, [1, 2, 5]).finish({})
    assert scalars(out, "loss") == [(1, 1.0), (2, 2.0), (5, 5.0)]
    assert scalars(out, "rate") == [(1, 0.5), (2, 0.5), (5, 0.5)]


@pytest.mark.parametrize("checkpoint", [2, None])
def test_tensorboard_forgets_what_was_logged_after_the_checkpoint(out, checkpoint):
    run = logged(out, [1, 2])
    if checkpoint is not None:
        run.save_checkpoint({"step": checkpoint})
    run.log(3, loss=3.0)
    run.log(4, loss=4.0)
    run.close()
    again = logged(out, [3] if checkpoint else [1, 2, 3], scale=10.0)
    again.close()
    assert scalars(out, "loss") == [(line["step"], line["loss"]) for line in again.metrics()]
    assert scalars(out, "loss")[-1] == (3, 30.0)


def test_a_diverged_run_is_told_at_once(tmp_path):
    run = opened(tmp_path / "run", Example())
    with pytest.raises(UserError, match=r"loss became NaN or infinite at step 3"):
        run.log(3, loss=float("nan"), rate=1.0)
    assert run.metrics() == []


def test_the_first_files_of_a_killed_start_are_no_obstacle(out):
    out.mkdir()
    (out / ".lock").touch()
    (out / ".0123456789ab.tmp").mkdir()
    opened(out).close()
    (out / "run.json").unlink()  # as an earlier version, which wrote it second, left it
    opened(out).close()
    assert sorted(path.name for path in out.iterdir()) == ["config.toml", "run.json"]


def test_settings_of_somebody_else_are_an_obstacle(out):
    out.mkdir()
    Example(rate=0.3).save(out / "config.toml")
    before = (out / "config.toml").read_bytes()
    assert "holds other files and no run" in refusal(out)
    assert [(path.name, path.read_bytes()) for path in out.iterdir()] == [("config.toml", before)]


def test_the_record_is_written_before_the_settings(out, monkeypatch):
    def killed(self, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(Example, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        opened(out)
    assert [path.name for path in out.iterdir()] == ["run.json"]
    monkeypatch.undo()
    opened(out).close()


def test_what_a_killed_process_left_anywhere_below_goes(out):
    begun(out)
    (out / "charts" / ".0123456789ab.tmp" / "deep").mkdir(parents=True)
    opened(out).close()
    assert list((out / "charts").iterdir()) == []


def test_a_run_that_was_refused_is_not_kept_from_others(out):
    begun(out)
    refusal(out, Example(rate=0.2))
    assert not (out / ".lock").exists()


def test_another_number_of_steps_is_told_in_a_sentence(out):
    begun(out)
    fewer = f"{out} holds a run of 10 steps, and steps is 9 now; it can only be made longer; repeat that command or "
    assert refusal(out, Example(steps=9), extendable=("steps",)) == fewer + "choose another output folder"
    assert "steps is 11 now; it can be made neither shorter nor longer" in refusal(out, Example(steps=11))


def test_a_resumed_run_s_checkpoint_has_the_same_bytes(out):
    network = torch.nn.BatchNorm1d(2)
    state = {"step": 2, "network": network.state_dict(), "names": ["".join(("st", "ep"))], "step_": {"step": 1}}
    run = opened(out)
    run.save_checkpoint(state)
    written = run.checkpoint.read_bytes()
    again = run.load_checkpoint()
    again["network"] = network.state_dict()
    run.save_checkpoint(again)
    run.close()
    assert run.checkpoint.read_bytes() == written
    assert again["network"]._metadata == network.state_dict()._metadata


def test_a_record_of_an_earlier_version_lacks_what_came_later_and_is_resumed(out):
    begun(out)
    record = read_json(out / "run.json")
    (out / "run.json").write_text(json.dumps({name: record[name] for name in ("kind", "inputs")}))
    opened(out).close()
    again = read_json(out / "run.json")
    assert list(again) == list(record)
    assert len(again["resumed"]) == 1
