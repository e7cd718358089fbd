"""toolkit synthesize: the pairs on disk, whatever the layout, the batch size and the interruptions."""

import dataclasses
import io
import itertools
import json
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import torch
from cli_runs import ran, refused, stopped
from PIL import Image

import cli.runs.progress as cli_progress
from generators.scene import SceneGenerator
from segmentation.synthesis.settings import SynthesizeSettings
from segmentation.synthesis.shards import SynthesisState, synthesize, writer_of
from segmentation.synthesis.synthesizer import MaskSynthesizer, latent_source
from segmentation.unet.settings import SegmentationSettings
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.files import locks
from toolkit.files.writing import sha256_of
from toolkit.pictures.pixels import to_bytes

COUNT = 11
SHARDS = ("--layout", "shards", "--shard-size", "4")


@pytest.fixture(scope="module")
def scene_set(tmp_path_factory):
    generator = SceneGenerator()
    path = tmp_path_factory.mktemp("true") / "directions.safetensors"
    vector, source = generator.contrast_direction()[None], {"source": {"generator": "scene"}}
    DirectionSet(vector, "scene", "known", ("contrast",), choice=Choice(0, 1, 3.0), card=source).save(path)
    return path


def arguments(scene_set, out, *more):
    tiny = ("--samples", COUNT, "--batch", 3, "--checkpoint-every", 1, "--device", "cpu", "--precision", "fp32")
    return ("synthesize", scene_set, "--out", out, *tiny, *more)


@pytest.fixture(scope="module")
def folder(scene_set, tmp_path_factory):
    out = tmp_path_factory.mktemp("folder") / "pairs"
    return out, ran(*arguments(scene_set, out))


