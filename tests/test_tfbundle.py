import shutil

import numpy as np
import pytest
from bundle_writing import table, write_bundle
from google_crc32c import value as crc32c
from tf_writing import FIXTURE, fixture_variables, write_checkpoint

from generators.tensorflow.bundle import CheckpointBundle, find_index
from toolkit.errors import UserError


@pytest.fixture
def written(tmp_path):
    """A copy of what TensorFlow wrote, free to be damaged."""
    for path in FIXTURE.parent.iterdir():
        shutil.copy(path, tmp_path / path.name)
    return tmp_path / FIXTURE.name


def assert_holds(bundle, variables):
    assert set(variables) <= set(bundle)
    for name, value in variables.items():
        assert bundle[name].dtype == value.dtype, name
        np.testing.assert_array_equal(bundle[name], value, err_msg=name, strict=True)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"a", 0xC1D04330),
        (b"123456789", 0xE3069283),
        # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksum_has_the_published_values(data, expected):
    assert crc32c(data) == expected


def test_what_tensorflow_wrote_is_read():
    bundle = CheckpointBundle(FIXTURE)
    assert_holds(bundle, fixture_variables())
    assert set(bundle) - set(fixture_variables()) == {"types/strings", "types/sliced"}
    assert len(bundle) == len(fixture_variables()) + 2
    names = ["variables.index", "variables.data-00000-of-00002", "variables.data-00001-of-00002"]
    assert [path.name for path in bundle.files] == names


def test_absent_variable_is_a_key_error():
    bundle = CheckpointBundle(FIXTURE)
    assert "nowhere" not in bundle
    with pytest.raises(KeyError):
        bundle["nowhere"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("types/strings", r"types/strings of .*variables\.index holds strings, but only numbers can be read"),
        ("types/sliced", r"keeps the variable types/sliced in slices; save it again without partitioning"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_when_asked_for(name, text):
    bundle = CheckpointBundle(FIXTURE)
    assert name in bundle
    with pytest.raises(UserError, match=text):
        bundle[name]


def test_many_blocks_and_shards(tmp_path):
    rng = np.random.default_rng(0)
    variables = {f"layer_{i}/{'w' * (i % 40)}": rng.standard_normal((i % 7, 3)).astype("f4") for i in range(200)}
    index = write_bundle(tmp_path / "model", variables, shards=3, entries_a_block=7)
    bundle = CheckpointBundle(index)
    assert_holds(bundle, variables)
    assert len(bundle.files) == 4


def test_no_flipped_byte_of_the_index_goes_unnoticed(written):
    whole = written.read_bytes()
    names = set(CheckpointBundle(written))
    for position in range(0, len(whole), 37):
        written.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            found = set(CheckpointBundle(written))
        except UserError:
            continue
        # The empty meta index and the filler of the footer mean nothing.
        assert found == names
        assert position > len(whole) - 100


@pytest.mark.parametrize("kept", [0, 10, 48, 4000, -1])
def test_cut_index_is_refused(kept, written):
    written.write_bytes(written.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"variables\.index is damaged .*the end of an index is missing.* again"):
        CheckpointBundle(written)


def test_page_saved_in_place_of_the_index_is_refused(written):
    written.write_bytes(b"<!DOCTYPE html><html><body>Sign in</body></html>" * 3)
    with pytest.raises(UserError, match="is damaged or no TensorFlow checkpoint file"):
        CheckpointBundle(written)


def test_flipped_byte_of_the_numbers_is_noticed(written):
    shard = written.with_name("variables.data-00000-of-00002")
    whole = bytearray(shard.read_bytes())
    whole[100] ^= 1
    shard.write_bytes(whole)
    bundle = CheckpointBundle(written)
    refused = {}
    for name in fixture_variables():
        try:
            bundle[name]
        except UserError as error:
            refused[name] = str(error)
    ((name, text),) = refused.items()
    assert f"data-00000-of-00002 is damaged or no TensorFlow checkpoint file (the checksum differs for {name})" in text


def test_cut_shard_is_refused(written):
    shard = written.with_name("variables.data-00000-of-00002")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"data-00000-of-00002 is damaged .*it ends before types/strings"):
        CheckpointBundle(written)


def test_missing_shard_is_named(written):
    written.with_name("variables.data-00001-of-00002").unlink()
    with pytest.raises(UserError, match=r"no data shard of this checkpoint at .*variables\.data-00001-of-00002; check"):
        CheckpointBundle(written)


def test_big_endian_and_compressed_files_are_refused(tmp_path):
    index = write_bundle(tmp_path / "a", {"x": np.ones(2)}, header=b"\x10\x01")
    with pytest.raises(UserError, match="its numbers are big-endian, which is not supported"):
        CheckpointBundle(index)
    index = write_bundle(tmp_path / "b", {"x": np.ones(2)}, compression=1)
    with pytest.raises(UserError, match="its table is compressed, which is not supported"):
        CheckpointBundle(index)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([], "it has no header"),
        ([(b"", b"\x08\x01"), (b"x", b"\x08\x01\x18\x04")], "x lies in shard 4 of 1"),
        ([(b"", b"\x08\x01"), (b"x", b"\x0b")], "a message holds the unknown wire type 3"),
        ([(b"", b"\x08\x01"), (b"x", b"\x08")], "index out of range"),
        ([(b"", b"\x08\x01"), (b"\xff", b"\x08\x01")], "can't decode byte"),
    ],
)
def test_table_of_something_else_is_refused(entries, reason, tmp_path):
    (tmp_path / "m.index").write_bytes(table(entries))
    (tmp_path / "m.data-00000-of-00001").touch()
    with pytest.raises(UserError, match=rf"m\.index is damaged or no TensorFlow checkpoint file \(.*{reason}"):
        CheckpointBundle(tmp_path / "m.index")


def test_shape_that_does_not_fit_its_bytes_is_refused(tmp_path):
    (tmp_path / "m.index").write_bytes(table([(b"", b"\x08\x01"), (b"x", b"\x08\x01\x12\x04\x12\x02\x08\x03")]))
    (tmp_path / "m.data-00000-of-00001").touch()
    with pytest.raises(UserError, match=r"x has 0 bytes for the shape \[3\]"):
        CheckpointBundle(tmp_path / "m.index")["x"]


def test_index_is_found_below_a_folder(written, tmp_path):
    assert find_index(written) == written
    module = tmp_path / "cache" / "module"
    inner = module / "variables" / "variables.index"
    inner.parent.mkdir(parents=True)
    shutil.copy(written, inner)
    assert find_index(module) == inner
    (module / "._variables.index").touch()  # left by archives of macOS
    assert find_index(module) == inner
    with pytest.raises(UserError, match=r"2 checkpoints below .*; name one \.index file"):
        find_index(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no TensorFlow checkpoint below .*empty; it should hold variables/variables"):
        find_index(tmp_path / "empty")


@pytest.mark.filterwarnings("ignore")
def test_tensorflow_writes_the_fixture(tmp_path):
    pytest.importorskip("tensorflow")
    write_checkpoint(tmp_path / "again" / "variables", fixture_variables())
    for path in FIXTURE.parent.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
