"""Directions written for the original: they read back as they were, and its loader's expectations are met or told."""

import json

import pytest
import torch
from cli_runs import DISCOVER, ran, refused
from rounding import close

from cli.inputs.sources import generator_of
from discovery.comparing.merging import merged
from discovery.methods.deformator.deformators import make_deformator
from discovery.methods.deformator.reconstructors import make_reconstructor
from discovery.opening import open_directions
from discovery.originals.writing import export_folder, networks_of
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.files.artefacts import save_checkpoint
from toolkit.streams import Stream
from toolkit.untrusted.bg_direction import load_published, save_published

WIDTH = 6
# kind -> directions -> the kind it is written as: the original has only square matrices of ortho, id and fc
KINDS = {
    ("fc", WIDTH): "fc",
    ("fc", 4): "linear",
    ("linear", WIDTH): "linear",
    ("linear", 4): "linear",
    ("proj", WIDTH): "proj",
    ("proj", 4): "proj",
    ("ortho", WIDTH): "ortho",
    ("ortho", 4): "linear",
    ("id", WIDTH): "id",
    ("id", 4): "linear",
    ("random", WIDTH): "linear",
    ("random", 4): "linear",
}


def found_run(folder, kind="ortho", count=WIDTH, step=8, reconstructor="lenet", size=None, **changes):
    """Return a finished run's folder and deformator, as `toolkit discover` leaves them."""
    deformator = make_deformator(kind, count, WIDTH, random_init=True, seed=1).eval()
    predictor = make_reconstructor(reconstructor, count, size=size)
    settings = {
        "deformator": kind, "shift_scale": 3.0, "min_shift": 0.25,
        "reconstructor": reconstructor, "reconstructor_size": size,
    }  # fmt: skip
    card = {"source": {"generator": "G.pth@classes=3,5"}, "step": step, "settings": settings}
    made = DirectionSet(deformator.directions(3.0), "biggan128", f"discover ({kind})", card=card, **changes)
    made.save(folder / "directions.safetensors")
    state = {"deformator": deformator.state_dict(), "reconstructor": predictor.state_dict(), "step": step}
    save_checkpoint(folder / "checkpoint.pt", state)
    return folder, deformator, predictor


EVERY_CLASS = {"target_class": list(range(1000))}


def example(count=5, generator="scene", **changes) -> DirectionSet:
    return DirectionSet(Stream(0, "export").normal(count, WIDTH), generator, "sefa", **changes)


def assert_same(file, state):
    """Check that `file` holds the very numbers of `state`."""
    written = torch.load(file, weights_only=True)
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in state.items())


def exported(source, out, *flags):
    return ran("export", source, "--layout", "deformator", "--out", out, *flags)


@pytest.mark.parametrize(("kind", "count"), KINDS)
def test_a_trained_deformator_reads_back_as_it_was(tmp_path, kind, count):
    run, deformator, predictor = found_run(tmp_path / "run", kind, count)
    text = exported(run, tmp_path / "out")
    args = json.loads((tmp_path / "out" / "args.json").read_text())
    assert args["deformator"] == KINDS[kind, count]
    assert ("written as linear" in text) == (kind not in ("linear", KINDS[kind, count]))
    if args["deformator"] == kind:
        assert_same(tmp_path / "out" / "models" / "deformator_8.pt", deformator.state_dict())
    assert_same(tmp_path / "out" / "models" / "shift_predictor_8.pt", predictor.state_dict())
    read = open_directions(tmp_path / "out")
    close(read.vectors, open_directions(run).vectors, depth=20)
    lengths = deformator.directions(3.0).norm(dim=1).tolist()
    assert read.scores["length"] == pytest.approx(lengths, abs=1e-5)


