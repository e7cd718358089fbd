"""Locks between processes: kept while their holder lives, gone with it however it ends, and never in the way."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time

import filelock
import pytest
from cli_runs import DISCOVER, ran, refused

from toolkit.errors import UserError
from toolkit.files import locks
from toolkit.files.locks import LOCK, claimed, hold, hold_file, is_busy, let_go, let_go_file, take


def _started(program, *arguments):
    """Return a process that runs the Python `program`, once it has printed a line."""
    line = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _ended(process):
    """Return the exit status of a process, and close what it wrote to."""
    process.communicate()
    return process.returncode


@pytest.fixture
def busy():
    """Return a function that lets another process hold the lock of a folder, which it makes."""
    processes = []

    def start(folder):
        program = """
            import sys, time
            from pathlib import Path
            from toolkit.files.locks import hold
            Path(sys.argv[1]).mkdir(exist_ok=True)
            hold(Path(sys.argv[1]))
            print("ready", flush=True)
            time.sleep(600)
        """
        processes.append(_started(program, folder))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def refusal(work, *arguments):
    with pytest.raises(UserError) as caught:
        work(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_one_process_s_until_that_is_killed(busy, tmp_path):
    process = busy(tmp_path / "out")
    assert is_busy(tmp_path / "out")
    expected = f"another process is working in {tmp_path / 'out'}; wait for it, or choose another place"
    assert refusal(hold, tmp_path / "out") == expected
    process.kill()
    process.wait()
    assert (tmp_path / "out" / LOCK).exists()
    assert not is_busy(tmp_path / "out")
    assert hold(tmp_path / "out")
    assert not hold(tmp_path / "out")
    let_go(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_commands_in_a_folder_where_another_process_works(busy, tmp_path):
    discover = ("discover", "--generator", "scene", "--out", tmp_path / "run", *DISCOVER)
    ran(*discover)
    process = busy(tmp_path / "run")
    text = f"another process is working in {tmp_path / 'run'}; wait for it"
    assert text in refused(*discover)
    assert text in refused("pick", tmp_path / "run", "--direction", "1", "--alpha", "2")
    process.kill()
    process.wait()
    assert "finished already" in ran(*discover)


def test_a_short_change_waits_for_another_one(tmp_path):
    program = """
        import sys, time
        from pathlib import Path
        from toolkit.files.locks import claimed
        with claimed(Path(sys.argv[1])):
            print("ready", flush=True)
            time.sleep(0.5)
    """
    process = _started(program, tmp_path)
    started = time.monotonic()
    with claimed(tmp_path, wait=30):
        assert time.monotonic() - started > 0.2
    assert _ended(process) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_change_that_waits_in_vain(busy, tmp_path):
    busy(tmp_path)
    assert "another process is working in" in refusal(claimed(tmp_path, wait=0.2).__enter__)


def test_a_change_within_ones_own_run_keeps_its_lock(tmp_path):
    hold(tmp_path)
    with claimed(tmp_path):
        pass
    assert (tmp_path / LOCK).exists()
    let_go(tmp_path)


def test_a_folder_in_the_place_of_the_lock(tmp_path):
    (tmp_path / "out" / LOCK).mkdir(parents=True)
    expected = f"cannot take the lock {tmp_path / 'out' / LOCK}: it is a folder; remove what is in its way"
    assert expected in refusal(hold, tmp_path / "out")
    assert expected in refused("discover", "--generator", "scene", "--out", tmp_path / "out", *DISCOVER)
    assert (tmp_path / "out" / LOCK).is_dir()


def test_a_file_is_made_by_one_process_at_a_time(tmp_path):
    other = take(tmp_path / ".z.npy.lock")
    assert refusal(hold_file, tmp_path / "z.npy").startswith(f"another process is writing {tmp_path / 'z.npy'}; wait")
    other.release()
    assert hold_file(tmp_path / "z.npy")
    let_go_file(tmp_path / "z.npy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_where_there_are_no_locks_work_goes_on_without(number, tmp_path, monkeypatch):
    def without(lock, timeout, poll_interval):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", without)
    lock = take(tmp_path / LOCK)
    assert lock is not None
    assert not lock.sure
    lock.release()
    with claimed(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_no_lock_of_its_parent(tmp_path):
    hold(tmp_path)
    child = os.fork()
    if not child:
        mine = bool(locks._HELD)
        let_go(tmp_path)
        os._exit(int(mine or not is_busy(tmp_path)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / LOCK).exists()
    let_go(tmp_path)


def test_nothing_stays_of_the_locks_of_a_process_that_ends(tmp_path):
    program = """
        import sys
        from pathlib import Path
        from toolkit.files.locks import hold
        hold(Path(sys.argv[1]))
        print("ready", flush=True)
    """
    assert _ended(_started(program, tmp_path)) == 0
    assert list(tmp_path.iterdir()) == []


_NAMING = """
    import sys, time
    from discovery.naming import name_direction
    from pathlib import Path
    print("ready", flush=True)
    while not Path(sys.argv[3]).exists():
        time.sleep(0.001)
    for index in map(int, sys.argv[2].split(",")):
        name_direction(Path(sys.argv[1]) / "directions.safetensors", index, f"name of {index}")
"""


def test_names_given_by_several_processes_at_once_are_all_kept(tmp_path, tmp_path_factory):
    import torch

    from discovery.annotations import read_annotations
    from discovery.opening import open_directions
    from toolkit.directions import DirectionSet

    DirectionSet(torch.eye(24), "scene", "known").save(tmp_path / "directions.safetensors")
    start = tmp_path_factory.mktemp("start") / "now"
    shares = [",".join(str(index) for index in range(first, 24, 4)) for first in range(4)]
    processes = [_started(_NAMING, tmp_path, share, start) for share in shares]
    start.touch()
    while any(process.poll() is None for process in processes):
        time.sleep(0.005)
        open_directions(tmp_path)  # a set that is being written over is read whole
    assert [_ended(process) for process in processes] == [0] * 4
    names = [f"name_of_{index}" for index in range(24)]
    assert list(DirectionSet.load(tmp_path).names) == names
    assert read_annotations(tmp_path / "human_annotation.txt") == {name: index for index, name in enumerate(names)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["directions.safetensors", "human_annotation.txt"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_a_name_is_given_after_another_process_was_killed_as_it_gave_one(busy, tmp_path):
    import torch

    from toolkit.directions import DirectionSet

    DirectionSet(torch.eye(3), "scene", "known").save(tmp_path / "directions.safetensors")
    process = busy(tmp_path)
    process.kill()
    process.wait()
    ran("label", tmp_path, "0", "sky")
    assert DirectionSet.load(tmp_path).names[0] == "sky"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["directions.safetensors", "human_annotation.txt"]
