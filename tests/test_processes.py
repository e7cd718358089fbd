"""--processes from outside: one that dies ends all, Ctrl-C leaves a state, and what was saved goes on."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from cli_runs import refused

from cli.runs.sharing import Processes

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
_ENDLESS = (
    "discover", "--generator", "scene", "--steps", "100000", "--batch", "4", "--directions", "6", "--reconstructor",
    "lenet", "--validation-batches", "2", "--checkpoint-every", "5", "--log-every", "5",
)  # fmt: skip


def _started(out: Path, *more: str, environment: Mapping[str, str] = MappingProxyType({})) -> subprocess.Popen:
    line = [sys.executable, "-c", "from cli.app import main; main()", *_ENDLESS, "--out", str(out), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _workers(process: subprocess.Popen) -> list[int]:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in found]


def _gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def _until(true, process: subprocess.Popen, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def _newer(path: Path, than: float) -> bool:
    return path.exists() and path.stat().st_mtime > than


def _but_notes(errors):
    """The lines of stderr but for the note on how long a run takes, which a machine that is slow at the time prints."""
    return [line for line in errors.splitlines() if not line.startswith("note: ")]


def test_a_process_that_is_killed_ends_all_and_the_command_goes_on_later(tmp_path):
    state = tmp_path / "run" / "checkpoint.pt"
    process = _started(tmp_path / "run", "--processes", "2")
    _until(state.exists, process)
    workers = _workers(process)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert _but_notes(errors) == [
        "error: process 2 of 2 was ended by SIGKILL, so all were; rerun the command to resume from the last checkpoint"
    ]
    assert _gone(workers)

    before = state.stat().st_mtime
    process = _started(tmp_path / "run", "--processes", "2")
    _until(lambda: _newer(state, before), process)
    workers = _workers(process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert not _but_notes(errors)
    assert output.count("resuming at step") == output.count("stopping after this step") == 1
    stopped = int(output.split("stopped at step ")[1].split(";")[0])
    assert _gone(workers)

    process = _started(tmp_path / "run")  # alone this time
    before = state.stat().st_mtime
    _until(lambda: _newer(state, before), process)
    process.kill()
    assert f"resuming at step {stopped}" in process.communicate()[0]


def test_a_process_that_is_killed_is_started_again_if_asked_for(tmp_path):
    state = tmp_path / "run" / "checkpoint.pt"
    process = _started(tmp_path / "run", "--processes", "2@restarts=1")
    _until(state.exists, process)
    workers, before = _workers(process), state.stat().st_mtime
    os.kill(workers[1], signal.SIGKILL)
    _until(lambda: _newer(state, before) and _gone(workers), process)
    assert not set(workers) & set(_workers(process))
    os.kill(_workers(process)[0], signal.SIGKILL)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "resuming at step" in output
    again, last = _but_notes(errors.replace("note: process", "again: process"))
    assert again == (
        "again: process 2 of 2 was ended by SIGKILL, so all were; starting again from the last checkpoint (1 of 1)"
    )
    assert last.startswith("error: process 1 of 2 was ended by SIGKILL, so all were; rerun the command")


def test_processes_of_two_machines_meet_at_a_port(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = ("--steps", "6", "--log-every", "1")
    machines = [
        _started(tmp_path / "run", *shared, "--processes", f"1@machine={number}/2@meet=127.0.0.1:{port}")
        for number in (1, 2)
    ]
    (first, _), (second, _) = (machine.communicate(timeout=200) for machine in machines)
    assert [machine.returncode for machine in machines] == [0, 0]
    assert "2 processes" in (tmp_path / "run" / "run.json").read_text()
    assert "directions.safetensors" in first
    assert not second


@pytest.mark.parametrize(
    "said",
    ["0", "two", "2@restarts", "2@restarts=-1", "2@machine=1/2", "2@machine=3/2@meet=a:1", "2@meet=a:1",
     "2@machine=1/2@meet=a:70000", "2@machine=1/2@meet=a", "2@port=1"],
)  # fmt: skip
def test_processes_that_make_no_sense_are_refused(tmp_path, said):
    assert f"'{said}' is not N, or N@restarts=2" in refused("discover", "--out", tmp_path / "run", "--processes", said)


def test_processes_are_those_of_all_machines():
    asked = Processes.parse("4@machine=2/3@meet=[::1]:29500@restarts=5")
    assert (asked, asked.total, asked.machine, asked.meet, asked.restarts) == (4, 12, 1, ("[::1]", 29500), 5)


def test_the_processes_end_with_the_one_that_started_them(tmp_path):
    process = _started(tmp_path / "run", "--processes", "2")
    _until((tmp_path / "run" / "run.json").exists, process)
    workers = _workers(process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while not _gone(workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_error_is_told_once(tmp_path):
    process = _started(tmp_path / "run", "--processes", "3", "--batch", "2")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(_but_notes(errors)) == 1, errors
    assert "2 samples cannot be shared among 3 processes" in errors


@pytest.mark.parametrize("settings", [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "two"}, {"WORLD_SIZE": "2", "RANK": "x"}])
def test_an_environment_that_makes_no_sense_is_refused(monkeypatch, tmp_path, settings):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert "WORLD_SIZE" in refused(*_ENDLESS, "--out", tmp_path / "run")


def test_lost_contact_tells_its_cause(tmp_path):
    process = _started(tmp_path / "run", "--processes", "2", environment={"GLOO_SOCKET_IFNAME": "nosuch0"})
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(_but_notes(errors)) == 1, errors
    assert "no contact with the other processes" in errors
    assert "nosuch0" in errors


def test_a_signal_that_comes_twice_still_leaves_a_state(tmp_path):
    process = _started(tmp_path / "run", "--processes", "2")
    _until((tmp_path / "run" / "checkpoint.pt").exists, process)
    workers = _workers(process)
    for pid in (process.pid, *workers):  # as a batch system stops a whole job
        os.kill(pid, signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "stopped at step" in output
    assert not _but_notes(errors)


def test_a_command_that_cannot_be_shared_is_refused_in_a_team(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "runs in one process" in refused("pick", "flowers64")


def test_another_number_of_processes_than_torchrun_started_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "torchrun started 2" in refused(*_ENDLESS, "--out", tmp_path, "--processes", "3")
