"""Artefacts read back as they were, and everything that is no artefact is refused in one line."""

import io
import json
import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from toolkit.errors import UserError
from toolkit.files.artefacts import (
    artefact_kind,
    differences,
    load_artefact,
    load_pickled,
    load_state_file,
    match_state,
    save_artefact,
    save_checkpoint,
)

KIND = "example"


def tensors() -> dict[str, torch.Tensor]:
    table = torch.arange(24.0).view(2, 3, 2, 2)
    return {
        "plain": table.clone(),
        "channels_last": table.to(memory_format=torch.channels_last),
        "view": table[:, 1],
        "transposed": table[0, 0].T,
        "expanded": torch.ones(1, 3).expand(4, 3),
        "shared": table,
        "scalar": torch.tensor(3.5),
        "whole": torch.tensor([1, 2], dtype=torch.int64),
        "yes": torch.tensor([True, False]),
        "half": torch.tensor([0.1, 0.2], dtype=torch.bfloat16),
        "empty": torch.zeros(0, 3),
        "learnt": torch.nn.Parameter(torch.ones(2)),
    }


def refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def artefact(tmp_path):
    path = tmp_path / "a.safetensors"
    save_artefact(path, KIND, tensors(), {"name": "flowers", "nested": {"steps": [1, 2]}})
    return path


def test_the_same_tensors_and_card_give_the_same_file(tmp_path):
    card = {"name": "Blüte\x7f\x01", "nested": {"steps": [1, 2]}}
    written = []
    for _ in range(8):  # in a random order seven more would come out alike once in 128 times
        save_artefact(tmp_path / "a.safetensors", KIND, tensors(), card)
        written.append((tmp_path / "a.safetensors").read_bytes())
    assert set(written) == {written[0]}
    assert int.from_bytes(written[0][:8], "little") % 8 == 0
    found, read = load_artefact(tmp_path / "a.safetensors", KIND)
    assert read == card
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors().items())


def test_an_artefact_reads_back_as_it_was(artefact):
    found, card = load_artefact(artefact, KIND)
    assert card == {"name": "flowers", "nested": {"steps": [1, 2]}}
    assert set(found) == set(tensors())
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name
    assert artefact_kind(artefact) == KIND


def test_saving_leaves_the_tensors_alone(tmp_path):
    kept = torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)
    save_artefact(tmp_path / "a.safetensors", KIND, {"x": kept}, {})
    assert kept.is_contiguous(memory_format=torch.channels_last)


def test_a_card_that_cannot_be_read_again_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_artefact(tmp_path / "a.safetensors", KIND, {}, {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_an_artefact_of_another_kind(artefact):
    assert (
        refusal(load_artefact, artefact, "segmenter") == f"{artefact} is an example artefact, but a segmenter is needed"
    )


def test_a_safetensors_file_from_elsewhere(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(2)}, path)
    message = refusal(load_artefact, path, KIND)
    assert "is a safetensors file without a toolkit card, but an example is needed" in message
    assert artefact_kind(path) is None


@pytest.mark.parametrize("card", ["[1, 2]", "null", '"text"', "{half"])
def test_a_card_that_is_no_table(tmp_path, card):
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(2)}, path, metadata={"kind": KIND, "card": card})
    message = refusal(load_artefact, path, KIND)
    assert "make or download it again" in message or "the card in" in message


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_a_file_cut_short(artefact, kept):
    artefact.write_bytes(artefact.read_bytes()[:kept])
    text = refusal(load_artefact, artefact, KIND)
    assert ("is not a whole safetensors file" if kept else "is an empty file, not example") in text
    assert text.endswith("make or download it again")
    assert artefact_kind(artefact) is None


def test_no_file_and_a_folder(tmp_path):
    assert refusal(load_artefact, tmp_path / "none", KIND) == f"no example at {tmp_path / 'none'}; check the path"
    assert "is a folder" in refusal(load_artefact, tmp_path, KIND)
    assert artefact_kind(tmp_path / "none") is None
    assert artefact_kind(tmp_path) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none(tmp_path, value):
    path = tmp_path / "a.safetensors"
    save_artefact(path, KIND, {"fine": torch.ones(3), "bad": torch.tensor([1.0, value])}, {})
    text = refusal(load_artefact, path, KIND)
    assert text == f"{path} holds NaN or infinite numbers in bad; make or download it again"


def test_long_lists_of_names_are_shortened(tmp_path):
    path = tmp_path / "a.safetensors"
    save_artefact(path, KIND, {f"t{i}": torch.tensor(float("nan")) for i in range(7)}, {})
    assert "in t0, t1, t2, t3 and 3 more;" in refusal(load_artefact, path, KIND)


def test_a_checkpoint_reads_back_as_it_was(tmp_path):
    weights = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    state = {"step": 3, "name": "x", "nested": {"list": [1, 2.5, None], "weights": weights}}
    save_checkpoint(tmp_path / "c.pt", state)
    found = load_pickled(tmp_path / "c.pt", "the checkpoint")
    assert found["nested"]["list"] == [1, 2.5, None]
    assert (found["step"], found["name"]) == (3, "x")
    assert torch.equal(found["nested"]["weights"], weights)
    assert found["nested"]["weights"].stride() == weights.stride()


