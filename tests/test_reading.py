"""The guards at the edge: what damaged files promise is checked before it is believed, and said in one line."""

import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest
import torch
from bundle_writing import table, varint, write_bundle
from cli_runs import ran, refused
from fuzzing.samples import Example, direction_set
from safetensors.torch import save_file

from discovery.annotations import parse_annotations
from discovery.originals.reading import load_directions
from generators.protocol import load_latents
from generators.spec import Options
from generators.tensorflow.bundle import CheckpointBundle
from toolkit.directions import KIND, DirectionSet
from toolkit.errors import UserError
from toolkit.files.artefacts import load_pickled, load_state_file, match_state, save_artefact
from toolkit.files.runs import RunFolder
from toolkit.files.writing import read_json
from toolkit.pictures.photos import read_photo
from toolkit.screen import Screen
from toolkit.settings import read_toml
from toolkit.untrusted.bg_direction import load_published
from toolkit.untrusted.printable import is_printable, printable
from toolkit.untrusted.text import whole_number

DIGITS = "9" * 5000


def refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert is_printable(str(caught.value))
    assert len(str(caught.value)) <= 4000
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * 65 + "]" * 65, "nested more than 64 deep"),
        (DIGITS, "JSON"),
        ("1" + "0" * 30, "more than 64 bits"),
        ('{"a": 1e999}', "beyond all bounds"),
        ('{"a": NaN}', "no number"),
    ],
)
def test_json_that_nothing_can_be_done_with(tmp_path, text, said):
    (tmp_path / "a.json").write_text(text)
    assert said in refusal(read_json, tmp_path / "a.json")


@pytest.mark.parametrize("value", ["[" * 5000, "{a=" * 5000, DIGITS, "0x" + "f" * 5000, "[" * 100 + "]" * 100])
def test_toml_that_nothing_can_be_done_with(tmp_path, value):
    (tmp_path / "a.toml").write_text(f"steps = {value}\n")
    assert str(tmp_path / "a.toml") in refusal(read_toml, tmp_path / "a.toml")


def test_a_text_file_is_no_larger_than_any_that_is_written(tmp_path):
    (tmp_path / "a.toml").write_text("a = 1\n" * 20_000)
    assert "more than 0.1 MB" in refusal(read_toml, tmp_path / "a.toml")


