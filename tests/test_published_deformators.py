"""Folders of the original open as direction sets, with the original's numbers, or a line that says what is wrong."""

import json

import pytest
import torch
import torch.nn.functional as F
from cli_runs import ran, refused
from golden_fill import fill_value
from rounding import close
from test_biggan import TINY
from test_biggan import filled as filled_biggan

from cli.inputs.sources import generator_of
from discovery.methods.deformator.deformators import make_deformator
from discovery.opening import open_directions
from discovery.originals.reading import is_published, load_directions
from toolkit.errors import UserError

ROOT = 120**0.5
# golden tag -> the arguments of the run, with the names of the original's args.json
RUNS = {
    "fc_120": {"deformator": "fc"},
    "linear_120": {"deformator": "linear"},
    "linear_nobias_120": {"deformator": "linear"},
    "linear_40_80_120": {"deformator": "linear", "directions_count": 40, "max_latent_dim": 80},
    "linear_40_150_120": {"deformator": "linear", "directions_count": 40, "max_latent_dim": 150},
    "linear_spatial_16_1_1": {"deformator": "linear", "gan_type": "Other"},
    "proj_120": {"deformator": "proj"},
    "proj_40_80_120": {"deformator": "proj", "max_latent_ind": 40, "max_latent_dim": 80},
    "ortho_120": {"deformator": "ortho", "directions_count": None, "max_latent_dim": None},
    "ortho_big_120": {"deformator": "ortho"},
    "ortho_small_120": {"deformator": "ortho", "directions_count": 120, "max_latent_dim": 120},
    "ortho_60_60_120": {"deformator": "ortho", "directions_count": 60, "max_latent_dim": 60},
    "id_120": {"deformator": "id"},
}
SCALES = {"ortho_big_120": ROOT, "ortho_small_120": 0.001 * ROOT}


def filled(shapes, scale=1.0):
    """Return a state with exactly the published entries, by the rule of the golden files."""
    state = {name: torch.from_numpy(fill_value(0, name, shape)) for name, shape in shapes.items()}
    return {name: tensor * scale if name == "log_mat_half" else tensor for name, tensor in state.items()}


def written(folder, args, state, step=99, name="deformator", annotations=None):
    """Return `folder` after writing it as the original does."""
    (folder / "models").mkdir(parents=True, exist_ok=True)
    if args is not None:
        (folder / "args.json").write_text(json.dumps({"gan_type": "BigGAN", "gan_weights": None, **args}))
    torch.save(state, folder / "models" / f"{name}_{step}.pt")
    if annotations is not None:
        (folder / "human_annotation.txt").write_text(annotations)
    return folder


@pytest.fixture
def folder(golden, tmp_path):
    """Return a writer: folder("ortho_120", args ...) -> a folder of the original with that golden deformator."""

    def write(tag, **more):
        shapes = json.loads(str(golden("deformators")[f"{tag}_keys"]))
        return written(tmp_path / tag, {**RUNS[tag], **more}, filled(shapes, SCALES.get(tag, 1.0)))

    return write


def refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("tag", [tag for tag, args in RUNS.items() if args["deformator"] not in ("fc", "proj")])
def test_directions_of_a_matrix_map_as_the_original(folder, golden, tag):
    arrays = golden("deformators")
    found = load_directions(folder(tag))
    columns = found.vectors * torch.tensor(found.scores["length"])[:, None]
    rows, shifts = (torch.from_numpy(arrays[f"{tag}_{side}"]).flatten(1) for side in ("in", "out"))
    # Differences of shifts, since no direction has a part in the bias.
    close((rows[1:] - rows[:-1]) @ columns, shifts[1:] - shifts[:-1], depth=45)  # an exponential of norm 31 at most


@pytest.mark.parametrize("tag", RUNS)
def test_its_directions_are_a_set(folder, tag):
    path = folder(tag, shift_scale=3.0)
    found = open_directions(path)
    state = torch.load(path / "models" / "deformator_99.pt")
    out_dim = len(next(reversed(state.values()), torch.empty(120)))  # the last entry is the map's last layer
    deformator = make_deformator(RUNS[tag]["deformator"], *found.vectors.shape, out_dim=out_dim)
    deformator.load_state_dict(state, strict=False)  # one has no bias
    directions = deformator.directions(3.0)
    torch.testing.assert_close(found.vectors, F.normalize(directions))
    assert found.scores["length"] == pytest.approx(directions.norm(dim=1).tolist())
    assert found.method == f"published ({RUNS[tag]['deformator']})"
    assert found.choice is None