def test_the_folder_has_what_the_original_reads(tmp_path):
    run = found_run(tmp_path / "run", names=("a", "direction_1", "dark", "x y", "direction_4", "direction_5"))[0]
    text = exported(run, tmp_path / "out")
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*"))
    assert files == [
        "args.json", "human_annotation.txt", "models", "models/deformator_8.pt", "models/shift_predictor_8.pt",
    ]  # fmt: skip
    args = json.loads((tmp_path / "out" / "args.json").read_text())
    assert args.pop("toolkit")["latent_dim"] == WIDTH
    assert args == {
        "gan_type": "BigGAN", "gan_weights": "G.pth", "target_class": [3, 5], "deformator": "ortho",
        "directions_count": WIDTH, "max_latent_dim": WIDTH, "shift_scale": 3.0, "min_shift": 0.25,
        "shift_predictor": "LeNet", "shift_predictor_size": None,
    }  # fmt: skip
    assert (tmp_path / "out" / "human_annotation.txt").read_text() == "0: a\n2: dark\n3: x_y\n"
    assert "note:" not in text
    assert f"wrote {tmp_path}/out: ortho deformator and shift predictor, 6 directions" in text.replace("\n", "")


def test_weights_are_readable_by_the_torch_of_the_original(tmp_path):
    exported(found_run(tmp_path / "run")[0], tmp_path / "out")
    save_published(tmp_path / "bg.pth", torch.ones(3))
    for file in [*(tmp_path / "out" / "models").iterdir(), tmp_path / "bg.pth"]:
        assert not file.read_bytes().startswith(
            b"PK"
        )  # the zip form came with torch 1.6; the original is pinned to 1.4
        torch.load(file, weights_only=True)


def test_vectors_alone_become_the_columns_of_a_linear_map(tmp_path):
    made = example(names=("zoom", *(f"direction_{i}" for i in range(1, 5))), card={"source": {"generator": "scene"}})
    made.save(tmp_path / "s.safetensors")
    text = exported(tmp_path / "s.safetensors", tmp_path / "out")
    assert "linear deformator, and no shift predictor" in text
    state = torch.load(tmp_path / "out" / "models" / "deformator_0.pt", weights_only=True)
    assert torch.equal(state["linear.weight"], made.vectors.T)
    assert torch.equal(state["linear.bias"], torch.zeros(WIDTH))
    read = open_directions(tmp_path / "out")
    close(read.vectors, made.vectors, depth=1)
    assert read.names == made.names
    assert read.card["source"] == {"generator": "scene"}


def test_a_run_of_the_command_itself_is_exported(tmp_path):
    ran("discover", "--generator", "scene", "--out", tmp_path / "run", *DISCOVER)
    text = exported(tmp_path / "run", tmp_path / "out")
    assert "scene is none of the original's generators (BigGAN, ProgGAN" in text
    close(open_directions(tmp_path / "out").vectors, open_directions(tmp_path / "run").vectors, depth=20)
    ran("render-gif", tmp_path / "out", "--direction", 1, "--frames", 2, "--samples", 1, "--out", tmp_path / "d.gif")


@pytest.mark.parametrize(
    ("changes", "flags", "text"),
    [
        ({"count": 4, "kind": "linear"}, (), "builds a shift predictor of 6 directions and fails on this one of 4;"),
        (
            {"reconstructor": "resnet", "size": 32},
            (),
            "load_from_dir forgets shift_predictor_size; shrink images to 32",
        ),
        ({}, ("--gan-type", "SN_MNIST"), "LeNet for SN_MNIST takes grey images, this one colour"),
        ({}, ("--gan-type", "StyleGAN2"), "gan_resolution is written as 1024; correct it if"),
    ],
)
def test_what_the_original_would_misread_is_told(tmp_path, changes, flags, text):
    assert text in " ".join(exported(found_run(tmp_path / "run", **changes)[0], tmp_path / "out", *flags).split())


