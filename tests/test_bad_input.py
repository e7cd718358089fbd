"""What a user can put right: one clear line, exit status 2, and earlier results left as they were."""

import numpy as np
import pytest
import torch
from cli_runs import DISCOVER, SEGMENT, ran, refused

from generators.scene import SceneGenerator
from toolkit.directions import Choice, DirectionSet
from toolkit.pictures.photos import write_picture
from toolkit.pictures.pixels import mask_picture, to_bytes
from toolkit.streams import Stream


@pytest.fixture
def directions(tmp_path):
    path = tmp_path / "directions.safetensors"
    vectors = torch.stack([SceneGenerator().contrast_direction(), *torch.eye(16)[2:4]])
    source = {"source": {"generator": "scene"}}
    DirectionSet(vectors, "scene", "known", ("a", "b", "c"), choice=Choice(0, 1, 3.0), card=source).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    generator = SceneGenerator(image_size=32)
    latents = generator.sample(3, Stream(0, "photos"))
    for index, (picture, mask) in enumerate(zip(to_bytes(generator(latents)), generator.masks(latents), strict=True)):
        write_picture(tmp_path / "images" / f"{index}.jpg", picture)
        write_picture(tmp_path / "masks" / f"{index}.png", mask_picture(mask.numpy()))
    return tmp_path


_TINY = ("--steps", "2", "--batch", "8", "--width", "8", "--critic-width", "8", "--image-size", "32")