def test_unit_vectors_of_an_orthogonal_map_are_its_columns(folder):
    path = folder("ortho_60_60_120")
    half = torch.load(path / "models" / "deformator_99.pt")["log_mat_half"]
    columns = torch.linalg.matrix_exp(half - half.T).T
    close(load_directions(path).vectors, F.pad(columns, (0, 60)), depth=20)


def test_the_random_kind_is_lost(tmp_path):
    path = written(tmp_path / "run", {"deformator": "random"}, {})
    assert refusal(load_directions, path) == (
        f"the random deformator of {path} is lost: the original never saved its matrix"
    )


def test_the_largest_number_is_read_unless_a_file_is_named(tmp_path):
    for step in (9, 10, 100):
        state = {"linear.weight": torch.eye(3) * step, "linear.bias": torch.zeros(3)}
        path = written(tmp_path / "run", {"deformator": "linear"}, state, step)
    assert load_directions(path).scores["length"] == pytest.approx([100.0] * 3)
    assert open_directions(path / "models" / "deformator_9.pt").scores["length"] == pytest.approx([9.0] * 3)


def test_labels_name_the_directions(tmp_path):
    state = {"linear.weight": torch.eye(4), "linear.bias": torch.zeros(4)}
    path = written(tmp_path / "run", {"deformator": "linear"}, state, annotations="1: background blur\n\n3: zoom\n")
    assert load_directions(path).names == ("direction_0", "background_blur", "direction_2", "zoom")
    (path / "human_annotation.txt").write_text("7: zoom\n")
    assert refusal(load_directions, path) == (
        f"{path}/human_annotation.txt: label 'zoom' is for direction 7, but there are 4; correct it there"
    )
    (path / "human_annotation.txt").write_text("zoom\n")
    assert "human_annotation.txt, line 1 is 'zoom', but has to be like" in refusal(load_directions, path)


@pytest.mark.parametrize(("tag", "shapes"), [("ortho", {"log_mat_half": [5, 5]}), ("fc", None)])
def test_a_lone_file_tells_its_kind_by_its_entries(golden, tmp_path, tag, shapes):
    state = filled(shapes or json.loads(str(golden("deformators")["fc_120_keys"])))
    torch.save(state, tmp_path / "deformator_3.pt")
    for path in (tmp_path / "deformator_3.pt", tmp_path):
        assert is_published(path)
        assert open_directions(path).method == f"published ({tag})"
    text = refusal(generator_of, open_directions(tmp_path), None, None)
    assert text == "the generator of the set, unknown, is not here; give generator=FILE"


def test_a_lone_linear_map_could_be_either_of_two(tmp_path):
    path = written(tmp_path / "run", None, {"linear.weight": torch.eye(3), "linear.bias": torch.zeros(3)})
    text = refusal(open_directions, path)
    assert "is a linear or a proj deformator; put the args.json of its run into" in text
    torch.save({"weight": torch.eye(3)}, path / "models" / "deformator_99.pt")
    assert "is no kind that its entries tell" in refusal(open_directions, path)


@pytest.mark.parametrize(
    ("args", "spec"),
    [
        ({"gan_type": "BigGAN", "target_class": [239]}, "@classes=239"),
        ({"gan_type": "BigGAN", "target_class": [239, 12]}, "@classes=239,12"),
        ({"gan_type": "BigGAN", "target_class": 7}, "@classes=7"),
        ({"gan_type": "BigGAN"}, ""),
        ({"gan_type": "ProgGAN", "target_class": [239]}, ""),
        ({"gan_type": "SN_MNIST"}, ""),
        ({"gan_type": "StyleGAN2", "w_shift": True}, "@space=w"),
        ({"gan_type": "StyleGAN2", "w_shift": False}, "@space=z"),
        ({"gan_type": "StyleGAN2"}, "@space=w"),
    ],
)
def test_the_generator_is_named_with_its_options(tmp_path, args, spec):
    state = {"log_mat_half": torch.eye(4)}
    path = written(tmp_path / "run", {"deformator": "ortho", "gan_weights": "/home/them/G.pt", **args}, state)
    found = load_directions(path)
    assert found.card["source"] == {"generator": f"/home/them/G.pt{spec}", "missing": f"FILE{spec}"}
    assert refused("render-gif", path, "--direction", "0", "--out", tmp_path / "d.gif") == (
        f"the generator of the set, /home/them/G.pt{spec}, is not here; give --generator FILE{spec}"
    )
    weights = tmp_path / "run" / "G.pt"
    weights.touch()
    (path / "args.json").write_text(json.dumps({"deformator": "ortho", "gan_weights": "G.pt", **args}))
    assert load_directions(path).card["source"] == {"generator": f"{weights.resolve()}{spec}"}


