"""Archives from outside: what is damaged, leads out of its folder or would fill the disk is refused in one line."""

import gzip
import io
import random
import shutil
import tarfile

import pytest

from generators.tensorflow.hub import module_variables
from toolkit.errors import UserError
from toolkit.files import unpacking
from toolkit.files.unpacking import unpack


def tarred(members, mode="w", **options) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=mode, **options) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return held.getvalue()


def refusal(tmp_path, content: bytes) -> str:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(UserError) as raised:
        unpack(tmp_path / "a.tar", tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_files_come_out_as_they_were(tmp_path, mode):
    files = {"./args.json": b"{}", "models/deformator_1.pt": random.Random(0).randbytes(900_000), "empty": b""}
    (tmp_path / "a.tar").write_bytes(tarred(files, mode))
    folder = unpack(tmp_path / "a.tar", tmp_path / "a")
    assert {name: (folder / name).read_bytes() for name in files} == files


@pytest.mark.parametrize(
    "name",
    [
        *("C:/x", "C:x", "a\\..\\..\\x", "..\\x", "nul", "models/CON.pt", "aux .txt", "com1", "LPT9.tar", "com²"),
        *("x.", "x ", "a./x", "stream:hidden", "what?", "line\nbreak", "../x", "/x", "a/../../x", "..."),
    ],
)
def test_names_that_mean_something_else_on_some_system(tmp_path, name):
    assert f"holds {name!r}, no plain file inside it" in refusal(tmp_path, tarred({"fine": b"1", name: b"2"}))


@pytest.mark.parametrize("name", ["console.pt", "com10", "nulls/aux_1", ".hidden", "a b", "ü.pt", "a..b"])
def test_names_that_only_look_so(tmp_path, name):
    (tmp_path / "a.tar").write_bytes(tarred({name: b"2"}))
    assert (unpack(tmp_path / "a.tar", tmp_path / "a") / name).read_bytes() == b"2"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices(tmp_path, kind):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        info = tarfile.TarInfo("it")
        info.type, info.linkname = kind, "fine"
        tar.addfile(info)
    assert "holds 'it', no plain file inside it" in refusal(tmp_path, held.getvalue())


def test_a_name_that_comes_twice(tmp_path):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name in ("a/x", "./a/x"):
            tar.addfile(tarfile.TarInfo(name))
    assert "holds x twice; do not trust it" in refusal(tmp_path, held.getvalue())


def test_more_than_weights_can_be(tmp_path, monkeypatch):
    content = tarred({"a": bytes(3000), "b": bytes(3000)}, "w:gz")
    monkeypatch.setattr(unpacking, "LARGEST_UNPACKED", 5999)
    assert "more than archives of weights hold" in refusal(tmp_path, content)
    monkeypatch.setattr(unpacking, "LARGEST_UNPACKED", 6000)
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 1)
    assert "or 1 files" in refusal(tmp_path, content)


def test_more_than_the_disk_holds(tmp_path, monkeypatch):
    content = tarred({"a": bytes(10_000)}, "w:gz")
    usage = shutil.disk_usage(tmp_path)._replace(free=unpacking.LEFT_FREE + 9_999)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert "needs 0 MB more, but 268 MB are free" in refusal(tmp_path, content)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_damage_in_the_checksum_at_the_end_is_seen(tmp_path, mode):
    content = bytearray(tarred({"a": random.Random(0).randbytes(50_000)}, mode))
    content[-6 if mode == "w:gz" else -12] ^= 1
    assert "is not a whole tar archive" in refusal(tmp_path, bytes(content))


def test_what_follows_the_end(tmp_path):
    content = tarred({"a": b"1"})
    assert "something follows its end" in refusal(tmp_path, content + b"x")
    assert "something follows its end" in refusal(tmp_path, gzip.compress(content + bytes(2**25)))


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**33
    content = info.tobuf(tarfile.GNU_FORMAT) + bytes(4 * tarfile.BLOCKSIZE)
    assert "a header in it is longer than any real one" in refusal(tmp_path, content)


def test_headers_without_end_are_one_line(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    assert "is not a whole tar archive" in refusal(tmp_path, info.tobuf(tarfile.GNU_FORMAT) + 3000 * (
        bytes(tarfile.BLOCKSIZE) + info.tobuf(tarfile.GNU_FORMAT)
    ))  # fmt: skip


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_damaged_archives_are_one_line_or_whole(tmp_path, mode):
    files = {"args.json": b"{}" * 40, "models/deformator_1.pt": bytes(2000)}
    whole, rng, refused = tarred(files, mode, format=tarfile.PAX_FORMAT), random.Random(7), []
    for number in range(60):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        place = tmp_path / str(number)
        place.mkdir()
        (place / "a.tar").write_bytes(content[: rng.choice([len(content), rng.randrange(len(content))])])
        try:
            unpack(place / "a.tar", place / "a")
        except UserError as error:
            refused.append(str(error))
        assert [path.name for path in place.iterdir() if path.name != "a"] == ["a.tar"]
    assert len(refused) > 20
    assert not any("\n" in text for text in refused)


def test_modules_are_unpacked_under_the_same_bounds(tmp_path, monkeypatch):
    (tmp_path / "m.tar.gz").write_bytes(tarred({"variables/variables.index": bytes(3000)}, "w:gz"))
    monkeypatch.setattr(unpacking, "LARGEST_UNPACKED", 2999)
    with pytest.raises(UserError, match="more than archives of weights hold"), module_variables(tmp_path / "m.tar.gz"):
        pass
