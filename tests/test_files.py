"""Files are written whole or not at all; places that take nothing are told before the work."""

import hashlib
import os

import pytest

from toolkit.errors import UserError
from toolkit.files.writing import (
    existing_file,
    read_json,
    replacing,
    sha256_of,
    writable_file,
    writable_folder,
    write_json,
    write_text,
)

NOWHERE = "/proc/no-such-folder"  # root may write anywhere else
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def breaks_off(temporary, error):
    temporary.write_text("half of the n")
    raise error


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        breaks_off(temporary, ZeroDivisionError)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_an_interruption_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        breaks_off(temporary, KeyboardInterrupt)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_success_replaces_and_leaves_no_temporary(tmp_path):
    path = tmp_path / "deep" / "er" / "note.txt"
    write_text(path, "old")
    with replacing(path) as temporary:
        assert temporary.suffix == ".txt"  # writers tell the format by it
        assert temporary.parent.parent == path.parent  # on the same disk
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert names(path.parent) == ["note.txt"]


def test_writing_nothing_is_an_error_not_an_empty_file(tmp_path):
    with pytest.raises(UserError, match="cannot write"), replacing(tmp_path / "note.txt"):
        pass
    assert names(tmp_path) == []


def test_a_user_error_inside_passes_unchanged(tmp_path):
    with pytest.raises(UserError, match=r"^mine$"), replacing(tmp_path / "note.txt"):
        raise UserError("mine")


@needs_proc
def test_writing_where_nothing_can_be_written():
    with pytest.raises(UserError, match=r"cannot write /proc/.*; choose another place or free it"):
        write_text(f"{NOWHERE}/note.txt", "text")


def test_writing_below_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write"):
        write_text(tmp_path / "file" / "note.txt", "text")


def test_json_goes_there_and_back(tmp_path):
    value = {"iou": 0.1 + 0.2, "names": ["a", 'b"', "ü"], "none": None, "nested": {"1": [True, 2]}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_a_byte_order_mark_of_windows_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(b'\xef\xbb\xbf{"steps": 3}')
    assert read_json(path) == {"steps": 3}


def test_json_refuses_what_other_readers_cannot_parse(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"iou": float("nan")})
    assert names(tmp_path) == []


def test_reading_json_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"no JSON file at .*a\.json"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"half": ')
    with pytest.raises(UserError, match=r"a\.json is not a JSON file \(.*\); check that it is the file you meant"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not a JSON file"):
        read_json(tmp_path / "a.json")


def test_a_folder_is_made_and_left_empty(tmp_path):
    assert writable_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert names(tmp_path / "a" / "b") == []


def test_a_folder_below_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"cannot write into .*file: it is a file; choose another output folder"):
        writable_folder(tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot write into .*below: Not a directory"):
        writable_folder(tmp_path / "file" / "below")


@needs_proc
@pytest.mark.parametrize("path", [NOWHERE, "/proc"])
def test_a_folder_that_takes_nothing(path):
    with pytest.raises(UserError, match=r"cannot write into /proc.*; choose another output folder"):
        writable_folder(path)


def test_a_file_name_tells_the_format(tmp_path):
    for name in ("a.gif", "A.GIF", "b.c.webp"):
        assert writable_file(tmp_path / name, (".gif", ".webp")) == tmp_path / name
    for name in ("a.png", "gif", ".gif"):
        with pytest.raises(UserError, match=r"its name should end in \.gif, \.webp"):
            writable_file(tmp_path / name, (".gif", ".webp"))
    assert names(tmp_path) == []


def test_a_file_to_write_needs_a_place(tmp_path):
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(UserError, match=r"folder\.gif: it is a folder; name a file in it"):
        writable_file(tmp_path / "folder.gif", (".gif",))
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write into"):
        writable_file(tmp_path / "file" / "a.gif", (".gif",))
    writable_file(tmp_path / "new" / "a.gif", (".gif",))
    assert (tmp_path / "new").is_dir()


def test_a_file_to_read_has_to_be_there(tmp_path):
    with pytest.raises(UserError, match=r"no latents file at .*; check the path"):
        existing_file(tmp_path / "a.npy", "latents file")
    with pytest.raises(UserError, match="is a folder, but latents file is a file; name the file itself"):
        existing_file(tmp_path, "latents file")
    (tmp_path / "a.npy").write_text("x")
    assert existing_file(tmp_path / "a.npy", "latents file") == tmp_path / "a.npy"


def test_the_digest_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