@pytest.mark.parametrize(
    ("gan_type", "named", "place"),
    [
        ("BigGAN", None, "BigGAN/G_ema.pth"),
        ("BigGAN", "/home/them/G_ema.pth", "BigGAN/G_ema.pth"),
        ("ProgGAN", None, "ProgGAN/100_celeb_hq_network-snapshot-010403.pth"),
        ("ProgGAN", "somewhere.pth", "ProgGAN/somewhere.pth"),
        ("SN_Anime", None, "SN_Anime/generator.pt"),
        ("SN_Anime", "anywhere", "SN_Anime/generator.pt"),
        ("StyleGAN2", None, "StyleGAN2/stylegan2-ffhq-config-f.pt"),
        ("StyleGAN2", "them/stylegan2-car-config-f.pt", "StyleGAN2/stylegan2-car-config-f.pt"),
    ],
)
def test_weights_of_the_published_tree_are_found(tmp_path, gan_type, named, place):
    weights = tmp_path / "pretrained" / "generators" / place
    weights.parent.mkdir(parents=True)
    weights.touch()
    path = tmp_path / "pretrained" / "deformators" / gan_type
    args = {"deformator": "ortho", "gan_type": gan_type, "gan_weights": named}
    source = load_directions(written(path, args, {"log_mat_half": torch.eye(4)})).card["source"]
    expected = weights.parent if gan_type == "SN_Anime" else weights
    assert source["generator"].split("@")[0] == str(expected.resolve())
    assert "missing" not in source


@pytest.mark.parametrize(
    ("gan_type", "place", "missing"),
    [
        ("BigGAN", "BigGAN/G_ema.pth", "FILE"),
        ("ProgGAN", "ProgGAN/100_celeb_hq_network-snapshot-010403.pth", "FILE"),
        ("StyleGAN2", "StyleGAN2/stylegan2-ffhq-config-f.pt", "FILE@space=w"),
    ],
)
def test_other_weights_are_not_taken_for_the_named_ones(tmp_path, gan_type, place, missing):
    weights = tmp_path / "generators" / place
    weights.parent.mkdir(parents=True)
    weights.touch()
    args = {"deformator": "ortho", "gan_type": gan_type, "gan_weights": "somewhere.pth"}
    found = load_directions(written(tmp_path / "deformators" / "run", args, {"log_mat_half": torch.eye(4)}))
    assert found.card["source"]["missing"] == missing


@pytest.mark.parametrize(
    ("args", "name"),
    [
        ({"gan_type": "BigGAN"}, "BigGAN"),
        ({"gan_type": "StyleGAN2"}, "stylegan2"),
        ({"gan_type": "StyleGAN2", "w_shift": False}, "stylegan2-z"),
    ],
)
def test_the_set_has_the_generator_s_name(tmp_path, args, name):
    path = written(tmp_path / "run", {"deformator": "ortho", **args}, {"log_mat_half": torch.eye(4)})
    assert load_directions(path).generator == name


def test_latent_numbers_of_an_sngan_come_from_its_own_folder(tmp_path):
    generator = tmp_path / "mnist"
    generator.mkdir()
    (generator / "args.json").write_text('{"model": "sn_resnet32", "latent_dim": 6}')
    args = {"deformator": "id", "gan_type": "SN_MNIST", "gan_weights": str(generator)}
    assert torch.equal(load_directions(written(tmp_path / "run", args, {})).vectors, torch.eye(6))
    args = {**args, "gan_weights": None, "directions_count": 4}
    assert load_directions(written(tmp_path / "run", args, {})).vectors.shape == (4, 128)


ORTHO = {"log_mat_half": torch.eye(4)}
LINEAR = {"linear.weight": torch.eye(4), "linear.bias": torch.zeros(4)}