@pytest.fixture(scope="module")
def shards(scene_set, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards") / "pairs"
    return out, ran(*arguments(scene_set, out, *SHARDS))


def files_of(out):
    """Every pair file and the manifest, by name."""
    names = [*out.glob("images/*"), *out.glob("masks/*"), *out.glob("*shard*"), out / "manifest.json"]
    return {str(path.relative_to(out)): path.read_bytes() for path in names}


def pairs_in_folder(out):
    return [
        (image.read_bytes(), mask.read_bytes())
        for image, mask in zip(sorted(out.glob("images/*")), sorted(out.glob("masks/*")), strict=True)
    ]


def assert_equal_to_rounding(pairs, others):
    """In batches of another size a number at the border of two levels, or of the mask, may fall to the other side."""
    for one, other in zip(pairs, others, strict=True):
        image, mask = (np.abs(pixels_of(a).astype(int) - pixels_of(b)) for a, b in zip(one, other, strict=True))
        assert image.max() <= 1
        assert (image > 0).mean() < 0.001
        assert (mask > 0).mean() < 0.001


def encoded(pixels):
    Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def pixels_of(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_folder_holds_the_synthesizers_pairs(folder):
    out, text = folder
    pairs = pairs_in_folder(out)
    assert sorted(path.name for path in (out / "masks").iterdir()) == [f"{i:09}.png" for i in range(COUNT)]
    generator, settings = SceneGenerator(), SegmentationSettings()
    shift, source = 3 * generator.contrast_direction(), latent_source(generator, settings)
    made = MaskSynthesizer(generator, shift, settings, source, "synthesize").batch(COUNT)
    masks = np.where(made.masks.numpy(), np.uint8(255), np.uint8(0))
    written = [[encoded(image), encoded(mask)] for image, mask in zip(to_bytes(made.images), masks, strict=True)]
    assert_equal_to_rounding(pairs, written)
    assert (out / "samples.png").exists()
    assert "next: toolkit segment" in text
    assert "accepted" in text


def test_both_layouts_hold_the_same_pairs(folder, shards):
    members = []
    for path in sorted(shards[0].glob("shard-*.tar")):
        with tarfile.open(path) as archive:
            members += [(info, archive.extractfile(info).read()) for info in archive.getmembers()]
    names = [f"{i:09}.{field}.png" for i in range(COUNT) for field in ("image", "mask")]
    assert [info.name for info, _ in members] == names
    assert {(info.mtime, info.uid, info.gid, info.uname, info.mode) for info, _ in members} == {(0, 0, 0, "", 0o644)}
    contents = [content for _, content in members]
    assert list(zip(contents[::2], contents[1::2], strict=True)) == pairs_in_folder(folder[0])


def test_the_batch_size_does_not_matter(scene_set, folder, tmp_path):
    ran(*arguments(scene_set, tmp_path / "other", "--batch", 8))
    assert_equal_to_rounding(pairs_in_folder(tmp_path / "other"), pairs_in_folder(folder[0]))


def test_fewer_pairs_are_the_first_of_many(scene_set, folder, tmp_path):
    ran(*arguments(scene_set, tmp_path / "fewer", "--samples", 4))
    assert_equal_to_rounding(pairs_in_folder(tmp_path / "fewer"), pairs_in_folder(folder[0])[:4])


def test_the_manifest_says_what_was_made_of_what(shards):
    out, _ = shards
    manifest = json.loads((out / "manifest.json").read_text())
    told = {name: manifest[name] for name in ("count", "layout", "image_size", "generator", "direction", "alpha")}
    assert told == {
        "count": COUNT, "layout": "shards", "image_size": 64, "generator": "scene", "direction": 0, "alpha": 3.0,
    }  # fmt: skip
    assert (manifest["direction_name"], manifest["mask_rule"]) == ("contrast", "lighting")
    assert manifest["settings"]["shard_size"] == 4
    assert 'mask_rule = "lighting"' in (out / "config.toml").read_text()
    figures = manifest["acceptance"]
    assert figures["drawn"] == figures["accepted"] + sum(figures["rejected"].values())
    assert [shard["pairs"] for shard in manifest["shards"]] == [4, 4, 3]
    assert all(sha256_of(out / shard["file"]) == shard["sha256"] for shard in manifest["shards"])


@pytest.mark.parametrize("layout", [(), SHARDS], ids=["folder", "shards"])
def test_an_interrupted_command_goes_on_as_if_it_had_not_been(scene_set, folder, shards, tmp_path, monkeypatch, layout):
    class Interrupted(cli_progress.StopRequest):
        """Ctrl-C in the second batch."""

        asked = itertools.count()

        def __bool__(self):
            return next(self.asked) >= 1

    command = arguments(scene_set, tmp_path / "broken", *layout)
    with monkeypatch.context() as patch:
        patch.setattr(cli_progress, "StopRequest", Interrupted)
        assert "stopped at step 2; rerun the command to resume" in stopped(*command)
    assert not (tmp_path / "broken" / "manifest.json").exists()
    assert "resuming at step 2" in ran(*command)
    assert files_of(tmp_path / "broken") == files_of((shards if layout else folder)[0])
    assert "is finished already" in ran(*command)


def state_of(settings, out):
    generator = SceneGenerator()
    shift, source = 3 * generator.contrast_direction(), latent_source(generator, settings.masking())
    synthesizer = MaskSynthesizer(generator, shift, settings.masking(), source, "synthesize")
    return SynthesisState(synthesizer, writer_of(settings, out))


@pytest.mark.parametrize("layout", ["folder", "shards"])
@pytest.mark.parametrize("saved", range(4))
@pytest.mark.parametrize("further", [0, 1, 3])
def test_what_was_written_after_the_saved_state_is_written_again(tmp_path, layout, saved, further):
    settings = SynthesizeSettings(samples=COUNT, batch=3, layout=layout, shard_size=4)
    whole = tmp_path / "whole"
    whole.mkdir()
    for _ in synthesize(state_of(settings, whole), settings):
        pass
    (tmp_path / "broken").mkdir()
    killed = state_of(settings, tmp_path / "broken")
    steps = synthesize(killed, settings)
    list(itertools.islice(steps, saved))
    checkpoint = killed.state_dict()
    list(itertools.islice(steps, further))
    if layout == "folder" and saved:
        (tmp_path / "broken" / ".pair.part").write_bytes(b"cut sh")
    again = state_of(settings, tmp_path / "broken")
    again.load_state_dict(checkpoint)
    for _ in synthesize(again, settings):
        pass
    found = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (whole, tmp_path / "broken")
    ]
    assert found[0] == found[1]


def test_a_shard_has_its_name_only_when_it_is_complete(tmp_path):
    settings = SynthesizeSettings(samples=COUNT, batch=3, layout="shards", shard_size=4)
    state = state_of(settings, tmp_path)
    found = [sorted(path.name for path in tmp_path.glob("shard*")) for _ in synthesize(state, settings)]
    assert [len(names) for names in found] == [0, 1, 2, 3]
    assert not list(tmp_path.glob(".shard*"))


def test_a_lost_shard_under_way_is_told(tmp_path):
    settings = SynthesizeSettings(samples=COUNT, batch=3, layout="shards", shard_size=4)
    state = state_of(settings, tmp_path)
    next(synthesize(state, settings))
    checkpoint = state.state_dict()
    (tmp_path / ".shard-000000.tar.part").unlink()
    with pytest.raises(UserError, match=r"shard-000000\.tar\.part is gone or cut short; put it back, or start again"):
        state_of(settings, tmp_path).load_state_dict(checkpoint)


def test_embeddings_replace_random_latents(scene_set, folder, tmp_path):
    np.save(tmp_path / "z.npy", torch.randn(5, 16).numpy())
    ran(*arguments(scene_set, tmp_path / "out", "--embeddings", tmp_path / "z.npy", "--z-noise", 0.2))
    assert pairs_in_folder(tmp_path / "out") != pairs_in_folder(folder[0])
    assert "z.npy" in json.loads((tmp_path / "out" / "manifest.json").read_text())["embeddings"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--samples", 0), "--samples is 0, but has to be at least 1"),
        ((*SHARDS, "--shard-size", 0), "--shard-size is 0, but has to be at least 1"),
        (("--batch", 0), "--batch is 0, but has to be at least 1"),
        (("--layout", "zip"), "--layout is 'zip'; choose one of folder, shards"),
        (("--min-area", 0.6), "no mask can pass"),
        (("--z-noise", 0.2), "--z-noise is added to embeddings"),
        (("--direction", 0), "--direction needs the shift length too"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(scene_set, tmp_path, more, message):
    assert message in refused(*arguments(scene_set, tmp_path / "out", *more))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(scene_set, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert "holds other files and no run; choose an empty or new --out" in refused(*arguments(scene_set, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_another_seed_does_not_go_on_in_the_same_folder(scene_set, folder):
    assert "seed was 0, now 1" in refused(*arguments(scene_set, folder[0], "--seed", 1))


def test_the_rule_recorded_with_the_choice_makes_the_masks_unless_another_is_named(scene_set, folder, tmp_path):
    chosen = tmp_path / "directions.safetensors"
    directions = DirectionSet.load(scene_set)
    dataclasses.replace(directions, choice=Choice(0, 1, 3.0, mask_rule="mean_thr")).save(chosen)
    ran(*arguments(chosen, tmp_path / "recorded"))
    ran(*arguments(scene_set, tmp_path / "named", "--mask-rule", "mean_thr"))
    printed = ran(*arguments(chosen, tmp_path / "other", "--mask-rule", "lighting"))
    assert "note: masks of this direction were found to be best by --mask-rule mean_thr" in printed
    recorded, named, other = (files_of(tmp_path / name) for name in ("recorded", "named", "other"))
    assert recorded == named
    assert other == files_of(folder[0])
    assert recorded != other


SHARED = ("--layout", "shared", "--shard-size", "4")


@pytest.fixture(scope="module")
def shared(scene_set, tmp_path_factory):
    out = tmp_path_factory.mktemp("shared") / "pairs"
    return out, ran(*arguments(scene_set, out, *SHARED))


def made_of(out):
    """Shards, their notes and the manifest, by name; nothing hidden may be left."""
    assert not list(out.glob(".*"))
    return {path.name: path.read_bytes() for path in [*out.glob("shard-*"), out / "manifest.json"]}


def test_shared_shards_are_whole_and_named_by_the_manifest(shared):
    out, text = shared
    manifest = json.loads((out / "manifest.json").read_text())
    assert [shard["pairs"] for shard in manifest["shards"]] == [4, 4, 3]
    assert all(sha256_of(out / shard["file"]) == shard["sha256"] for shard in manifest["shards"])
    names = []
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as archive:
            names += archive.getnames()
    assert names == [f"{i:09}.{field}.png" for i in range(COUNT) for field in ("image", "mask")]
    figures = manifest["acceptance"]
    assert figures["drawn"] == figures["accepted"] + sum(figures["rejected"].values())
    assert "manifest.json" in text


@pytest.mark.parametrize("lost", ["shard-000001.tar", "shard-000001.json", "shard-000002.json"])
def test_a_shard_that_is_not_whole_is_made_again_to_the_same_bytes(scene_set, shared, tmp_path, lost):
    before = made_of(shared[0])
    shutil.copytree(shared[0], tmp_path / "killed")
    for name in (lost, "manifest.json", "result.json"):
        (tmp_path / "killed" / name).unlink()
    ran(*arguments(scene_set, tmp_path / "killed", *SHARED))
    assert made_of(tmp_path / "killed") == before
    assert "is finished already" in ran(*arguments(scene_set, tmp_path / "killed", *SHARED))


@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_a_finished_folder_whose_shard_was_harmed_is_mended(scene_set, shared, tmp_path, harm):
    before, out = made_of(shared[0]), tmp_path / "pairs"
    shutil.copytree(shared[0], out)
    if harm == "lost":
        (out / "shard-000001.tar").unlink()
    else:
        (out / "shard-000001.tar").write_bytes(b"junk")
    assert "1 of the shards are lost or damaged" in ran(*arguments(scene_set, out, *SHARED))
    assert made_of(out) == before


def test_a_shard_that_another_command_is_at_is_left_to_it(scene_set, shared, tmp_path):
    out = tmp_path / "pairs"
    out.mkdir()
    shutil.copytree(shared[0], out, dirs_exist_ok=True)
    for name in ("shard-000000.tar", "shard-000001.tar", "manifest.json", "result.json"):
        (out / name).unlink()
    lock = locks.take(out / ".shard-000001.tar.lock")
    assert "one shard is being made by other commands" in ran(*arguments(scene_set, out, *SHARED))
    assert (out / "shard-000000.tar").exists()
    assert not (out / "shard-000001.tar").exists()
    assert not (out / "manifest.json").exists()
    lock.release()
    ran(*arguments(scene_set, out, *SHARED))
    assert made_of(out) == made_of(shared[0])


def test_commands_of_other_settings_are_kept_out_of_a_shared_folder(scene_set, shared):
    command = arguments(scene_set, shared[0], *SHARED)
    assert "--seed was 0, now 1" in refused(*command, "--seed", 1)
    assert "precision was 'fp32', now 'bf16'" in refused(*command, "--precision", "bf16")
    assert "--processes goes with --layout folder or shards" in refused(*command, "--processes", 2)


def test_a_stopped_command_leaves_whole_shards_alone_and_nothing_else(scene_set, shared, tmp_path, monkeypatch):
    class Interrupted(cli_progress.StopRequest):
        """Ctrl-C in the fourth batch, the second of the second shard."""

        asked = itertools.count(1)

        def __bool__(self):
            return next(self.asked) >= 4

    command = arguments(scene_set, tmp_path / "broken", *SHARED)
    with monkeypatch.context() as patch:
        patch.setattr(cli_progress, "StopRequest", Interrupted)
        assert "stopped within a shard" in stopped(*command)
    assert [path.name for path in (tmp_path / "broken").glob("*.tar")] == ["shard-000000.tar"]
    assert not list((tmp_path / "broken").glob(".*"))
    ran(*command)
    assert made_of(tmp_path / "broken") == made_of(shared[0])


def test_two_commands_at_once_make_each_shard_once(scene_set, shared, tmp_path):
    command = [str(part) for part in arguments(scene_set, tmp_path / "both", *SHARED)]
    started = [subprocess.Popen([sys.executable, "-m", "toolkit", *command]) for _ in range(2)]
    assert [process.wait(120) for process in started] == [0, 0]
    if not (tmp_path / "both" / "manifest.json").exists():  # each saw the other at its last shard
        ran(*command)
    assert made_of(tmp_path / "both") == made_of(shared[0])
