"""What is not whole yet lies in a hidden folder; those of killed processes go, those of living ones stay."""

import os
import subprocess
import sys
import textwrap

import pytest

from toolkit.errors import UserError
from toolkit.files import workplace as workplaces
from toolkit.files.locks import LOCK, Lock, take
from toolkit.files.workplace import holdings, sweep, sweep_below, temporary_folder, workplace
from toolkit.files.writing import replacing, replacing_folder, writable_folder, write_text

_WORKING = """
    import sys, time
    from pathlib import Path
    from toolkit.files.writing import replacing
    with replacing(Path(sys.argv[1]) / "a.png") as temporary:
        temporary.write_text("half of th")
        print("ready", flush=True)
        time.sleep(600)
"""


@pytest.fixture
def worker(tmp_path):
    """A process in the middle of writing tmp_path/a.png."""
    line = [sys.executable, "-c", textwrap.dedent(_WORKING), str(tmp_path)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(autouse=True)
def _first_time(monkeypatch):
    monkeypatch.setattr(workplaces, "_SWEPT", set())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_living_process_s_file_stays_and_a_killed_one_s_goes(worker, tmp_path):
    (unfinished,) = names(tmp_path)
    write_text(tmp_path / "b.txt", "b")
    sweep([tmp_path])
    assert names(tmp_path) == [unfinished, "b.txt"]
    worker.kill()
    worker.wait()
    assert names(tmp_path) == [unfinished, "b.txt"]
    workplaces._SWEPT.clear()
    write_text(tmp_path / "c.txt", "c")
    assert names(tmp_path) == ["b.txt", "c.txt"]


def test_checking_a_folder_is_enough_to_clear_it(worker, tmp_path):
    worker.kill()
    worker.wait()
    assert writable_folder(tmp_path) == tmp_path
    assert names(tmp_path) == []


def test_folders_below_are_cleared_too(tmp_path):
    for place in (tmp_path / ".0123456789ab.tmp", tmp_path / "a" / "b" / ".ba9876543210.tmp" / "deep"):
        place.mkdir(parents=True)
    sweep_below(tmp_path)
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a" / "b") == []


@pytest.mark.parametrize("name", [".a.tmp", "0123456789ab.tmp", ".0123456789ab.tmp2", ".0123456789AB.tmp"])
def test_other_folders_are_left_alone(name, tmp_path):
    (tmp_path / name).mkdir()
    sweep([tmp_path])
    assert names(tmp_path) == [name]


def test_a_file_or_a_link_of_such_a_name_is_left_alone(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / ".0123456789ab.tmp").write_text("mine")
    (tmp_path / ".0123456789ac.tmp").symlink_to(tmp_path / "kept", target_is_directory=True)
    sweep([tmp_path])
    assert names(tmp_path) == [".0123456789ab.tmp", ".0123456789ac.tmp", "kept"]


def test_nothing_is_removed_where_there_are_no_locks_to_ask(tmp_path, monkeypatch):
    (tmp_path / ".0123456789ab.tmp").mkdir()
    monkeypatch.setattr(workplaces, "take", lambda path: Lock(path, take(path), sure=False))
    sweep([tmp_path])
    assert names(tmp_path) == [".0123456789ab.tmp"]


def test_a_place_swept_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    outcomes = iter([FileNotFoundError(), None])

    def contended(path):
        outcome = next(outcomes, take)
        if isinstance(outcome, Exception):
            path.parent.rmdir()
            raise outcome
        return outcome and outcome(path)

    monkeypatch.setattr(workplaces, "take", contended)
    with workplace(tmp_path) as place:
        assert names(place) == [LOCK]


def test_a_workplace_takes_what_is_left_in_it_with_it(tmp_path):
    with workplace(tmp_path) as place:
        (place / "deep").mkdir()
        (place / "deep" / "file").write_text("x")
    assert names(tmp_path) == []


def test_a_name_as_long_as_the_system_allows(tmp_path):
    write_text(tmp_path / ("n" * 251 + ".txt"), "x")
    assert len(names(tmp_path)) == 1


def test_temporary_folders_are_this_user_s_alone():
    with temporary_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0 or os.name == "nt"
    assert not folder.exists()


def test_what_a_folder_holds_besides_a_killed_process_s_files(tmp_path):
    assert holdings(tmp_path / "none") == []
    (tmp_path / LOCK).write_text("")
    (tmp_path / ".0123456789ab.tmp").mkdir()
    assert holdings(tmp_path) == []
    (tmp_path / "thesis.tex").write_text("")
    assert holdings(tmp_path) == ["thesis.tex"]
    assert holdings(tmp_path, but=["thesis.tex"]) == []


def test_a_folder_replaces_what_a_killed_process_left_of_it(tmp_path):
    (tmp_path / "out" / ".0123456789ab.tmp").mkdir(parents=True)
    (tmp_path / "out" / LOCK).write_text("")
    with replacing_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("x")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["file"]


def test_a_disk_that_is_full_leaves_the_old_file_alone(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*a\.txt: No space left on device"):
        write_text(tmp_path / "a.txt", "new")
    monkeypatch.undo()
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_windows_waits_for_readers(tmp_path, monkeypatch):
    from toolkit.files import writing as files

    outcomes = iter([PermissionError(), PermissionError()])
    replace = os.replace

    def shared(source, target):
        error = next(outcomes, None)
        if error is not None:
            raise error
        replace(source, target)

    monkeypatch.setattr(files, "_RENAMES", 3)
    monkeypatch.setattr(files, "_RENAME_SECONDS", 0)
    monkeypatch.setattr(os, "replace", shared)
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_many_files_in_one_workplace(tmp_path):
    with workplace(tmp_path) as place:
        for name in ("a.txt", "b.txt"):
            with replacing(tmp_path / "deep" / name, place) as temporary:
                assert temporary.parent == place
                temporary.write_text(name)
    assert names(tmp_path) == ["deep"]
    assert names(tmp_path / "deep") == ["a.txt", "b.txt"]