@pytest.mark.parametrize(
    ("name", "spec", "gan_type", "expected", "told"),
    [
        ("bigbigan", "bigbigan", None, {"gan_type": "BigGAN", "gan_weights": "bigbigan", "target_class": [0]}, ""),
        ("bigbigan", "B.pth", None, {"gan_type": "BigGAN", "gan_weights": "B.pth", "target_class": [0]}, ""),
        ("biggan128", "/x/G_ema.pth", None, {"gan_type": "BigGAN", "gan_weights": "/x/G_ema.pth", **EVERY_CLASS}, ""),
        ("biggan128", "G.pth@classes=3,5", None, {"gan_type": "BigGAN", "target_class": [3, 5]}, ""),
        ("biggan256", "G.pth", None, {"gan_type": "BigGAN"}, "for 128 pixels only and fails on weights for 256"),
        ("own", "G.pth", "BigGAN", {"gan_type": "BigGAN", "gan_weights": "G.pth", **EVERY_CLASS}, ""),
        ("stylegan2", "sg.pt", None, {"gan_type": "StyleGAN2", "w_shift": True}, "gan_resolution is written as 1024"),
        ("stylegan2-z", "S.pt@space=z", None, {"gan_type": "StyleGAN2", "w_shift": False}, "shift_in_w=False"),
        ("stylegan2", "S.pt@space=w@psi=0.7", None, {"w_shift": True}, "nothing like the generator's options psi"),
        ("proggan1024", "pg.pth", None, {"gan_type": "ProgGAN", "gan_weights": "pg.pth"}, ""),
        ("sngan32", "mnist", None, {"gan_type": "SN_MNIST"}, "takes generators/SN_MNIST of its"),
        ("sngan64", "anime", None, {"gan_type": "SN_Anime"}, "takes generators/SN_Anime of its"),
        ("flowers64", "flowers64", None, {"gan_type": "flowers64"}, "none of the original's generators"),
        ("own", "models:make@classes=cats", None, {"gan_type": "own", "target_class": None}, "options classes"),
        ("own", "models:make@classes=3", None, {"gan_type": "own", "target_class": None}, "options classes"),
        ("own", "models:make@space=room", None, {"gan_type": "own", "w_shift": None}, "options space"),
    ],
)
def test_what_args_json_says_of_the_generator(tmp_path, name, spec, gan_type, expected, told):
    made = example(generator=name, card={"source": {"generator": spec}})
    notes = export_folder(tmp_path / "out", made, networks_of(made, None), gan_type)
    args = json.loads((tmp_path / "out" / "args.json").read_text())
    assert {key: args.get(key) for key in expected} == expected
    assert told in "; ".join(notes)
    assert told or not notes
    assert open_directions(tmp_path / "out").card["source"] == {"generator": spec}


def test_classes_of_biggan_are_numbers(tmp_path):
    example(card={"source": {"generator": "models:make@classes=cats"}}).save(tmp_path / "s.safetensors")
    command = ("export", tmp_path / "s.safetensors", "--layout", "deformator", "--out", tmp_path / "out")
    assert refused(*command, "--gan-type", "BigGAN") == (
        "classes of models:make is 'cats', but has to be whole numbers separated by commas"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["biggan128", "stylegan2", "stylegan2-z", "flowers64", "own"])
def test_an_exported_set_is_of_the_same_generator_and_method(tmp_path, name):
    made = example(generator=name, card={"source": {"generator": "G.pt", "generator_digest": "ab"}})
    export_folder(tmp_path / "out", made, networks_of(made, None), None)
    read = open_directions(tmp_path / "out")
    assert (read.generator, read.method) == (name, made.method)
    assert len(merged({"made": made, "read": read})) == 2 * len(made)


def test_directions_in_w_and_in_z_stay_apart(tmp_path):
    sets = {}
    for name in ("stylegan2", "stylegan2-z"):
        made = example(generator=name)
        export_folder(tmp_path / name, made, networks_of(made, None), None)
        args = json.loads((tmp_path / name / "args.json").read_text())
        del args["toolkit"]  # as from the original
        (tmp_path / name / "args.json").write_text(json.dumps(args))
        sets[name] = open_directions(tmp_path / name)
        assert sets[name].generator == name
    with pytest.raises(UserError, match=r"stylegan2-z was found on .*; give sets of one generator"):
        merged(sets)


