"""The whole chain through the command line, on the closed-form scene generator."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from cli_runs import DISCOVER, SEGMENT, ran, refused
from PIL import Image

from generators.scene import SceneGenerator
from toolkit.directions import Choice, DirectionSet
from toolkit.pictures.photos import read_photo, write_picture
from toolkit.pictures.pixels import mask_picture, to_bytes
from toolkit.streams import Stream


@pytest.fixture(scope="module")
def discovered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("discover") / "run"
    ran("discover", "--generator", "scene", "--out", folder, *DISCOVER)
    return folder


@pytest.fixture(scope="module")
def true_set(tmp_path_factory):
    """A direction set that holds the known answer, chosen."""
    generator = SceneGenerator()
    path = tmp_path_factory.mktemp("true") / "directions.safetensors"
    vector = generator.contrast_direction()[None]
    source = {"source": {"generator": "scene"}}
    DirectionSet(vector, "scene", "known", ("contrast",), choice=Choice(0, 1, 3.0), card=source).save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Scenes as photos with exact masks, of two sizes."""
    root = tmp_path_factory.mktemp("photos")
    for name, size, count in (("small", 64, 3), ("large", 96, 2)):
        generator = SceneGenerator(image_size=size)
        latents = generator.sample(count, Stream(5, name))
        for index, (picture, mask) in enumerate(
            zip(to_bytes(generator(latents)), generator.masks(latents), strict=True)
        ):
            write_picture(root / "images" / f"{name}_{index}.png", picture)
            write_picture(root / "masks" / f"{name}_{index}.png", mask_picture(mask.numpy()))
    return root


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory, true_set):
    folder = tmp_path_factory.mktemp("segment") / "run"
    ran("segment", true_set, "--out", folder, *SEGMENT)
    return folder


def test_discover_writes_directions_charts_and_figures(discovered):
    found = DirectionSet.load(discovered)
    assert len(found) == 6
    assert found.card["source"] == {"generator": "scene"}
    assert 0 <= json.loads((discovered / "result.json").read_text())["rca"] <= 1
    assert (discovered / "charts" / "000_005.png").exists()
    assert len((discovered / "metrics.jsonl").read_text().splitlines()) == 8


def test_discover_again_says_it_is_finished(discovered):
    before = (discovered / "directions.safetensors").read_bytes()
    assert "finished already" in ran("discover", "--generator", "scene", "--out", discovered, *DISCOVER)
    assert (discovered / "directions.safetensors").read_bytes() == before


def test_more_steps_go_on_from_the_finished_run(tmp_path):
    short = ("discover", "--generator", "scene", "--out", tmp_path / "a", *DISCOVER, "--steps")
    ran(*short, "4")
    assert "resuming at step 4" in ran(*short, "8")
    ran("discover", "--generator", "scene", "--out", tmp_path / "b", *DISCOVER)
    assert DirectionSet.load(tmp_path / "a").vectors.equal(DirectionSet.load(tmp_path / "b").vectors)


def test_discover_refuses_a_folder_of_other_settings(discovered):
    message = refused("discover", "--generator", "scene", "--out", discovered, *DISCOVER, "--seed", "9")
    assert "seed was 0, now 9" in message


def test_settings_file_gives_the_same_run(discovered, tmp_path):
    same = ("--config", discovered / "config.toml", "--precision", "fp32")
    ran("discover", "--generator", "scene", "--out", tmp_path / "again", *same)
    first, again = DirectionSet.load(discovered), DirectionSet.load(tmp_path / "again")
    assert first.vectors.equal(again.vectors)


def test_a_flag_wins_over_the_settings_file(discovered, tmp_path):
    config = discovered / "config.toml"
    ran("discover", "--generator", "scene", "--out", tmp_path / "r", "--config", config, "--directions", "4")
    assert len(DirectionSet.load(tmp_path / "r")) == 4


def test_pick_scores_all_directions_and_draws_why(discovered):
    text = ran("pick", discovered, "--samples", "8", "--num-alphas", "2", "--finalists", "3")
    picked = DirectionSet.load(discovered)
    assert picked.choice is not None
    assert len(picked.scores["score"]) == 6
    assert picked.names[picked.choice.index] in text
    report = json.loads((discovered / "pick.json").read_text())
    assert len(report["candidates"]) == 3
    with Image.open(discovered / "pick.png") as picture:
        assert picture.width > 500