def test_what_is_valid_is_read_as_ever(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1, -2.5, 9223372036854775807, null, "\\u00e9"]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, -2.5, 2**63 - 1, None, "é"]}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name are POSIX's")
@pytest.mark.parametrize("read", [read_json, read_toml, load_published, read_photo, DirectionSet.load])
def test_a_pipe_is_waited_for_by_nobody(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    assert "it is a pipe or a device" in refusal(read, tmp_path / "pipe")


@pytest.mark.parametrize(("text", "number"), [("007", 7), ("", None), ("-1", None), ("²", None), (DIGITS, None)])
def test_whole_numbers_of_any_length(text, number):
    assert whole_number(text) == number


def test_options_and_names_of_any_number_of_digits():
    assert "whole number" in refusal(Options({"classes": DIGITS}, "g").integers, "classes")
    assert "whole number" in refusal(Options({"image_size": DIGITS}, "g").integer, "image_size", 64)
    assert "no direction" in refusal(direction_set().index_of, DIGITS)
    assert "line 1" in refusal(parse_annotations, f"{DIGITS}: sky")


def test_one_label_for_very_many_directions_takes_no_square_of_their_number():
    labels = parse_annotations("".join(f"{index}: sky\n" for index in range(60_000)))
    assert labels["sky"] == 0
    assert labels["sky_(59999)"] == 59_999


ODD = {
    "expanded": lambda: torch.zeros(1).expand(10**6, 10**6),
    "meta": lambda: torch.empty(3, 3, device="meta"),
    "huge meta": lambda: torch.empty(2**60, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "nested": lambda: [[[[torch.zeros(1)] * 2] * 2] * 2] * 2,
    "large number": lambda: 2**70,
}


@pytest.mark.parametrize("what", [name for name in ODD if name != "nested"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_larger_than_their_file_or_not_there(tmp_path, what, zipped):
    torch.save({"w": ODD[what]()}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    assert "a.pt" in refusal(load_pickled, tmp_path / "a.pt", "weights")


def test_lists_that_are_each_twice_in_the_next(tmp_path):
    held = [1]
    for _ in range(30):
        held = [held, held]
    torch.save(held, tmp_path / "a.pt")
    assert "too many values" in refusal(load_pickled, tmp_path / "a.pt", "weights")


def test_tied_and_transposed_weights_are_plain(tmp_path):
    weight = torch.arange(6.0).view(2, 3)
    held = {"a": weight, "b": weight, "t": weight.T, "row": weight[1], "p": torch.nn.Parameter(weight), "step": 3}
    torch.save(held, tmp_path / "a.pt")
    assert set(load_pickled(tmp_path / "a.pt", "weights")) == set(held)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "kind",
    [torch.complex64, torch.bool, torch.uint8, torch.int32, torch.float8_e4m3fn, torch.qint8],
    ids=lambda kind: str(kind).removeprefix("torch."),
)
def test_kinds_of_numbers_that_no_network_has(tmp_path, kind):
    plain = torch.zeros(2, 3)
    odd = torch.quantize_per_tensor(plain, 0.1, 0, kind) if kind is torch.qint8 else plain.to(kind)
    torch.save({"w": odd}, tmp_path / "a.pt")

    def matched() -> None:
        match_state(load_state_file(tmp_path / "a.pt", "weights"), {"w": (2, 3)}, tmp_path / "a.pt", "a network")

    assert "(w)" in refusal(matched) or "in w" in refusal(matched)


def test_an_archive_that_unpacks_to_far_more_than_it_is(tmp_path):
    written = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, written)
    with zipfile.ZipFile(written) as whole, zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in whole.namelist():
            archive.writestr(name, bytes(100_000_000) if name.endswith("data/0") else whole.read(name))
    assert "unpacks to far more" in refusal(load_pickled, tmp_path / "a.pt", "weights")


def test_an_old_file_whose_tensor_is_larger_than_it(tmp_path):
    # The count of numbers stands in the pickle and again before the numbers themselves.
    torch.save({"w": torch.zeros(777)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "a.pt").read_bytes()
    count = struct.pack("<H", 777)
    assert content.count(b"M" + count) == 2  # of the storage, and of the tensor
    (tmp_path / "a.pt").write_bytes(content.replace(b"M" + count, b"J" + struct.pack("<i", 2**30)))
    assert "its tensors are larger than it is" in refusal(load_pickled, tmp_path / "a.pt", "weights")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [("<f4", (10**12, 5)), ("|O", (4, 5)), ("<c8", (2, 5)), ("<f4", ()), ("<f4", (-4, 5)), ("<U0", (10**9, 5))],
)
def test_arrays_whose_header_promises_something_else(tmp_path, kind, shape, version):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    length = len(header).to_bytes(2 * version, "little")
    (tmp_path / "z.npy").write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + header + bytes(80))
    assert "z.npy" in refusal(load_latents, tmp_path / "z.npy", 5)


def test_an_array_whose_header_is_longer_than_memory(tmp_path):
    (tmp_path / "z.npy").write_bytes(b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"{}")
    assert "its header has 4294967295 bytes" in refusal(load_latents, tmp_path / "z.npy", 5)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [">f4", "<f8", "<f2", "<i4"])
def test_arrays_of_other_order_and_width_are_read(tmp_path, kind, order):
    values = np.arange(10).reshape(2, 5)
    np.save(tmp_path / "z.npy", np.asarray(values, kind, order=order))
    assert load_latents(tmp_path / "z.npy", 5).tolist() == values.tolist()


@pytest.mark.parametrize("shards", [2**40, 2**63, 10**30])
def test_a_bundle_of_very_many_shards(tmp_path, shards):
    index = write_bundle(tmp_path / "variables", {"a": np.zeros(3, np.float32)})
    index.write_bytes(table([(b"", b"\x08" + varint(shards) + b"\x1a\x02\x08\x01")]))
    refusal(CheckpointBundle, index)


def test_a_bundle_with_a_variable_of_very_many_dimensions(tmp_path):
    index = write_bundle(tmp_path / "variables", {"a": np.zeros(3, np.float32)})
    shape = b"\x12\x02\x08\x01" * 4000
    entry = b"\x08\x01\x12" + varint(len(shape)) + shape + b"\x28\x04"
    index.write_bytes(table([(b"", b"\x08\x01\x1a\x02\x08\x01"), (b"a", entry)]))
    assert "4000 dimensions" in refusal(CheckpointBundle, index)


def _run(folder, steps=10):
    return RunFolder.open(folder, Example(steps=steps), {}, "cpu", extendable=("steps",))


@pytest.mark.parametrize(
    "line", ['{"loss": 1}', "[1]", "3}", '{"step": "x"}', '{"step": true}', '{"step": 1, "loss": {}}']
)
def test_lines_of_a_log_that_are_no_step(tmp_path, line):
    run = _run(tmp_path / "r")
    run.log(1, loss=0.5)
    run.close()
    with (tmp_path / "r" / "metrics.jsonl").open("a") as log:
        log.write(line + "\n")
        log.write('{"step": 3, "loss": 0.25}\n')
    assert "line 2 of" in refusal(run.metrics)
    assert "line 2 of" in refusal(run.load_checkpoint)


def test_a_last_line_that_a_crash_cut_short_is_left_out(tmp_path):
    run = _run(tmp_path / "r")
    run.log(1, loss=0.5)
    run.close()
    with (tmp_path / "r" / "metrics.jsonl").open("a") as log:
        log.write('{"step": 2, "lo')
    assert [line["step"] for line in run.metrics()] == [1]


@pytest.mark.parametrize("name", [".lock", "run.json", "config.toml", "metrics.jsonl", "result.json", "checkpoint.pt"])
def test_a_folder_where_a_file_of_a_run_is_expected(tmp_path, name):
    run = _run(tmp_path / "r")
    run.log(1, loss=0.5)
    run.save_checkpoint({"step": 1})
    run.close()
    (tmp_path / "r" / name).unlink(missing_ok=True)
    (tmp_path / "r" / name).mkdir()

    def taken_up() -> None:
        run = _run(tmp_path / "r", 11)
        assert run.result is None
        run.load_checkpoint()

    assert name in refusal(taken_up)


def test_settings_of_another_type_are_no_shorter_run(tmp_path):
    _run(tmp_path / "r").log(1, loss=0.5)
    config = tmp_path / "r" / "config.toml"
    config.write_text(config.read_text().replace("steps = 10", 'steps = "many"'))
    assert "steps was 'many'" in refusal(_run, tmp_path / "r")


@pytest.mark.parametrize(
    "changed",
    [
        {"generator": 3}, {"names": "abc"}, {"names": ["a", "b", 3]}, {"names": ["a", "b", "c\x1b"]}, {"scores": []},
        {"scores": {"x": [1, 2]}}, {"scores": {"x": [1, 2, "3"]}}, {"choice": 3}, {"step": "8"}, {"source": "scene"},
        {"choice": {"index": True, "sign": 1, "alpha": 2.0}}, {"choice": {"index": 0, "sign": 2, "alpha": 2.0}},
        {"choice": {"index": 0, "sign": 1, "alpha": 1e-320}}, {"choice": {"index": 9, "sign": 1, "alpha": 2.0}},
        {"settings": {"deformator": ["ortho"]}}, {"source": {"generator": 3}}, {"source": {"weights": None}},
    ],
)  # fmt: skip
def test_cards_of_direction_sets_that_say_what_cannot_be(tmp_path, changed):
    held = direction_set()
    path = tmp_path / "directions.safetensors"
    card = {"generator": "scene", "method": "m", "names": list(held.names), "scores": {}, "choice": None, **changed}
    save_artefact(path, KIND, {"vectors": held.vectors}, card)
    refusal(DirectionSet.load, path)


def test_vectors_that_are_no_real_numbers(tmp_path):
    card = {"generator": "scene", "method": "m", "names": ["a"], "scores": {}, "choice": None}
    save_artefact(tmp_path / "a.safetensors", KIND, {"vectors": torch.ones(1, 3, dtype=torch.complex64)}, card)
    assert "complex64" in refusal(DirectionSet.load, tmp_path / "a.safetensors")


def test_a_card_that_is_nested_without_end(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "a.safetensors", metadata={"kind": KIND, "card": '{"a":' * 100_000})
    assert "nested too deeply" in refusal(DirectionSet.load, tmp_path / "a.safetensors")


def test_controls_are_shown_as_escapes():
    assert printable("a\x1b[31m\x07\u202e\udcff\n", keep="\n") == "a\\x1b[31m\\x07\\u202e\\xff\n"
    assert printable("👩‍👧 é \u00a0") == "👩‍👧 é \u00a0"
    assert str(UserError("a\nb\x1b")) == "a b\\x1b"
    assert len(str(UserError("x" * 10_000))) <= 4000


def test_nothing_that_is_printed_steers_the_terminal():
    from rich.table import Table

    written = io.StringIO()
    screen = Screen(file=written, markup=False, width=100)
    rows = Table("name")
    rows.add_row("\x1b[31mred\u202e")
    screen.print("wrote \x1b]0;title\x07a\udcff.png")
    screen.print(rows)
    assert "wrote \\x1b]0;titlea\\xff.png\n" in written.getvalue().replace("\\x07", "")
    assert all(is_printable(line) for line in written.getvalue().splitlines())


def test_a_name_with_control_characters_is_refused_and_a_file_of_such_a_name_named_safely(tmp_path):
    direction_set().save(tmp_path / "directions.safetensors")
    assert "control characters" in refused("label", tmp_path, "0", "a\x1bb")
    message = refused("pick", tmp_path / "no\x1b[31mthing", "--out", tmp_path / "o")
    assert "\\x1b" in message
    assert "0 is sky" in ran("label", tmp_path, "0", "sky")
    assert "9.99989e-321" in refused("pick", tmp_path, "--direction", "0", "--alpha", "1e-320")


@pytest.mark.parametrize("command", [("pick", "{}", "--out", "o"), ("sample", "--generator", "{}", "--out", "x.png")])
def test_a_name_that_no_disk_can_have(command):
    assert "File name too long" in refused(*(word.format("x" * 5000) for word in command))


def test_weights_under_a_name_that_no_disk_can_have(tmp_path):
    torch.save({"log_mat_half": torch.zeros(3, 3)}, tmp_path / "deformator_1.pt")
    (tmp_path / "args.json").write_text(json.dumps({"gan_weights": "x" * 5000, "deformator": "ortho"}))
    assert load_directions(tmp_path).vectors.shape == (3, 3)