@pytest.mark.parametrize(
    ("name", "card", "given"),
    [
        ("biggan128", {}, " --generator FILE"),
        ("scene", {}, ""),
        ("biggan128", {"source": {"generator": "G.pth"}}, ""),
        (
            "StyleGAN2",
            {"source": {"generator": "S.pt@space=z", "missing": "FILE@space=z"}},
            " --generator FILE@space=z",
        ),
    ],
)
def test_the_command_that_comes_next_opens_the_generator(tmp_path, name, card, given):
    example(generator=name, card=card).save(tmp_path / "s.safetensors")
    text = exported(tmp_path / "s.safetensors", tmp_path / "out", "--gan-type", "BigGAN")
    assert f"next: toolkit render-gif {tmp_path}/out{given} --direction 0 --alpha 6" in text.replace("\n", " ")
    assert ("names no weights of biggan128; write their path" in text) == (name == "biggan128" and not card)


def test_a_set_without_a_source_opens_on_the_generator_of_its_name(tmp_path):
    example().save(tmp_path / "s.safetensors")
    exported(tmp_path / "s.safetensors", tmp_path / "out", "--gan-type", "BigGAN")
    with pytest.raises(UserError, match="directions of scene have 6 numbers, but the latents of scene have"):
        generator_of(open_directions(tmp_path / "out"), None, None)


def test_a_set_read_from_a_published_folder_keeps_what_was_said_of_its_generator(tmp_path):
    said = {"gan_type": "StyleGAN2", "gan_weights": "cars.pt", "gan_resolution": 512, "w_shift": True}
    (tmp_path / "in" / "models").mkdir(parents=True)
    (tmp_path / "in" / "args.json").write_text(json.dumps({**said, "deformator": "ortho"}))
    torch.save({"log_mat_half": torch.eye(3)}, tmp_path / "in" / "models" / "deformator_1.pt")
    assert refused("export", tmp_path / "in", "--layout", "deformator", "--out", tmp_path / "out").endswith(
        "has this layout already; copy it as it is"
    )
    open_directions(tmp_path / "in").save(tmp_path / "s.safetensors")
    assert "note:" not in exported(tmp_path / "s.safetensors", tmp_path / "out")
    args = json.loads((tmp_path / "out" / "args.json").read_text())
    assert {key: args[key] for key in said} == said
    assert open_directions(tmp_path / "out").card["source"]["missing"] == "FILE@space=w"


def test_a_checkpoint_that_is_not_the_set_s(tmp_path):
    run = found_run(tmp_path / "run")[0]
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    refuse = ("export", run, "--layout", "deformator", "--out", tmp_path / "out")
    save_checkpoint(run / "checkpoint.pt", {**state, "step": 9})
    assert "is at step 9, the set at 8; repeat toolkit discover to finish the run" in refused(*refuse)
    save_checkpoint(run / "checkpoint.pt", {**state, "deformator": {"log_mat_half": torch.zeros(6, 6)}})
    assert "holds other directions than the set beside it" in refused(*refuse)
    for broken in ({"step": 8}, {**state, "deformator": {"log_mat_half": torch.zeros(4, 4)}}, [1]):
        torch.save(broken, run / "checkpoint.pt")
        assert "is not of the run that found the set beside it" in refused(*refuse)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    example().save(tmp_path / "s.safetensors")
    for place in (tmp_path / "full", tmp_path / "s.safetensors"):
        text = refused("export", tmp_path / "s.safetensors", "--layout", "deformator", "--out", place)
        assert text == f"{place} is there already; choose a new or empty --out"
    (tmp_path / "empty").mkdir()
    exported(tmp_path / "s.safetensors", tmp_path / "empty")
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(
        "discovery.originals.writing.write_annotations", lambda *_: (_ for _ in ()).throw(OSError(28, "No space"))
    )
    text = refused("export", tmp_path / "s.safetensors", "--layout", "deformator", "--out", tmp_path / "new")
    assert text == f"cannot write {tmp_path}/new: No space; choose another place or free it"
    assert sorted(tmp_path.iterdir()) == before