def test_pick_by_hand(discovered):
    ran("pick", discovered, "--direction", "2", "--alpha", "-1.5")
    choice = DirectionSet.load(discovered).choice
    assert dataclasses.replace(choice, max_area=None) == Choice(2, -1, 1.5)
    assert 0 < choice.max_area <= 1  # the bound on areas is of the things, whatever direction marks them


def test_labels_in_the_annotation_file_become_names(discovered):
    (discovered / "human_annotation.txt").write_text("3: darker ground\n")
    ran("pick", discovered, "--direction", "darker_ground", "--alpha", "2")
    found = DirectionSet.load(discovered)
    assert found.names[3] == "darker_ground"
    assert dataclasses.replace(found.choice, max_area=None) == Choice(3, 1, 2.0)


def test_label_names_a_direction_in_both_files(discovered):
    ran("label", discovered, "4", "sharper petals")
    assert DirectionSet.load(discovered).names[4] == "sharper_petals"
    assert "4: sharper_petals" in (discovered / "human_annotation.txt").read_text()
    assert "no direction 'nowhere'" in refused("label", discovered, "nowhere", "x")


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_render_gif(true_set, tmp_path, ending):
    path = tmp_path / f"walk.{ending}"
    ran("render-gif", true_set, "--out", path, "--frames", "5", "--samples", "2", "--mask", "--size", "80")
    with Image.open(path) as picture:
        assert picture.n_frames == 8  # five there, three back
        assert picture.size == (2 * 80 + 2, 80)
        assert picture.info["loop"] == 0


