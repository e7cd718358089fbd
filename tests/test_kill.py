"""Kill -9 at any point, the same command again: the files of an unbroken command, byte for byte, and no other.

`python -m tests.kills` does the same with every command and as many kills as one likes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.runs.progress import StopRequest, console, ending_in_order, ending_signals

_ROOT = Path(__file__).parent.parent
_START = "from cli.app import main; main()"
_QUICK = ("discover", "pick-out", "label", "shards", "segment", "embed", "pull")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
needs_hangup = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP")


def _campaign(out: Path, *flags: object) -> dict:
    line = [sys.executable, "-m", "tests.kills", "--out", str(out), "--cases", ",".join(_QUICK), *map(str, flags)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


def _faults(tallies: dict) -> list[str]:
    return [line for tally in tallies.values() for kind in ("different", "refused", "left") for line in tally[kind]]


@needs_fork
def test_killed_and_repeated_a_command_leaves_what_an_unbroken_one_leaves(tmp_path):
    out = tmp_path / "kills.json"
    line = [sys.executable, "-m", "tests.kills", "--out", str(out), "--cases", ",".join(_QUICK)]
    line += ["--count", str(2 * len(_QUICK)), "--full", str(len(_QUICK))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    tallies = json.loads(out.read_text())
    faults = [line for tally in tallies.values() for kind in ("different", "refused", "left") for line in tally[kind]]
    assert faults == []
    assert sum(tally["kills"] for tally in tallies.values()) >= 2 * len(_QUICK)  # some are killed again
    assert all(tally["full"] == 1 for tally in tallies.values())


def _discovery(out: Path) -> subprocess.Popen:
    """Return a discovery under way, once it has saved its first checkpoint."""
    flags = (
        "--generator", "scene@image_size=32", "--steps", 2000, "--batch", 4, "--directions", 4, "--reconstructor",
        "lenet", "--validation-batches", 1, "--checkpoint-every", 1, "--log-every", 1, "--out", out,
    )  # fmt: skip
    line = [sys.executable, "-c", _START, "discover", *map(str, flags)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120
    while not (out / "checkpoint.pt").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@needs_hangup
def test_a_discovery_whose_terminal_closes_saves_its_step_and_lets_go(tmp_path):
    process = _discovery(tmp_path / "run")
    process.send_signal(signal.SIGHUP)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 130, output
    assert "stopp" not in output  # nobody can read it
    assert not list((tmp_path / "run").glob(".*"))
    assert (tmp_path / "run" / "checkpoint.pt").exists()


@needs_hangup
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)])
def test_a_command_that_has_no_steps_is_ended_like_by_ctrl_c(number, monkeypatch):
    monkeypatch.setattr(console, "quiet", False)
    with pytest.raises(KeyboardInterrupt), ending_in_order():
        signal.raise_signal(number)
    assert console.quiet == (number == getattr(signal, "SIGHUP", None))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@needs_hangup
def test_a_loop_asked_to_end_by_a_closed_terminal_ends_silently(monkeypatch):
    monkeypatch.setattr(console, "quiet", False)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert stop
        assert console.quiet


@needs_hangup
def test_nohup_is_heeded():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in ending_signals()
        with ending_in_order(), StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)