def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch):
    example().save(tmp_path / "s.safetensors")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for place in (".", "new/..", here):
        text = refused("export", tmp_path / "s.safetensors", "--layout", "deformator", "--out", place)
        assert text == f"{place} is the current folder, which cannot be replaced; name a new --out"
    assert not list(here.iterdir())
    exported(tmp_path / "s.safetensors", "../there/")
    assert (tmp_path / "there" / "args.json").is_file()


@pytest.mark.parametrize("alpha", [5.0, 6.0, 4.5, 3.375, 2.53125, 0.1, 1.23456, 17.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_single_direction_reads_back_with_its_length(tmp_path, alpha, sign):
    made = DirectionSet(Stream(0, "bg").normal(3, 120), "bigbigan", "m", choice=Choice(2, sign, alpha))
    made.save(tmp_path / "s.safetensors")
    text = ran("export", tmp_path / "s.safetensors", "--layout", "bg-direction", "--out", tmp_path / "bg.pth")
    assert "note:" not in text
    held = torch.load(tmp_path / "bg.pth", weights_only=True)
    assert (held.shape, held.dtype) == ((120,), torch.float32)
    close(5 * held, made.chosen_shift(), depth=1)
    read = load_published(tmp_path / "bg.pth")
    assert read.choice == Choice(0, 1, alpha)
    close(read.chosen_shift(), made.chosen_shift(), depth=1)


def test_a_single_direction_is_exported_by_flag_and_for_other_generators(tmp_path):
    made = example(choice=Choice(0, 1, 2.0, opposite=3), card={"source": {"generator": "scene@image_size=32"}})
    made.save(tmp_path / "s.safetensors")
    command = ("export", tmp_path / "s.safetensors", "--layout", "bg-direction", "--out", tmp_path / "bg.pth")
    text = " ".join(ran(*command, "--direction", "1", "--alpha", "-3").split())
    torch.testing.assert_close(load_published(tmp_path / "bg.pth").chosen_shift(), -3 * made.vectors[1])
    assert "the original's BigBiGAN has 120 latent numbers, this direction 6" in text
    assert "bigbigan is taken for it unless --generator is given" in text
    assert f"next: toolkit segment {tmp_path}/bg.pth --generator scene@image_size=32 --out segmenter" in text
    assert "one tensor holds no opposite; direction_3 is omitted" in " ".join(ran(*command).split())


def test_the_mask_rule_that_a_single_direction_cannot_hold_is_named_in_the_hint(tmp_path):
    example(choice=Choice(0, 1, 2.0, mask_rule="mean_thr")).save(tmp_path / "s.safetensors")
    command = ("export", tmp_path / "s.safetensors", "--layout", "bg-direction", "--out", tmp_path / "bg.pth")
    assert "--out segmenter --mask-rule mean_thr" in " ".join(ran(*command).split())
    assert "--mask-rule" not in ran(*command, "--direction", "1", "--alpha", "-3")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (
            ("--layout", "tensor", "--out", "o"),
            "--layout is 'tensor'; choose one of onnx, torch-export, torchscript, generator-onnx",
        ),
        (("--layout", "deformator", "--out", "o", "--alpha", "2"), "--direction and --alpha go with --layout bg-dir"),
        (("--layout", "deformator", "--out", "o", "--gan-type", "GAN"), "--gan-type is 'GAN'; choose one of BigGAN, "),
        (("--layout", "bg-direction", "--out", "o.pth", "--gan-type", "BigGAN"), "--gan-type goes with --layout defor"),
        (
            ("--layout", "bg-direction", "--out", "o.npy"),
            "cannot tell the format of o.npy: its name should end in .pth",
        ),
        (("--layout", "bg-direction", "--out", "o.pth"), "no direction of this set is chosen; run toolkit pick on it"),
        (("--layout", "bg-direction", "--out", "o.pth", "--direction", "9", "--alpha", "1"), "no direction '9'; there"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path, monkeypatch, flags, text):
    monkeypatch.chdir(tmp_path)
    example().save(tmp_path / "s.safetensors")
    assert refused("export", "s.safetensors", *flags).startswith(text)
    assert [path.name for path in tmp_path.iterdir()] == ["s.safetensors"]