def test_sample_grid_and_array_hold_the_same_images(tmp_path):
    ran("sample", "--generator", "scene", "--samples", "3", "--seed", "4", "--out", tmp_path / "a.npy", "--batch", "2")
    array = np.load(tmp_path / "a.npy")
    assert array.shape == (3, 3, 64, 64)
    assert array.dtype == np.float32
    z = SceneGenerator().sample(3, Stream(4, "sample")).z
    np.save(tmp_path / "z.npy", z.numpy())
    ran("sample", "--generator", "scene", "--latents", tmp_path / "z.npy", "--out", tmp_path / "b.npy")
    assert np.array_equal(array, np.load(tmp_path / "b.npy"))
    ran("sample", "--generator", "scene", "--samples", "3", "--seed", "4", "--size", "64", "--out", tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as picture:
        assert np.array_equal(
            np.asarray(picture)[:64, :64],
            to_bytes(SceneGenerator()(SceneGenerator().sample(3, Stream(4, "sample"))))[0],
        )


def test_segment_learns_the_scene(segmenter, photos, tmp_path):
    out = tmp_path / "figures"
    arguments = ("--photos", photos / "images", "--masks", photos / "masks", "--name", "scenes")
    text = ran("eval", "--segmenter", segmenter, *arguments, "--out", out)
    result = json.loads((out / "result.json").read_text())["datasets"][0]
    assert result["dataset"] == "scenes"
    assert result["images"] == 5
    # A width-8 network after 200 steps on exact synthetic masks has to be far above the .12 of all foreground.
    assert result["measures"]["iou"] > 0.4  # other seeds gave .64 to .89
    assert "definitions" in result
    assert f"{result['measures']['max_f']:.3f}" in text
    with (out / "scenes.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert np.isclose(np.mean([float(row["iou"]) for row in rows]), result["measures"]["iou"], atol=1e-5)
    assert (out / "scenes_cases.png").exists()


def test_segment_writes_pairs_and_figures(segmenter):
    result = json.loads((segmenter / "result.json").read_text())
    assert result["direction_name"] == "contrast"
    assert result["synthetic_iou"] > 0.5
    assert (segmenter / "synthetic.png").exists()
    assert (segmenter / "tensorboard").is_dir()


def test_segment_with_embeddings_and_photo_validation(true_set, photos, tmp_path):
    np.save(tmp_path / "z.npy", SceneGenerator().sample(20, Stream(3, "z")).z.numpy())
    ran(
        "segment", true_set, "--out", tmp_path / "run", "--embeddings", tmp_path / "z.npy", "--z-noise", "0.2",
        "--validation-photos", photos / "images", "--validation-masks", photos / "masks", *SEGMENT, "--steps", "4",
    )  # fmt: skip
    assert 0 <= json.loads((tmp_path / "run" / "result.json").read_text())["photo_iou"] <= 1


def test_eval_of_maps_against_masks(photos, tmp_path):
    perfect = ("--predictions", photos / "masks", "--masks", photos / "masks", "--name", "perfect")
    ran("eval", *perfect, "--out", tmp_path)
    measures = json.loads((tmp_path / "result.json").read_text())["datasets"][0]["measures"]
    assert measures["iou"] == measures["accuracy"] == measures["max_f"] == 1
    assert measures["mae"] == 0


def test_eval_of_several_data_sets(segmenter, photos, tmp_path):
    one = ("--photos", photos / "images", "--masks", photos / "masks")
    ran(
        "eval",
        "--segmenter",
        segmenter,
        *one,
        *one,
        "--name",
        "a",
        "--name",
        "b",
        "--out",
        tmp_path,
        "--protocol",
        "original",
    )
    first, second = json.loads((tmp_path / "result.json").read_text())["datasets"]
    assert first["measures"] == second["measures"]
    assert (tmp_path / "b.csv").exists()


def test_predict_keeps_sizes_and_folders(segmenter, photos, tmp_path):
    ran("predict", photos / "images", "--segmenter", segmenter, "--out", tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert len(written) == 17  # with the table and its summary
    for name, side in (("small_0", 64), ("large_1", 96)):
        for kind in ("mask", "soft", "overlay"):
            with Image.open(tmp_path / f"{name}_{kind}.png") as picture:
                assert picture.size == (side, side)
    with Image.open(tmp_path / "small_0_mask.png") as picture:
        assert set(np.unique(np.asarray(picture))) <= {0, 255}


def test_predict_writes_the_segmenter_s_own_masks_whatever_the_order_of_shapes(segmenter, tmp_path):
    from segmentation.predict.segmenter import Segmenter

    generator = np.random.default_rng(0)
    shapes = [(40, 50), (50, 40), (64, 64)] * 7
    for index, shape in enumerate(shapes):
        write_picture(tmp_path / "in" / f"{index}.png", generator.integers(0, 256, (*shape, 3), np.uint8))
    ran("predict", tmp_path / "in", "--segmenter", segmenter, "--out", tmp_path / "out", "--write", "soft",
        "--precision", "fp32")  # fmt: skip
    loaded = Segmenter.load(segmenter)
    assert len(list((tmp_path / "out").glob("*.png"))) == len(shapes)
    for index in range(len(shapes)):
        with Image.open(tmp_path / "in" / f"{index}.png") as picture:
            expected = loaded.probability(np.asarray(picture)) * 255
        with Image.open(tmp_path / "out" / f"{index}_soft.png") as picture:
            np.testing.assert_allclose(np.asarray(picture), expected, atol=0.51)


def test_predict_goes_on_past_broken_photos_when_asked(segmenter, photos, tmp_path):
    shutil.copytree(photos / "images", tmp_path / "in")
    (tmp_path / "in" / "broken.jpg").write_text("no photo")
    text = ran("predict", tmp_path / "in", "--segmenter", segmenter, "--out", tmp_path / "out", "--skip-unreadable",
               "--precision", "bf16")  # fmt: skip
    assert "left out: cannot read the photo" in text
    assert "wrote 15 pictures" in text
    assert len(list((tmp_path / "out").glob("*.png"))) == 15
    assert "broken.jpg" in json.loads((tmp_path / "out" / "result.json").read_text())["named"]["left_out"]


def test_predict_stops_at_a_broken_photo_and_leaves_whole_pictures(segmenter, photos, tmp_path):
    shutil.copytree(photos / "images", tmp_path / "in")
    (tmp_path / "in" / "zz.jpg").write_text("no photo")
    message = refused("predict", tmp_path / "in", "--segmenter", segmenter, "--out", tmp_path / "out")
    assert "zz.jpg" in message
    for path in (tmp_path / "out").glob("*.png"):
        read_photo(path)
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_train_generator_makes_a_generator_that_opens(photos, tmp_path):
    ran(
        "train-generator", photos / "images", "--out", tmp_path / "run", "--steps", "3", "--batch", "8", "--width", "8",
        "--critic-width", "8", "--image-size", "32", "--grid-every", "2", "--latent-dim", "8",
    )  # fmt: skip
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 2
    ran("sample", "--generator", tmp_path / "run", "--samples", "2", "--out", tmp_path / "s.npy")
    assert np.load(tmp_path / "s.npy").shape == (2, 3, 32, 32)


def test_demo_leaves_other_files_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    message = refused("demo", "--generator", "scene", "--smoke", "--out", tmp_path)
    assert "holds other files and no demo; choose an empty or new --out" in message
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_demo_leaves_one_self_contained_page(tmp_path):
    text = ran("demo", "--generator", "scene", "--smoke", "--out", tmp_path / "demo")
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.count("data:image/") >= 7
    assert 'src="http' not in page
    assert "Why this direction" in page
    assert "report.html" in text
