"""toolkit train-encoder and toolkit embed: latents of photos in order, with a record, resumed and refined."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_runs import SEGMENT, ran, refused, stopped
from PIL import Image
from rounding import close

import cli.commands.embed
import cli.runs.progress
from generators.encoder.embedding import LatentRefiner, Refinement, embed_images
from generators.encoder.network import Encoder, EncoderNetwork, EncoderShape, load_encoder
from generators.encoder.reconstruction import pyramid_error
from generators.latents_file import read_record, record_of, require_made_for
from generators.protocol import load_latents
from generators.scene import SceneGenerator
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.pictures.photos import read_centre, read_square, write_picture
from toolkit.pictures.pixels import from_bytes, to_bytes
from toolkit.streams import Stream

GENERATOR = SceneGenerator()
ENCODER = 6  # sums of products from a photo to its latent
CPU = torch.device("cpu")
TRAIN = (
    "--steps", "4", "--batch", "4", "--photo-batch", "4", "--width", "4", "--image-size", "16", "--log-every", "2",
    "--validate-every", "2", "--checkpoint-every", "2", "--precision", "fp32",
)  # fmt: skip


@pytest.fixture
def photos(tmp_path) -> Path:
    """Eleven photos in two folders, written in another order than that of their names."""
    pictures = to_bytes(GENERATOR(GENERATOR.sample(11, Stream(0, "embed-photos"))))
    for index in reversed(range(11)):
        write_picture(tmp_path / "photos" / ("a" if index < 5 else "b") / f"{index:02}.png", pictures[index])
    return tmp_path / "photos"


@pytest.fixture
def encoder(tmp_path) -> Path:
    torch.manual_seed(1)
    network = EncoderNetwork(EncoderShape(16, 16, 4))
    with torch.no_grad():
        network.head.weight.normal_(0, 0.05)
    Encoder(network, {"generator": "scene"}).save(tmp_path / "encoder.safetensors")
    return tmp_path / "encoder.safetensors"


def embed(photos, encoder, out, *more) -> str:
    return ran("embed", photos, "--generator", "scene", "--encoder", encoder, "--out", out, "--batch", 4, *more)


def test_an_encoder_is_trained_resumed_and_used(photos, tmp_path):
    run = tmp_path / "run"
    output = ran("train-encoder", "--generator", "scene", "--photos", photos, "--out", run, *TRAIN)
    assert "held-out photos: error of reconstructions" in output
    assert f"next: toolkit embed {photos} --generator scene --encoder {run} --out z.npy" in output
    result = json.loads((run / "result.json").read_text())
    assert {"latent_r2", "latent_r2_worst", "sample_error", "photo_error", "photo_error_mean"} <= set(result)
    assert (run / "pairs.png").exists()
    assert load_encoder(run / "encoder.safetensors").card["figures"]["photo_error"] == result["photo_error"]
    assert "finished already" in ran("train-encoder", "--generator", "scene", "--photos", photos, "--out", run, *TRAIN)
    embed(photos, run, tmp_path / "z.npy")
    assert load_latents(tmp_path / "z.npy", 16).shape == (11, 16)


def test_an_encoder_is_trained_without_photos(tmp_path):
    output = ran("train-encoder", "--generator", "scene", "--out", tmp_path / "run", *TRAIN)
    assert "held-out photos" not in output
    assert "photo_error" not in json.loads((tmp_path / "run" / "result.json").read_text())


def test_rows_are_the_means_of_the_photos_in_sorted_order(photos, encoder, tmp_path):
    output = embed(photos, encoder, out := tmp_path / "z.npy")
    assert f"next: toolkit segment DIRECTIONS --embeddings {out} --z-noise 0.2" in output
    names = [f"a/{i:02}.png" for i in range(5)] + [f"b/{i:02}.png" for i in range(5, 11)]
    images = from_bytes(np.stack([read_square(photos / name, 16) for name in names]))
    array = np.load(out)
    assert array.dtype == np.float32
    close(array, load_encoder(encoder)(images)[0], depth=ENCODER)
    record = json.loads(record_of(out).read_text())
    assert record["files"] == names
    assert record["made"]["latents"] == "mean"
    assert len(record["errors"]["error"]) == 11
    with Image.open(tmp_path / "z.png") as picture:
        assert picture.size == (11 * 18 - 2, 2 * 18 - 2)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith((".z", "z"))) == ["z.json", "z.npy", "z.png"]


def test_draws_are_those_of_the_seed_whatever_the_batch(photos, encoder, tmp_path):
    embed(photos, encoder, tmp_path / "one.npy", "--sample", "--seed", 3)
    embed(photos, encoder, tmp_path / "two.npy", "--sample", "--seed", 3, "--batch", 3)
    embed(photos, encoder, tmp_path / "other.npy", "--sample", "--seed", 4)
    one, two, other = (np.load(tmp_path / f"{name}.npy") for name in ("one", "two", "other"))
    close(one, two, depth=ENCODER)
    assert np.abs(one - other).mean() > 0.1


@pytest.fixture
def stop_at_once(monkeypatch):
    """Let every command be stopped after its first batch, until undone."""

    class AtOnce(cli.runs.progress.StopRequest):
        def __bool__(self) -> bool:
            return True

    with monkeypatch.context() as patch:
        patch.setattr(cli.runs.progress, "StopRequest", AtOnce)
        yield patch


@pytest.mark.parametrize("more", [(), ("--sample", "--steps", 2)], ids=["mean", "refined-sample"])
def test_an_interrupted_embedding_goes_on_as_if_it_had_not_been(photos, encoder, tmp_path, stop_at_once, more):
    arguments = ("embed", photos, "--generator", "scene", "--encoder", encoder, "--out", tmp_path / "z.npy")
    assert "stopped after 4 photos; rerun the command to resume" in stopped(*arguments, "--batch", 4, *more)
    assert not (tmp_path / "z.npy").exists()
    stop_at_once.undo()
    embed(photos, encoder, tmp_path / "whole.npy", *more)
    assert "resuming after 4 photos" in embed(photos, encoder, tmp_path / "z.npy", *more)
    assert (tmp_path / "z.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert record_of(tmp_path / "z.npy").read_text() == record_of(tmp_path / "whole.npy").read_text()
    assert not list(tmp_path.glob(".z*"))


def test_unfinished_work_of_another_kind_is_refused(photos, encoder, tmp_path, stop_at_once):
    arguments = ("embed", photos, "--generator", "scene", "--encoder", encoder, "--out", tmp_path / "z.npy")
    stopped(*arguments, "--batch", 4)
    stop_at_once.undo()
    message = refused(*arguments, "--sample")
    assert "latents was 'mean', now 'sample'; delete it or choose another --out" in message
    write_picture(photos / "a" / "00.png", np.zeros((8, 8, 3), np.uint8))
    assert "photos_digest was" in refused(*arguments)
    ran("embed", photos, "--generator", "scene", "--encoder", encoder, "--out", tmp_path / "other.npy")


def test_what_is_finished_stays_and_what_others_made_is_not_written_over(photos, encoder, tmp_path):
    embed(photos, encoder, out := tmp_path / "z.npy")
    assert "finished already" in embed(photos, encoder, out)
    before = out.read_bytes()
    message = refused("embed", photos, "--generator", "scene", "--encoder", encoder, "--out", out, "--steps", 1)
    assert "refine was 0, now 1" in message
    record_of(out).unlink()
    assert "holds latents" in refused("embed", photos, "--generator", "scene", "--encoder", encoder, "--out", out)
    assert out.read_bytes() == before


@pytest.mark.parametrize("ending", [".json", ".png"])
def test_a_file_of_others_beside_the_output_stays(photos, encoder, tmp_path, ending):
    other = tmp_path / f"z{ending}"
    other.write_text("mine")
    command = ("embed", photos, "--generator", "scene", "--encoder", encoder, "--out", tmp_path / "z.npy")
    assert "would be overwritten" in refused(*command)
    assert other.read_text() == "mine"


def test_refining_lowers_the_error_and_says_by_how_much(photos, encoder, tmp_path):
    output = embed(photos, encoder, tmp_path / "z.npy", "--steps", 20, "--rate", 0.1)
    record = json.loads((tmp_path / "z.json").read_text())
    figures, errors = record["figures"], record["errors"]
    assert figures["error"] < 0.8 * figures["error_before"]
    assert f"error {figures['error']:.3f}, error_before {figures['error_before']:.3f}" in output
    assert all(after <= before for after, before in zip(errors["error"], errors["error_before"], strict=True))


LATENTS = GENERATOR.sample(6, Stream(1, "refined"))


def test_refining_finds_a_nearby_latent_again_and_each_on_its_own():
    refiner = LatentRefiner(GENERATOR, 32, CPU)
    images = refiner.images(LATENTS.z)
    start = LATENTS.z + 0.3 * Stream(2, "refined").normal(6, 16)
    refined = refiner.refined(start, images, Refinement(40, 0.05))
    assert (refiner.errors(refined, images) < 0.3 * refiner.errors(start, images)).all()
    alone = torch.cat([refiner.refined(start[i : i + 1], images[i : i + 1], Refinement(40, 0.05)) for i in (0, 1)])
    torch.testing.assert_close(alone, refined[:2], atol=1e-3, rtol=1e-3)


def test_refining_keeps_latents_on_the_sphere():
    refiner = LatentRefiner(GENERATOR, 16, CPU)
    white = torch.ones(6, 3, 16, 16)  # the brighter the latent the better, without end
    refined = refiner.refined(LATENTS.z, white, Refinement(40, 0.3))
    assert refined.square().mean(dim=1).sqrt().max() < 1.6


def test_without_steps_or_a_generator_the_encoder_alone_speaks(encoder):
    images = GENERATOR(LATENTS)
    loaded = load_encoder(encoder)
    z, errors = embed_images(images, loaded, None, False, Refinement(), Stream(0, "x"))
    assert torch.equal(z, loaded(images)[0])
    assert errors == {}
    z, errors = embed_images(images, loaded, LatentRefiner(GENERATOR, 16, CPU), False, Refinement(), Stream(0, "x"))
    assert set(errors) == {"error"}
    smaller = torch.nn.functional.interpolate(images, size=(16, 16), mode="bilinear", antialias=True)
    shown = torch.nn.functional.interpolate(GENERATOR(type(LATENTS)(z)), size=(16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(errors["error"], pyramid_error(shown, smaller))


def test_a_broken_photo_is_named_or_left_out(photos, encoder, tmp_path):
    (photos / "a" / "02.png").write_bytes(b"no picture")
    arguments = ("embed", photos, "--generator", "scene", "--encoder", encoder, "--out", tmp_path / "z.npy")
    assert "02.png" in refused(*arguments)
    assert not (tmp_path / "z.npy").exists()
    assert "left out: cannot read the photo" in ran(*arguments, "--skip-unreadable")
    record = json.loads((tmp_path / "z.json").read_text())
    assert "a/02.png" not in record["files"]
    assert len(record["left_out"]) == 1
    assert len(np.load(tmp_path / "z.npy")) == 10


def test_nothing_but_broken_photos(encoder, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.png").write_bytes(b"no picture")
    arguments = ("--generator", "scene", "--encoder", encoder, "--out", tmp_path / "z.npy", "--skip-unreadable")
    assert refused("embed", tmp_path / "photos", *arguments) == "none of the photos could be read"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (("--backend", "jax"), "--backend is 'jax'; choose one of torch, tfhub"),
        (("--backend", "tfhub"), "--backend tfhub and --module go together"),
        (("--module", "m"), "--backend tfhub and --module go together"),
        (("--backend", "tfhub", "--module", "m", "--encoder", "e"), "omit --encoder"),
        (("--rate", "0"), "--rate is 0.0, but has to be more than 0"),
        ((), "no encoder comes with scene; give --encoder, or make one: toolkit train-encoder --generator scene"),
        (("--encoder", "missing"), "no encoder at missing"),
        (("--generator", "sceen"), "no generator 'sceen'"),
    ],
)
def test_what_can_be_put_right(photos, tmp_path, more, text):
    assert text in refused("embed", photos, "--generator", "scene", "--out", tmp_path / "z.npy", *more)
    assert not list(tmp_path.glob("z*"))


def test_the_name_of_the_output_and_an_encoder_of_another_generator(photos, encoder, tmp_path):
    arguments = ("embed", photos, "--generator", "scene", "--encoder", encoder, "--out")
    assert "should end in .npy" in refused(*arguments, tmp_path / "z.pt")
    Encoder(EncoderNetwork(EncoderShape(16, 16, 4)), {"generator": "flowers"}).save(encoder)
    message = refused(*arguments, tmp_path / "z.npy")
    assert "the encoder estimates latents of flowers with 16 numbers, but scene has 16" in message


class _Module:
    """Stands for the published encoder: latents are the mean colours, told of centre squares of 64 pixels."""

    image_size = 64
    latent_dim = 16

    def embed(self, images, sample, rng):
        assert images.shape[-2:] == (64, 64)
        return images.mean(dim=(2, 3)).repeat(1, 6)[:, :16] + (rng.normal(len(images), 16) if sample else 0)


@pytest.fixture
def module(tmp_path, monkeypatch):
    import generators.tensorflow.encoder

    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "saved_model.pb").write_bytes(b"module")
    monkeypatch.setattr(generators.tensorflow.encoder, "load_tfhub_encoder", lambda folder: _Module())
    return tmp_path / "module"


def test_a_published_module_sees_photos_as_the_original_did(photos, module, tmp_path):
    out = tmp_path / "z.npy"
    ran("embed", photos, "--generator", "scene", "--backend", "tfhub", "--module", module, "--out", out)
    (first, *_) = json.loads((tmp_path / "z.json").read_text())["files"]
    expected = from_bytes(read_centre(photos / first, 64)).mean(dim=(1, 2)).repeat(6)[:16]
    torch.testing.assert_close(torch.from_numpy(np.load(out)[0]), expected)


def test_a_published_module_needs_no_weights_of_its_generator(photos, module, tmp_path, monkeypatch):
    monkeypatch.setattr(cli.commands.embed, "_open_renderer", lambda name, weights, device: None)
    arguments = ("embed", photos, "--generator", "bigbigan", "--backend", "tfhub", "--module", module)
    ran(*arguments, "--out", tmp_path / "z.npy")
    assert not (tmp_path / "z.png").exists()
    assert read_record(tmp_path / "z.npy")["generator"] == "bigbigan"
    assert "--steps need the generator" in refused(*arguments, "--out", tmp_path / "y.npy", "--steps", 1)


@pytest.mark.parametrize("size", [(300, 401), (401, 300), (256, 256), (90, 31)])
def test_the_centre_is_that_of_torchvision(tmp_path, size):
    from torchvision.transforms import v2

    pixels = (Stream(0, "centre").uniform(size[0], 3 * size[1]).numpy() * 255).astype(np.uint8)
    write_picture(tmp_path / "p.png", pixels.reshape(*size, 3))
    whole = v2.Compose([v2.Resize(64), v2.CenterCrop(64)])
    expected = np.asarray(whole(Image.fromarray(pixels.reshape(*size, 3))))
    np.testing.assert_array_equal(read_centre(tmp_path / "p.png", 64), expected)


@pytest.fixture
def directions(tmp_path) -> Path:
    vectors, source = GENERATOR.contrast_direction()[None], {"source": {"generator": "scene"}}
    path = tmp_path / "directions.safetensors"
    DirectionSet(vectors, "scene", "known", choice=Choice(0, 1, 3.0), card=source).save(path)
    return path


def test_a_segmenter_is_trained_on_the_latents_of_photos(photos, encoder, directions, tmp_path):
    embed(photos, encoder, tmp_path / "z.npy")
    more = ("--embeddings", tmp_path / "z.npy", "--z-noise", 0.2, "--noise-kind", "preserving")
    ran("segment", directions, "--out", tmp_path / "segmenter", *more, *SEGMENT, "--steps", 2)
    result = json.loads((tmp_path / "segmenter" / "result.json").read_text())
    assert str(tmp_path / "z.npy") in result["embeddings"]
    assert (tmp_path / "segmenter" / "segmenter.safetensors").exists()


@pytest.mark.parametrize("change", [{"generator": "flowers64"}, {"latent_dim": 64}])
def test_latents_of_another_generator_are_refused(photos, encoder, directions, tmp_path, change):
    embed(photos, encoder, out := tmp_path / "z.npy")
    record = json.loads(record_of(out).read_text())
    record["made"] |= change
    record_of(out).write_text(json.dumps(record))
    message = refused("segment", directions, "--out", tmp_path / "s", "--embeddings", out, *SEGMENT)
    assert "but those of scene with 16 are needed; embed the photos with this generator" in message
    assert not (tmp_path / "s").exists()


def test_published_latents_have_no_record_and_other_records_are_none_of_ours(tmp_path):
    out = tmp_path / "z.npy"
    np.save(out, np.zeros((2, 16), np.float32))
    assert require_made_for(out, GENERATOR) == {}
    record_of(out).write_text('{"somebody": "else"}')
    assert require_made_for(out, GENERATOR) == {}
    record_of(out).write_text('{"kind": "latents of photos"}')
    with pytest.raises(UserError, match="does not say how the latents were made"):
        require_made_for(out, GENERATOR)


def test_a_command_killed_between_picture_and_latents_is_repeated(photos, encoder, tmp_path, monkeypatch):
    from generators import latents_file

    embed(photos, encoder, tmp_path / "whole.npy")

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(latents_file, "save_latents", killed)
    stopped("embed", photos, "--generator", "scene", "--encoder", encoder, "--out", tmp_path / "z.npy", "--batch", 4)
    assert sorted(path.name for path in tmp_path.glob("*z.*")) == [".z.unfinished.safetensors", "z.png"]
    monkeypatch.undo()
    embed(photos, encoder, tmp_path / "z.npy")
    assert (tmp_path / "z.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_what_a_command_killed_at_its_end_has_left_goes(photos, encoder, tmp_path):
    embed(photos, encoder, tmp_path / "z.npy")
    (tmp_path / ".z.unfinished.safetensors").write_bytes(b"")
    assert "finished already" in embed(photos, encoder, tmp_path / "z.npy")
    assert not list(tmp_path.glob(".z*"))