@pytest.mark.parametrize(
    ("args", "state", "text"),
    [
        ({"deformator": "ortho"}, LINEAR, "is no ortho deformator, as {}/args.json calls it: it has no matrix log_mat"),
        ({"deformator": "fc"}, LINEAR, "it has no matrix fc1.weight; check that both are of one run"),
        ({"deformator": "linear"}, {"linear.weight": torch.ones(4)}, "it has no matrix linear.weight"),
        ({"deformator": "linear"}, {"linear.weight": torch.ones(0, 4)}, "it has no matrix linear.weight"),
        (
            {"deformator": "affine"},
            LINEAR,
            "names a deformator 'affine'; known are fc, linear, id, ortho, proj, random",
        ),
        ({"deformator": "linear"}, {**LINEAR, "bn.weight": torch.ones(4)}, "unknown: bn.weight"),
        ({"deformator": "ortho"}, {"log_mat_half": torch.ones(4, 3)}, "log_mat_half is [4, 3], expected [4, 4]"),
        ({"deformator": "id"}, LINEAR, "unknown: linear.bias, linear.weight"),
        ({"deformator": "ortho"}, {"log_mat_half": torch.eye(4) / 0}, "holds NaN or infinite numbers in log_mat_half"),
        ({"deformator": "ortho", "directions_count": 9}, ORTHO, "names 9 directions, but deformator_99.pt holds 4"),
        (
            {"deformator": "ortho", "directions_count": "4"},
            ORTHO,
            "directions_count in {}/args.json is '4', but has to",
        ),
        ({"deformator": "ortho", "directions_count": 0}, ORTHO, "is 0, but has to be a whole number from 1"),
        (
            {"deformator": "ortho", "shift_scale": -1},
            ORTHO,
            "shift_scale in {}/args.json is -1, but has to be a number",
        ),
        ({"deformator": "ortho", "target_class": "dog"}, ORTHO, "is 'dog', but has to be a list of class numbers"),
        (
            {"deformator": "id", "gan_type": "Other"},
            {},
            "names no generator whose latent numbers are known; add gan_ty",
        ),
    ],
)
def test_folders_whose_parts_do_not_fit(tmp_path, args, state, text):
    path = written(tmp_path / "run", args, state)
    assert text.format(path) in refusal(open_directions, path)


def test_folders_that_are_not_whole(tmp_path):
    path = written(tmp_path / "run", {"deformator": "ortho"}, ORTHO)
    file = path / "models" / "deformator_99.pt"
    file.write_bytes(file.read_bytes()[:200])
    assert "cannot read" in refusal(open_directions, path)
    file.unlink()
    assert (
        refusal(open_directions, path) == f"{path} holds no models/deformator_N.pt; unpack the published folder again"
    )
    written(path, {}, ORTHO)
    (path / "args.json").write_text("[1]")
    assert "holds no table of arguments" in refusal(open_directions, path)
    (path / "args.json").write_text("{")
    assert "is not a JSON file" in refusal(open_directions, path)


def test_what_is_no_published_folder(tmp_path):
    assert not is_published(tmp_path)
    assert not is_published(tmp_path / "deformator_1.pt")
    (tmp_path / "args.json").write_text("{}")
    assert is_published(tmp_path)
    (tmp_path / "directions.safetensors").touch()
    assert not is_published(tmp_path)


def test_published_files_are_not_written_to(tmp_path):
    path = written(tmp_path / "run", {"deformator": "ortho"}, ORTHO)
    single = tmp_path / "bg_direction.pth"
    torch.save(torch.ones(4), single)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert refused("label", path, "0", "dark") == (
        f"{path} is a published folder and stays as it is; make a direction set of it: toolkit pick {path} --out FOLDER"
    )
    assert refused("label", single, "0", "dark") == (
        f"{single} is a published file and stays as it is; make a direction set of it: toolkit convert {single} --out "
        "bg_direction.safetensors"
    )
    for given in (path, single):
        assert "stays as it is; give --out" in refused("pick", given, "--direction", "0", "--alpha", "2")
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_choice_among_published_directions_makes_a_set_of_one_s_own(tmp_path):
    path = written(tmp_path / "run", {"deformator": "ortho"}, ORTHO, annotations="2: dark\n")
    ran("pick", path, "--direction", "dark", "--alpha", "-2", "--out", tmp_path / "own")
    own, published = open_directions(tmp_path / "own"), open_directions(path)
    assert torch.equal(own.vectors, published.vectors)
    assert (own.chosen().index, own.chosen().sign, own.chosen().alpha) == (2, -1, 2.0)
    assert own.card == published.card


def test_commands_take_a_folder_of_the_original(tmp_path):
    weights = filled_biggan(TINY)
    torch.save(weights, tmp_path / "G_ema.pth")
    args = {"deformator": "linear", "gan_weights": "../G_ema.pth", "target_class": [4]}
    state = {"linear.weight": torch.eye(12), "linear.bias": torch.zeros(12)}
    path = written(tmp_path / "run", args, state)
    flags = ("--direction", 0, "--alpha", 2, "--frames", 2, "--samples", 1)
    text = ran("render-gif", path, *flags, "--out", tmp_path / "d.gif")
    assert "direction_0 of biggan32, from -2.0 to +2.0" in text
    generator, inputs = generator_of(load_directions(path), None, None)
    assert generator.classes == (4,)
    assert inputs["generator"] == f"{(tmp_path / 'G_ema.pth').resolve()}@classes=4"