def test_wrong_file_type(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_text("<!doctype html><html>not found</html>")
    message = refused("sample", "--generator", "bigbigan", "--weights", path, "--out", tmp_path / "x.png")
    assert "weights.pth" in message
    assert not (tmp_path / "x.png").exists()


def test_a_file_of_another_kind(directions, photos, tmp_path):
    message = refused("predict", photos / "images", "--segmenter", directions, "--out", tmp_path / "p")
    assert "direction set" in message


def test_truncated_direction_set(directions, tmp_path):
    directions.write_bytes(directions.read_bytes()[:-40])
    assert "not a whole safetensors file" in refused("pick", directions)


def test_truncated_checkpoint_names_itself_and_stays(tmp_path):
    run = tmp_path / "run"
    ran("discover", "--generator", "scene", "--out", run, *DISCOVER)
    (run / "result.json").unlink()
    checkpoint = run / "checkpoint.pt"
    cut = checkpoint.read_bytes()[:1000]
    checkpoint.write_bytes(cut)
    message = refused("discover", "--generator", "scene", "--out", run, *DISCOVER)
    assert "checkpoint.pt" in message
    assert checkpoint.read_bytes() == cut
    assert (run / "directions.safetensors").exists()


def test_missing_keys_are_named(tmp_path):
    torch.save({"linear.weight": torch.zeros(4, 4)}, tmp_path / "w.pth")
    message = refused("sample", "--generator", "bigbigan", "--weights", tmp_path / "w.pth", "--out", tmp_path / "x.png")
    assert "w.pth" in message


def test_nan_weights(directions):
    found = DirectionSet.load(directions)
    from toolkit.files.artefacts import load_artefact, save_artefact

    tensors, card = load_artefact(directions, "direction set")
    tensors["vectors"][1, 2] = float("nan")
    save_artefact(directions, "direction set", tensors, card)
    assert len(found) == 3
    assert "NaN" in refused("pick", directions)


def test_empty_photo_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    assert "no photos below" in refused("train-generator", tmp_path / "photos", "--out", tmp_path / "run", *_TINY)
    assert not (tmp_path / "run").exists()


def test_one_corrupt_jpeg_is_named(photos):
    broken = photos / "images" / "1.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    assert "1.jpg" in refused("train-generator", photos / "images", "--out", photos / "run", *_TINY)
    assert not (photos / "run").exists()


def test_masks_of_another_size(photos, segmenter):
    write_picture(photos / "masks" / "2.png", np.zeros((16, 40), np.uint8))
    message = refused(
        "eval",
        "--segmenter",
        segmenter,
        "--photos",
        photos / "images",
        "--masks",
        photos / "masks",
        "--out",
        photos / "e",
    )
    assert "40 x 16" in message
    assert "32 x 32" in message
    assert not (photos / "e" / "result.json").exists()


def test_photos_without_masks(photos, segmenter):
    (photos / "masks" / "2.png").unlink()
    arguments = ("eval", "--segmenter", segmenter, "--photos", photos / "images", "--masks", photos / "masks")
    assert "2.jpg" in refused(*arguments, "--out", photos / "e")
    assert "left out 1 images without a mask" in ran(*arguments, "--out", photos / "e", "--ignore-unpaired")


@pytest.mark.parametrize("place", ["/proc/nowhere/run", "file"])
def test_output_folder_that_takes_nothing(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    out = tmp_path / place  # an absolute place replaces tmp_path
    assert "cannot write" in refused("discover", "--generator", "scene", "--out", out, *DISCOVER)
    assert (tmp_path / "file").read_text() == "mine"


def test_unknown_direction(directions, tmp_path):
    message = refused("render-gif", directions, "--direction", "sky", "--out", tmp_path / "x.gif")
    assert "no direction 'sky'" in message
    assert "a, b, c" in message


def test_direction_without_length(directions, tmp_path):
    assert "--alpha" in refused("segment", directions, "--direction", "b", "--out", tmp_path / "s", *SEGMENT)


@pytest.mark.parametrize("command", ["discover", "segment", "train-generator"])
def test_negative_steps(command, directions, tmp_path):
    given = {"discover": (), "segment": (directions,), "train-generator": (tmp_path,)}[command]
    message = refused(command, *given, "--out", tmp_path / "run", "--steps", "-5")
    assert message == "--steps is -5, but has to be at least 1"
    assert not (tmp_path / "run").exists()


def test_unknown_generator_says_what_there_is(tmp_path):
    message = refused("sample", "--generator", "nope", "--out", tmp_path / "x.png")
    assert "scene" in message
    assert "bigbigan" in message


def test_latents_of_another_length(tmp_path):
    np.save(tmp_path / "z.npy", np.zeros((2, 5), np.float32))
    message = refused("sample", "--generator", "scene", "--latents", tmp_path / "z.npy", "--out", tmp_path / "x.png")
    assert "(N, 16)" in message


def test_embeddings_that_are_missing_are_never_replaced(directions, tmp_path):
    arguments = ("segment", directions, "--out", tmp_path / "s", *SEGMENT)
    assert "z.npy" in refused(*arguments, "--embeddings", tmp_path / "z.npy")
    assert not (tmp_path / "s").exists()


def test_filters_that_reject_everything_say_which(directions, tmp_path):
    message = refused(
        "segment", directions, "--out", tmp_path / "s", *SEGMENT, "--min-area", "0.49", "--max-attempts", "2"
    )
    assert "area" in message


def test_output_name_without_a_known_ending(directions, tmp_path):
    assert ".gif" in refused("render-gif", directions, "--out", tmp_path / "x.avi")


def test_settings_file_with_an_unknown_name(tmp_path):
    (tmp_path / "c.toml").write_text("stepps = 3\n")
    message = refused("discover", "--generator", "scene", "--out", tmp_path / "r", "--config", tmp_path / "c.toml")
    assert "stepps" in message


def test_a_value_that_is_no_number_and_a_flag_that_is_none(tmp_path):
    assert "--steps" in refused("discover", "--out", tmp_path / "r", "--steps", "many")
    assert "--stepps" in refused("discover", "--out", tmp_path / "r", "--stepps", "3")
    assert "--out" in refused("discover")


def test_no_device(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a cuda device here")
    message = refused("sample", "--generator", "scene", "--out", tmp_path / "x.png", "--device", "cuda")
    assert "--device cpu" in message


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    from segmentation.predict.segmenter import Segmenter
    from segmentation.unet.network import UNet

    path = tmp_path_factory.mktemp("model") / "segmenter.safetensors"
    Segmenter(UNet(width=4), 32).save(path)
    return path


def _retouched(directions, vectors):
    found = DirectionSet.load(directions)
    DirectionSet(vectors, "scene", "known", found.names, choice=found.choice, card=found.card).save(directions)


def test_a_set_of_other_directions_is_not_taken_for_the_same_run(directions, tmp_path):
    arguments = ("segment", directions, "--out", tmp_path / "s", *SEGMENT, "--steps", "2")
    ran(*arguments)
    _retouched(directions, -DirectionSet.load(directions).vectors.flip(0))
    assert "shift_digest was" in refused(*arguments)


def test_a_label_does_not_keep_a_run_from_going_on(directions, tmp_path):
    arguments = ("segment", directions, "--out", tmp_path / "s", *SEGMENT, "--steps")
    ran(*arguments, "2")
    ran("label", directions, "0", "darker")
    assert "resuming at step 2" in ran(*arguments, "3")


def test_eval_into_a_run_folder_is_refused(directions, photos, tmp_path):
    run = tmp_path / "s"
    ran("segment", directions, "--out", run, *SEGMENT, "--steps", "2")
    before = (run / "result.json").read_bytes()
    folders = ("--photos", photos / "images", "--masks", photos / "masks")
    assert "run folder" in refused("eval", "--segmenter", run, *folders, "--out", run)
    assert (run / "result.json").read_bytes() == before


def test_validation_photos_are_read_before_training(directions, photos, tmp_path):
    write_picture(photos / "masks" / "2.png", np.zeros((16, 40), np.uint8))
    folders = ("--validation-photos", photos / "images", "--validation-masks", photos / "masks")
    assert "40 x 16" in refused("segment", directions, "--out", tmp_path / "s", *SEGMENT, *folders)
    assert not (tmp_path / "s").exists()


def test_a_refused_start_does_not_block_the_corrected_command(directions, tmp_path):
    arguments = ("discover", "--generator", "scene", "--out", tmp_path / "r", *DISCOVER)
    refused(*arguments, "--directions", "600")
    assert f"wrote {tmp_path / 'r' / 'directions.safetensors'}" in ran(*arguments)


@pytest.mark.parametrize("alpha", ["0", "nan", "inf"])
def test_lengths_that_shift_nowhere(alpha, directions, tmp_path):
    lengths = ("--direction", "0", "--alpha", alpha)
    assert "--alpha" in refused("segment", directions, *lengths, "--out", tmp_path / "s", *SEGMENT)
    assert "--alpha" in refused("pick", directions, "--direction", "0", "--alpha", alpha)
    assert "--alpha" in refused(
        "render-gif", directions, "--direction", "0", "--alpha", alpha, "--out", tmp_path / "x.gif"
    )


@pytest.mark.parametrize("name", ["", "4", "b"])
def test_labels_that_cannot_be(name, directions):
    ran("label", directions, "0", "sky")
    labels = (directions.parent / "human_annotation.txt").read_text()
    refused("label", directions, "2", name)
    assert (directions.parent / "human_annotation.txt").read_text() == labels


def test_fewer_steps_than_before(tmp_path):
    arguments = ("discover", "--generator", "scene", "--out", tmp_path / "r", *DISCOVER)
    ran(*arguments)
    message = "holds a run of 8 steps, and --steps is 3 now; it can only be made longer; repeat that command or choose"
    assert message in refused(*arguments, "--steps", "3")
    assert "steps = 8" in (tmp_path / "r" / "config.toml").read_text()


@pytest.mark.parametrize("content", [{"step": 1}, {"step": 1, "network": {}}, {"step": "x", "deformator": 3}, [1]])
def test_checkpoint_of_something_else(content, tmp_path):
    run = tmp_path / "r"
    ran("discover", "--generator", "scene", "--out", run, *DISCOVER)
    (run / "result.json").unlink()
    torch.save(content, run / "checkpoint.pt")
    assert "checkpoint.pt" in refused("discover", "--generator", "scene", "--out", run, *DISCOVER)


def test_logs_and_results_of_something_else(tmp_path):
    run = tmp_path / "r"
    arguments = ("discover", "--generator", "scene", "--out", run, *DISCOVER)
    ran(*arguments)
    (run / "result.json").write_text("{}")
    assert "result.json" in refused(*arguments)
    (run / "result.json").unlink()
    (run / "metrics.jsonl").write_bytes(b"\xff\xfe}\n")
    assert "metrics.jsonl" in refused(*arguments)


def test_a_folder_named_like_a_generator_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scene").mkdir()
    ran("discover", "--generator", "scene", "--out", "d", *DISCOVER)
    ran("pick", "d", "--direction", "1", "--alpha", "2")
    assert "direction_1 of scene" in ran("render-gif", "d", "--frames", "3", "--samples", "1", "--out", "x.gif")
    assert list((tmp_path / "scene").iterdir()) == []


def test_brackets_in_names_are_no_markup(directions, tmp_path):
    ran("label", directions, "0", "[/x]")
    assert "o[red]ut.png" in ran("sample", "--generator", "scene", "--samples", "1", "--out", tmp_path / "o[red]ut.png")


def test_flags_that_would_be_ignored(directions, tmp_path):
    np.save(tmp_path / "z.npy", np.zeros((2, 16), np.float32))
    sample = ("sample", "--generator", "scene", "--latents", tmp_path / "z.npy", "--out", tmp_path / "x.png")
    assert "--samples" in refused(*sample, "--samples", "5")
    maps = ("eval", "--predictions", tmp_path, "--masks", tmp_path, "--out", tmp_path / "e")
    assert "--refine" in refused(*maps, "--refine")


def test_two_processes_in_one_folder(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    run = tmp_path / "r"
    arguments = ("discover", "--generator", "scene", "--out", run, *DISCOVER)
    run.mkdir()
    ran(*arguments)
    with (run / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert "another process" in refused(*arguments)


def test_an_unreadable_photo_leaves_no_folder(tmp_path, segmenter):
    (tmp_path / "x.jpg").write_text("no photo")
    assert "x.jpg" in refused("predict", tmp_path / "x.jpg", "--segmenter", segmenter, "--out", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_log_that_cannot_be_written_costs_no_training(tmp_path, monkeypatch):
    from toolkit.files.runs import RunFolder

    arguments = ("discover", "--generator", "scene", "--out", tmp_path / "r", *DISCOVER)
    log = RunFolder.log

    def full_at_five(self, step, **values):
        if step == 5:
            raise OSError(28, "No space left on device")
        log(self, step, **values)

    monkeypatch.setattr(RunFolder, "log", full_at_five)
    assert "No space left on device" in refused(*arguments)
    monkeypatch.undo()
    assert "resuming at step 5" in ran(*arguments)


def test_predictions_among_the_photos(photos, segmenter):
    out = photos / "images" / "out"
    assert "--out" in refused("predict", photos / "images", "--segmenter", segmenter, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(
    "command",
    [("train-generator",), ("self-train",), ("embed", "--generator", "flowers64")],
    ids=lambda command: command[0],
)
def test_output_among_the_photos_is_refused(command, tmp_path):
    (tmp_path / "photos").mkdir()
    out = tmp_path / "photos" / ("z.npy" if command[0] == "embed" else "run")
    message = refused(*command, tmp_path / "photos", "--out", out)
    assert "the next run would take its pictures for photos" in message
    assert not out.exists()


def test_a_usage_error_ends_its_sentence_once():
    assert refused("pick") == "Missing argument 'directions'; see --help"
    assert refused("discover") == "Missing option '--out'; see --help"
    assert refused("discover", "--out") == "Option '--out' requires an argument; see --help"


def test_an_unknown_flag_before_the_command_is_one_line_too():
    assert refused("--nope") == "No such option: --nope; see --help"


def test_what_is_no_array_is_not_advised_to_be_unpickled(directions, tmp_path):
    latents = tmp_path / "z.npy"
    latents.write_text("hello")
    message = refused("render-gif", directions, "--latents", latents, "--out", tmp_path / "x.gif")
    assert message == f"cannot read {latents} as a .npy array (it does not begin as one); save it with numpy.save"
