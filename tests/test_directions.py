"""The direction set: unit vectors with names that read back bit for bit, or a line that says what is wrong."""

import math

import pytest
import torch

from toolkit.directions import KIND, Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.files.artefacts import save_artefact
from toolkit.streams import Stream


def example(count=5, width=7, **changes) -> DirectionSet:
    vectors = Stream(0, "directions").normal(count, width) * 3
    return DirectionSet(vectors, "flowers", "discover (ortho)", **changes)


def refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_vectors_become_unit_vectors():
    made = DirectionSet(torch.tensor([[3.0, 4.0], [0.0, -2.0]]), "g", "m")
    torch.testing.assert_close(made.vectors, torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    assert made.vectors.dtype == torch.float32
    assert len(made) == 2
    assert made.names == ("direction_0", "direction_1")


def test_the_given_tensor_stays_as_it_is():
    given = torch.tensor([[3.0, 4.0]], requires_grad=True)
    made = DirectionSet(given, "g", "m")
    assert not made.vectors.requires_grad
    assert given.tolist() == [[3.0, 4.0]]


def test_many_unit_vectors():
    lengths = example(300, 120).vectors.double().norm(dim=1)
    assert (lengths - 1).abs().max() < 1e-6


def test_a_set_reads_back_bit_for_bit_however_often(tmp_path):
    made = example(
        300,
        120,
        scores={"rca": [i / 7 for i in range(300)]},
        choice=Choice(3, -1, 4.5),
        card={"steps": 10, "source": {"generator": "flowers"}},
    )
    for round_number in range(3):
        made.save(tmp_path / f"{round_number}.safetensors")
        read = DirectionSet.load(tmp_path / f"{round_number}.safetensors")
        assert torch.equal(read.vectors, made.vectors)
        assert (read.names, read.generator, read.method) == (made.names, made.generator, made.method)
        assert (read.scores, read.choice, read.card) == (made.scores, made.choice, made.card)
        made = read


def test_a_run_folder_holds_its_set(tmp_path):
    example().save(tmp_path / "directions.safetensors")
    assert torch.equal(DirectionSet.load(tmp_path).vectors, example().vectors)
    (tmp_path / "empty").mkdir()
    text = refusal(DirectionSet.load, tmp_path / "empty")
    assert text == f"no direction set at {tmp_path / 'empty' / 'directions.safetensors'}; check the path"


@pytest.mark.parametrize(
    "vectors",
    [
        torch.tensor([[1.0, math.nan]]),
        torch.tensor([[1.0, math.inf]]),
        torch.tensor([[1.0, 0.0], [0.0, 0.0]]),
        torch.ones(3),
        torch.tensor(1.0),
        torch.ones(2, 3, 4),
        torch.ones(0, 4),
        torch.ones(3, 0),
    ],
    ids=["nan", "inf", "zero", "1-d", "0-d", "3-d", "none", "no numbers"],
)
def test_what_are_no_directions(vectors):
    text = refusal(DirectionSet, vectors, "g", "m")
    assert text == f"directions have shape {list(vectors.shape)}; K finite vectors of length > 0 are needed"


@pytest.mark.parametrize("names", [("a",), ("a", "a"), ("a", "b", "c")])
def test_each_direction_has_a_name_of_its_own(names):
    with pytest.raises(UserError, match="for 2 directions; each direction needs a name of its own"):
        DirectionSet(torch.eye(2), "g", "m", names)


def test_directions_are_found_by_number_and_by_name():
    made = DirectionSet(torch.eye(3), "g", "m", ("dark", "zoom", "0"))
    assert made.index_of(1) == 1
    assert made.index_of("1") == 1
    assert made.index_of("zoom") == 1
    assert made.index_of("0") == 2  # a name comes first


@pytest.mark.parametrize("key", ["3", 3, -1, "-1", "Zoom", "", "1.0", "²"])
def test_unknown_directions(key):
    made = DirectionSet(torch.eye(3), "g", "m", ("dark", "zoom", "tilt"))
    assert refusal(made.index_of, key) == f"no direction {str(key)!r}; there are 3: 0 to 2, or by name dark, zoom, tilt"


def test_long_lists_of_names_are_shortened():
    assert refusal(example(9).index_of, "x").endswith("direction_4, direction_5 ...")


def test_shifts():
    made = DirectionSet(torch.tensor([[3.0, 4.0]]), "g", "m", choice=Choice(0, -1, 5.0))
    torch.testing.assert_close(made.shift(0, 10.0), torch.tensor([6.0, 8.0]))
    torch.testing.assert_close(made.chosen_shift(), torch.tensor([-3.0, -4.0]))


def test_without_a_choice_there_is_advice():
    text = refusal(example().chosen_shift)
    assert text == "no direction of this set is chosen; run toolkit pick on it, or give direction and alpha"


@pytest.mark.parametrize("index", [5, -1])
def test_a_choice_that_is_not_there(index):
    with pytest.raises(UserError, match=f"direction {index} is chosen, but there are 5"):
        example(choice=Choice(index, 1, 2.0))


def test_renaming():
    made = example(3, scores={"x": [1.0, 2.0, 3.0]}, choice=Choice(1, 1, 2.0))
    renamed = made.renamed({"dark": 2, "direction_2": 0})
    assert renamed.names == ("direction_2", "direction_1", "dark")
    assert torch.equal(renamed.vectors, made.vectors)
    assert (renamed.scores, renamed.choice) == (made.scores, made.choice)
    assert made.names[2] == "direction_2"
    assert refusal(made.renamed, {"dark": 3}) == "label 'dark' is for direction 3, but there are 3"
    assert "a name of its own" in refusal(made.renamed, {"direction_1": 0})


def test_a_set_for_another_latent_space():
    example().require_dim(7, "flowers")
    with pytest.raises(
        UserError, match="of flowers have 7 numbers, but the latents of scene have 16; use the generator"
    ):
        example().require_dim(16, "scene")


@pytest.mark.parametrize("part", ["generator", "method", "names", "scores", "choice"])
def test_files_that_lack_a_part(tmp_path, part):
    card = {"generator": "g", "method": "m", "names": ["a", "b"], "scores": {}, "choice": None}
    path = tmp_path / "d.safetensors"
    save_artefact(path, KIND, {"vectors": torch.eye(2)}, card)
    assert DirectionSet.load(path).names == ("a", "b")
    del card[part]
    save_artefact(path, KIND, {"vectors": torch.eye(2)}, card)
    assert "lacks parts of a direction set" in refusal(DirectionSet.load, path)


@pytest.mark.parametrize("bound", ["0.5", 0.0, 1.5, True])
def test_files_whose_choice_has_no_bound_that_can_be(tmp_path, bound):
    path = tmp_path / "d.safetensors"
    example(choice=Choice(0, 1, 2.0, max_area=0.7)).save(path)
    assert DirectionSet.load(path).choice.max_area == 0.7
    example(choice=Choice(0, 1, 2.0, max_area=bound)).save(path)
    assert "its choice cannot be read" in refusal(DirectionSet.load, path)


def test_files_without_vectors_or_of_another_kind(tmp_path):
    card = {"generator": "g", "method": "m", "names": ["a", "b"], "scores": {}, "choice": None}
    save_artefact(tmp_path / "d.safetensors", KIND, {"other": torch.eye(2)}, card)
    assert "lacks parts of a direction set ('vectors')" in refusal(DirectionSet.load, tmp_path / "d.safetensors")
    save_artefact(tmp_path / "e.safetensors", "segmenter", {"vectors": torch.eye(2)}, card)
    assert "is a segmenter artefact, but a direction set is needed" in refusal(
        DirectionSet.load, tmp_path / "e.safetensors"
    )
    save_artefact(tmp_path / "f.safetensors", KIND, {"vectors": torch.eye(2)}, {**card, "choice": {"index": 0}})
    assert "lacks parts" in refusal(DirectionSet.load, tmp_path / "f.safetensors")