class Trap:
    """Unpickling it would make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def saved(value) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "no weights")
    return buffer.getvalue()


NO_WEIGHTS = {
    "text": b"hello\n",
    "cut short": saved({"x": torch.zeros(1000)})[:-300],
    "cut very short": saved({"x": torch.zeros(1000)})[:200],
    "another zip file": zipped(),
    "a whole module": saved(torch.nn.Linear(2, 2)),
    "a bare pickle": pickle.dumps({"x": object}, protocol=4),
}


@pytest.mark.parametrize("what", NO_WEIGHTS)
def test_weights_files_that_are_none(tmp_path, what):
    path = tmp_path / "weights.pth"
    path.write_bytes(NO_WEIGHTS[what])
    text = refusal(load_pickled, path, "U-Net weights")
    assert text.startswith(f"cannot read {path} as U-Net weights: it is damaged, cut short, or no plain weights file (")
    assert text.endswith("); make or download it again")
    assert "weights_only" not in text  # torch's own text tells people to switch the safety off
    assert "trust" not in text


@pytest.mark.parametrize("pack", [saved, pickle.dumps], ids=["torch.save", "pickle"])
def test_code_in_a_weights_file_is_never_run(tmp_path, pack):
    made = tmp_path / "made by the file"
    path = tmp_path / "weights.pth"
    path.write_bytes(pack({"x": Trap(made)}))
    assert "no plain weights file" in refusal(load_pickled, path, "weights")
    assert "no plain weights file" in refusal(load_state_file, path, "weights")
    assert not made.exists()
    if pack is pickle.dumps:  # the trap works where it is let
        pickle.loads(path.read_bytes())
        assert made.exists()


@pytest.mark.parametrize("ending", [".pth", ".pt", ".bin"])
def test_state_files_from_outside(tmp_path, ending):
    torch.save({"a": torch.ones(2), "b": torch.zeros(3)}, tmp_path / f"w{ending}")
    found = load_state_file(tmp_path / f"w{ending}", "weights")
    assert torch.equal(found["a"], torch.ones(2))
    assert set(found) == {"a", "b"}


@pytest.mark.parametrize("ending", [".safetensors", ".SafeTensors"])
def test_state_files_from_outside_as_safetensors(tmp_path, ending):
    save_file({"a": torch.ones(2)}, tmp_path / f"w{ending}")
    assert torch.equal(load_state_file(tmp_path / f"w{ending}", "weights")["a"], torch.ones(2))


@pytest.mark.parametrize("value", [torch.zeros(2), [torch.zeros(2)], {"a": {1: torch.zeros(2)}}, {1: torch.zeros(2)}])
def test_state_files_without_a_table_by_name(tmp_path, value):
    torch.save(value, tmp_path / "w.pth")
    text = refusal(load_state_file, tmp_path / "w.pth", "U-Net weights")
    assert "holds no table of tensors, but U-Net weights is one; save a state dict" in text


SHAPES = {"a": (2, 3), "b": (4,), "c": ()}


def state() -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape) for name, shape in SHAPES.items()}


def test_a_state_that_fits(tmp_path):
    part = {"a": torch.zeros(2, 3)}
    match_state(state(), SHAPES, tmp_path, "it")
    match_state(part, SHAPES, tmp_path, "it", optional=["b", "c"])
    assert (differences(state(), SHAPES), differences(part, SHAPES)) == ("", "missing: b, c")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"a": None}, "w.pth does not fit a net: missing: a; check that it is the right file"),
        ({"x": torch.zeros(1)}, "w.pth does not fit a net: unknown: x; check that it is the right file"),
        ({"b": None, "x": torch.zeros(1)}, "w.pth does not fit a net: missing: b; unknown: x; check"),
        ({"a": torch.zeros(3, 2)}, "w.pth does not fit a net: a is [3, 2], expected [2, 3]; check"),
        ({"c": torch.zeros(1)}, "w.pth does not fit a net: c is [1], expected []; check"),
        ({"b": torch.full((4,), float("nan"))}, "w.pth holds NaN or infinite numbers in b"),
    ],
)
def test_a_state_that_does_not_fit(change, text):
    changed = {name: tensor for name, tensor in {**state(), **change}.items() if tensor is not None}
    assert refusal(match_state, changed, SHAPES, "w.pth", "a net").startswith(text)


def test_optional_names_still_have_to_fit():
    changed = {**state(), "b": torch.zeros(5)}
    with pytest.raises(UserError, match=r"b is \[5\], expected \[4\]"):
        match_state(changed, SHAPES, "w.pth", "a net", optional=["b"])


@pytest.fixture
def little_room():
    """No file may grow beyond 20 kB, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "save",
    [
        lambda path, big: save_artefact(path, KIND, {"x": big}, {}),
        lambda path, big: save_checkpoint(path, {"x": big}),
    ],
    ids=["artefact", "checkpoint"],
)
def test_a_full_disk_leaves_the_old_file(tmp_path, save, little_room):
    path = tmp_path / "file"
    save(path, torch.zeros(3))
    before = path.read_bytes()
    text = refusal(save, path, torch.zeros(20_000))
    assert text.startswith(f"cannot write {path}: ")
    assert "File too large" in text
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_metadata_is_plain_json(artefact):
    from safetensors import safe_open

    with safe_open(artefact, framework="pt") as handle:
        metadata = handle.metadata()
    assert metadata["kind"] == KIND
    assert json.loads(metadata["card"])["name"] == "flowers"


def test_artefacts_are_readable_as_other_files_are(tmp_path):
    save_artefact(tmp_path / "a.safetensors", "thing", {"x": torch.zeros(1)}, {})
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_equal_artefacts_have_equal_bytes_whatever_the_order_of_their_metadata():
    import json

    from safetensors.torch import load

    from toolkit.files.artefacts import _in_one_order

    def written(*names):
        header = {"__metadata__": {name: f"of {name} \u00fc" for name in names}}
        header["x"] = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + torch.tensor([1.0, 2.0]).numpy().tobytes()

    content = _in_one_order(written("kind", "card"))
    assert content == _in_one_order(written("card", "kind"))
    assert int.from_bytes(content[:8], "little") % 8 == 0
    assert load(content)["x"].tolist() == [1, 2]
