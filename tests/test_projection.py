"""Photos found in the latent spaces of style-based generators, without an encoder."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_runs import ran, refused, stopped
from golden_stylegan3 import TINY as STYLEGAN3
from golden_stylegan3 import filled_shape
from PIL import Image
from safetensors.torch import load_file
from test_stylegan2 import built, filled
from torch import nn

import cli.runs.progress
import toolkit
from generators.encoder.network import Encoder, EncoderNetwork, EncoderShape
from generators.encoder.reconstruction import pyramid_error
from generators.latents_file import read_record, record_of
from generators.layouts import Weights, open_published
from generators.projection.distance import edge_pyramid_error
from generators.projection.noise import first_noises, likeness
from generators.projection.photos import PhotoProjector, RememberedPhotos
from generators.projection.projector import Projector
from generators.projection.settings import Projection
from generators.protocol import Latents
from generators.published.stylegan2.shape import StyleGAN2Shape
from generators.recorded import generator_inputs
from generators.spec import Options
from generators.styled import StyledGenerator, StyledNetwork, Styling
from toolkit.compute.engine import Engine
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.files.artefacts import save_artefact
from toolkit.files.places import cache_folder
from toolkit.files.writing import sha256_of
from toolkit.pictures.photos import write_picture
from toolkit.pictures.pixels import from_bytes, to_bytes
from toolkit.shifts import at_layers
from toolkit.streams import Stream

TINY = StyleGAN2Shape((8, 10, 6), style_dim=8, mapping_layers=3, latent_dim=8)
ENGINE = Engine(torch.device("cpu"), bf16=False)


class Bands(StyledNetwork):
    """A network one can invert: each of four layers paints a quarter of the image in the colour its w names."""

    latent_dim = style_dim = 3
    num_layers = 4
    image_size = 16

    def __init__(self):
        super().__init__()
        self.mapping = nn.Identity()

    def forward(self, w, noises=None):
        colours = 0.3 * self.by_layer(w)
        return colours.transpose(1, 2)[..., None].expand(-1, -1, -1, 4 * 16).reshape(-1, 3, 16, 16)

    def modulations(self):
        return [torch.eye(3) for _ in range(4)]


BANDS = StyledGenerator(Bands(), "bands")


def tiny(**styling):
    return StyledGenerator(built(TINY, filled(TINY)), "stylegan2", Styling(**styling))


@pytest.fixture(scope="module")
def generator():
    return tiny()


@pytest.fixture
def tiny_file(tmp_path) -> Path:
    torch.save({"g_ema": filled(TINY)}, tmp_path / "tiny.pt")
    return tmp_path / "tiny.pt"


@pytest.fixture
def photos(tmp_path, generator) -> Path:
    pictures = to_bytes(generator(generator.sample(5, Stream(1, "photos"))))
    for index, picture in enumerate(pictures):
        write_picture(tmp_path / "photos" / f"{index}.png", picture)
    return tmp_path / "photos"


def embedded(generator, photos, space, steps, **more):
    found = Projector(generator, Projection(space, steps, **more), ENGINE).embed(photos)
    return found.latents, found.errors


@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_latent_that_the_image_names_is_recovered(space):
    latents = BANDS.sample(6, Stream(0, "truth"))
    if space == "w+":
        latents = Latents(torch.stack([latents.z, latents.z.flip(0), -latents.z, 0 * latents.z], dim=1))
    found, errors = embedded(BANDS, BANDS(latents), space, 150, apartness=0.0)
    torch.testing.assert_close(found, latents.z, atol=0.02, rtol=0)
    assert (errors["error"] < 0.02 * errors["error_before"]).all()


def test_w_plus_finds_what_one_w_cannot_and_what_it_can_as_well(generator):
    one, other = generator.sample(2, Stream(2, "truth")).z
    images = generator(Latents(torch.stack([one.expand(6, -1), torch.stack([one, other] * 3)])))
    w, w_plus = (embedded(generator, images, space, 80)[1] for space in ("w", "w+"))
    assert (w_plus["error"] < 0.02 * w_plus["error_before"]).all()
    assert w["error"][0] < 0.02 * w["error_before"][0]
    assert w["error"][1] > 2 * w_plus["error"][1]


def test_layers_keep_together_the_more_so_the_more_apartness_costs():
    images = BANDS(Latents(Stream(3, "truth").normal(4, 12).view(4, 4, 3)))
    free, bound = (embedded(BANDS, images, "w+", 60, apartness=cost)[0] for cost in (0.0, 1.0))
    assert bound.var(dim=1).mean() < 0.3 * free.var(dim=1).mean()


@pytest.mark.parametrize("space", ["w", "w+", "z"])
def test_a_photo_is_found_alike_in_any_batch(generator, space):
    one = generator if space != "z" else tiny(space="z")
    images = generator(generator.sample(3, Stream(4, "truth")))
    together, errors = embedded(one, images, space, 12)
    alone = [embedded(one, images[row : row + 1], space, 12)[0] for row in (2, 0)]
    torch.testing.assert_close(torch.cat(alone), together[[2, 0]], atol=1e-3, rtol=1e-3)
    assert together.shape == ((3, 6, 8) if space == "w+" else (3, 8))
    shown = one(Latents(together))
    torch.testing.assert_close(errors["error"], pyramid_error(shown, images), atol=1e-5, rtol=1e-4)


def test_in_z_the_error_falls_as_well():
    one = tiny(space="z", psi=0.7)
    images = one(one.sample(4, Stream(5, "truth")))
    _, errors = embedded(one, images, "z", 60)
    assert errors["error"].mean() < 0.5 * errors["error_before"].mean()


@pytest.mark.parametrize("noise", ["none", "fresh"])
def test_other_noise_than_the_stored_one_is_the_generators(noise):
    one = tiny(noise=noise)
    target = one(Latents(one.sample(2, Stream(6, "truth")).z, torch.zeros(2, dtype=torch.int64)))
    found, errors = embedded(one, target, "w", 40)
    shown = one(Latents(found, torch.zeros(2, dtype=torch.int64)))
    torch.testing.assert_close(errors["error"], pyramid_error(shown, target), atol=1e-5, rtol=1e-4)
    assert (errors["error"] < 0.5 * errors["error_before"]).all()


def test_truncation_changes_nothing_in_w(generator):
    images = generator(generator.sample(2, Stream(7, "truth")))
    plain, _ = embedded(generator, images, "w+", 5)
    truncated, _ = embedded(tiny(psi=0.5, cutoff=2), images, "w+", 5)
    assert torch.equal(plain, truncated)


@pytest.mark.parametrize("pose", ["fixed", "walk"])
def test_a_family_without_noise_maps_is_projected_as_well(pose):
    weights = Weights(filled_shape(STYLEGAN3), Path("G.pkl"), {})
    one = open_published(weights, Options({"pose": pose}, "G.pkl"))
    images = one(one.sample(2, Stream(10, "truth")))
    found, errors = embedded(one, images, "w+", 20, rate=0.2)
    assert found.shape == (2, one.num_layers, one.latent_dim)
    assert (errors["error"] < 0.7 * errors["error_before"]).all()
    torch.testing.assert_close(pyramid_error(one(Latents(found)), images), errors["error"], atol=1e-5, rtol=1e-4)


def test_weights_get_no_gradients(generator, monkeypatch):
    wanted = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda loss, leaves: wanted.append(leaves) or grad(loss, leaves))
    embedded(generator, torch.zeros(2, 3, 16, 16), "w+", 1)
    assert [leaf.shape for leaf in wanted[0]] == [(2, 8), (2, 6, 8)]


def test_the_distance_is_one_that_can_be_worked_out():
    images, photos = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    assert edge_pyramid_error(images, photos).item() == 0
    assert edge_pyramid_error(images + 0.5, photos).item() == pytest.approx(0.5)  # no edges
    images[..., ::2] = 1.0  # stripes: 1/2, edges across 1; at half the side they are an even 1/2
    assert edge_pyramid_error(images, photos).item() == pytest.approx((0.5 + 0.5 + 0.5) / 2)


def test_rates_rise_and_fall_and_disturbances_die_out():
    settings = Projection("w", 100)
    rates = [settings.rate_at(step) for step in range(100)]
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert rates[5:75] == pytest.approx([0.1] * 70)
    assert rates[75:] == sorted(rates[75:], reverse=True)
    assert rates[99] < 0.001
    assert [settings.jitter_at(step) for step in (0, 75, 99)] == [0.05, 0, 0]


# ---------------------------------------------------------------- noise


def test_likeness_is_one_that_can_be_worked_out():
    board = torch.tensor([[1.0, -1], [-1, 1]]).repeat(8, 8)  # every neighbour the opposite; even at half the side
    stripes = torch.tensor([1.0, -1]).repeat(8, 4)
    assert likeness([board[None, None]]).item() == pytest.approx(1 + 1)
    assert likeness([stripes[None, None], board[None, None, :8, :8]]).tolist() == pytest.approx([2 + 2])
    blocks = board[:8, :8].repeat_interleave(2, 0).repeat_interleave(2, 1)  # half of the neighbours are alike
    assert likeness([blocks[None, None]]).item() == pytest.approx(2 * 2.0**4)  # at half the side a board of 2 and -2
    white = likeness(first_noises([(32, 32)], 1, 0))
    assert white.item() < 0.05


def test_noise_is_found_along_and_stays_noise(generator):
    images = tiny(noise="fresh")(Latents(generator.sample(3, Stream(8, "truth")).z, torch.arange(3)))
    alone = Projector(generator, Projection("w", 60), ENGINE).embed(images)
    projector = Projector(generator, Projection("w", 60, optimise_noise=True), ENGINE)
    along = projector.embed(images)
    assert along.errors["error"].mean() < 0.9 * alone.errors["error"].mean()
    latents = Latents(along.latents, noise=along.noise)
    torch.testing.assert_close(pyramid_error(generator(latents), images), along.errors["error"], atol=1e-5, rtol=1e-4)
    maps = generator.noises_of(latents)
    assert [tuple(one.shape) for one in maps] == [(3, 1, *shape) for shape in generator.network.noise_shapes]
    for one in maps:
        torch.testing.assert_close(one.mean(dim=(1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(one.square().mean(dim=(1, 2, 3)), torch.ones(3))
    assert likeness(maps).max() < 0.02
    last = projector.embed(images[2:])
    torch.testing.assert_close(last.noise, along.noise[2:], atol=0.02, rtol=0.02)


def test_noise_goes_wherever_its_latents_go(generator):
    z, noise = generator.sample(3, Stream(9, "truth")).z, Stream(9, "noise").normal(3, generator.noise_size)
    latents = Latents(z, noise=noise)
    whole = generator(latents)
    for part, rows in (
        (latents[1:], slice(1, 3)),
        (latents[torch.tensor([2, 0])], [2, 0]),
        (Latents.cat([latents[:1], latents[2:]]), [0, 2]),
        (latents.layered(6), slice(None)),
        (latents.shifted(torch.zeros(1, 6, 8)).to(torch.device("cpu")), slice(None)),
    ):
        torch.testing.assert_close(generator(part), whole[rows])
    assert not torch.allclose(generator(Latents(z)), whole)
    torch.testing.assert_close(tiny(noise="none")(latents), tiny(noise="none")(Latents(z)))


def test_found_noise_is_written_and_rendered_again(photos, tiny_file, tmp_path):
    out = tmp_path / "w.npy"
    words = ("embed", photos, "--generator", tiny_file, "--space", "w", "--optimise-noise", "--device", "cpu")
    ran(*words, "--steps", 6, "--batch", 2, "--out", out)
    assert np.load(tmp_path / "w.noise.npy").shape == (5, tiny().noise_size)
    assert read_record(out)["optimise_noise"] is True
    ran("sample", "--generator", tiny_file, "--latents", f"{out}:3,1", "--out", tmp_path / "s.npy", "--device", "cpu")
    target = torch.stack([from_bytes(np.asarray(Image.open(photos / f"{row}.png"))) for row in (3, 1)])
    errors = json.loads(record_of(out).read_text())["errors"]["error"]
    missed = pyramid_error(torch.from_numpy(np.load(tmp_path / "s.npy")), target)
    assert missed.tolist() == pytest.approx([errors[3], errors[1]], abs=1e-5)
    found = toolkit.embed(photos, tiny_file, "w", steps=6, optimise_noise=True, device="cpu")
    np.testing.assert_allclose(found.noise.numpy(), np.load(tmp_path / "w.noise.npy"), atol=0.02)
    np.save(tmp_path / "w.noise.npy", np.load(tmp_path / "w.noise.npy")[:4])
    message = refused("sample", "--generator", tiny_file, "--latents", out, "--out", tmp_path / "s.npy")
    assert f"w.noise.npy has noise of 4 photos, but {out} has 5; embed them again" in message


# ---------------------------------------------------------------- the command


def test_photos_are_embedded_layer_by_layer(photos, tiny_file, tmp_path):
    out = tmp_path / "w.npy"
    words = ("embed", photos, "--generator", tiny_file, "--out", out, "--device", "cpu")
    output = ran(*words, "--space", "w+", "--refine", 30, "--rate", 0.2)
    assert np.load(out).shape == (5, 6, 8)
    made, record = read_record(out), json.loads(record_of(out).read_text())
    assert {name: made[name] for name in ("generator", "latent_dim", "space", "steps", "rate")} == {
        "generator": "stylegan2", "latent_dim": 8, "space": "w+", "steps": 30, "rate": 0.2,
    }  # fmt: skip
    assert record["files"] == [f"{index}.png" for index in range(5)]
    assert record["figures"]["error"] < 0.5 * record["figures"]["error_before"]
    assert f"wrote {out}: 5 latents of stylegan2, error {record['figures']['error']:.3f}" in output
    assert f"next: toolkit render-gif DIRECTIONS --latents {out} --out edits.gif" in output
    with Image.open(tmp_path / "w.png") as picture:
        assert picture.size == (5 * 18 - 2, 2 * 18 - 2)
    assert "finished already" in ran(*words, "--space", "w+", "--steps", 30, "--rate", 0.2)
    assert "space was 'w+', now 'w'" in refused(*words, "--space", "w", "--steps", 30, "--rate", 0.2)


def test_latents_are_the_same_in_any_batch_and_by_default_of_w_plus(photos, tiny_file, tmp_path):
    words = ("embed", photos, "--generator", tiny_file, "--device", "cpu", "--steps", 10)
    ran(*words, "--out", tmp_path / "a.npy", "--batch", 5)
    ran(*words, "--out", tmp_path / "b.npy", "--batch", 2)
    np.testing.assert_allclose(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"), atol=1e-3)
    assert read_record(tmp_path / "a.npy")["space"] == "w+"


def test_a_stopped_embedding_goes_on_as_if_it_had_not_been(photos, tiny_file, tmp_path, monkeypatch):
    words = ("embed", photos, "--generator", tiny_file, "--device", "cpu", "--steps", 6, "--batch", 2)

    class InTheSecondPart(cli.runs.progress.StopRequest):
        asked = 0

        def __bool__(self) -> bool:
            self.asked += 1
            return self.asked > 9

    with monkeypatch.context() as patch:
        patch.setattr(cli.runs.progress, "StopRequest", InTheSecondPart)
        assert "stopped after 2 photos; rerun" in stopped(*words, "--out", tmp_path / "w.npy")
    assert not (tmp_path / "w.npy").exists()
    assert "resuming after 2 photos" in ran(*words, "--out", tmp_path / "w.npy")
    ran(*words, "--out", tmp_path / "whole.npy")
    assert (tmp_path / "w.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert record_of(tmp_path / "w.npy").read_text() == record_of(tmp_path / "whole.npy").read_text()
    assert not list(tmp_path.glob(".w*"))


@pytest.mark.parametrize(
    ("name", "more", "text"),
    [
        ("scene", ("--space", "w+"), "--space is w+, but scene has z alone; omit it"),
        ("FILE", ("--space", "z"), "--space is z, but latents of stylegan2 are w; write @space=z behind the"),
        ("FILE@space=z", ("--space", "w"), "--space is w, but latents of stylegan2-z are z; write @space=w behind the"),
        ("FILE", ("--space", "v"), "--space is 'v'; choose one of z, w, w+"),
        ("FILE", ("--steps", 0), "--steps is 0, but without an encoder latents are found in steps alone; give 1"),
        ("FILE@noise=none", ("--optimise-noise",), "but noise of stylegan2 is none; omit one of the two"),
        ("flowers64", ("--optimise-noise",), "--optimise-noise goes with a --space of a style-based generator"),
        ("FILE", ("--sample",), "--sample draws what an encoder estimates, but latents are found by steps; omit it"),
    ],
)
def test_what_can_be_put_right(photos, tiny_file, tmp_path, name, more, text):
    name = name.replace("FILE", str(tiny_file))
    assert text in refused("embed", photos, "--generator", name, "--out", tmp_path / "w.npy", *more)
    assert not list(tmp_path.glob("*w.*"))


def test_photos_have_no_class_for_z(generator):
    class Classed(Bands):
        num_classes = 2

    one = StyledGenerator(Classed(), "classed", Styling(space="z"))
    with pytest.raises(UserError, match=r"z of classed-z goes with a class, which no photo names; write @space=w"):
        Projector(one, Projection("z", 1), ENGINE)
    with pytest.raises(UserError, match=r"^optimise_noise is given, but bands takes no noise; omit it$"):
        Projector(BANDS, Projection("w", 1, optimise_noise=True), ENGINE)


# ---------------------------------------------------------------- photos on the way


@pytest.fixture
def photo(photos) -> Path:
    return photos / "3.png"


@pytest.fixture
def directions(tiny_file, tmp_path) -> Path:
    vectors = torch.nn.functional.normalize(Stream(0, "directions").normal(2, 8), dim=1)
    card = {"source": generator_inputs(str(tiny_file))}
    DirectionSet(vectors, "stylegan2", "random", choice=Choice(1, 1, 2.0), card=card).save(tmp_path / "d.safetensors")
    return tmp_path / "d.safetensors"


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr("generators.chosen_latents.PhotoProjector", partial(PhotoProjector, steps=30))


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("few_steps", "empty_cache")
def test_a_photo_without_an_encoder_is_found_once_and_edited(photo, tiny_file, directions, tmp_path, monkeypatch):
    cpu = ("--photo", photo, "--device", "cpu")
    output = ran("sample", *cpu, "--generator", tiny_file, "--out", tmp_path / "a.npy")
    assert "stylegan2 has no encoder: each photo's latent in w+ is found in 30 steps; it is remembered for" in output
    target = from_bytes(np.asarray(Image.open(photo)))[None]
    shown = torch.from_numpy(np.load(tmp_path / "a.npy"))
    assert pyramid_error(shown, target) < 0.5 * pyramid_error(tiny().network(tiny().mean[None]), target)
    monkeypatch.setattr("generators.projection.photos.by_projection", None)  # what is known is not found again
    monkeypatch.chdir(tmp_path)
    edited = ("--directions", directions, "--direction", 1, "--alpha", 2)
    output = ran("sample", *cpu, "--generator", tiny_file.name, *edited, "--out", tmp_path / "b.npy")
    assert "no encoder" not in output
    (kept,) = (cache_folder() / "photos").iterdir()
    shift = DirectionSet.load(directions).shift(1, 2.0)
    latents = Latents(load_file(kept)["z"])
    torch.testing.assert_close(tiny()(latents), shown)
    torch.testing.assert_close(tiny()(latents.shifted(shift)), torch.from_numpy(np.load(tmp_path / "b.npy")))
    ran("render-gif", directions, *cpu, "--frames", 3, "--alpha", 2, "--out", tmp_path / "walk.gif", "--one-way")
    with Image.open(tmp_path / "walk.gif") as walk:
        assert walk.n_frames == 3
    ran("sample", *cpu, "--generator", tiny_file.name, *edited, "--layers", "2-3", "--out", tmp_path / "c.npy")
    chosen = at_layers(shift[None], torch.tensor([False, False, True, True, False, False]))
    torch.testing.assert_close(tiny()(latents.shifted(chosen)), torch.from_numpy(np.load(tmp_path / "c.npy")))
    ran("render-gif", directions, *cpu, "--layers", "2-3", "--frames", 3, "--out", tmp_path / "layers.webp")


@pytest.mark.usefixtures("empty_cache")
def test_latents_are_remembered_by_photo_generator_and_settings(tiny_file, photo):
    record, square = generator_inputs(str(tiny_file)), np.asarray(Image.open(photo))
    settings = Projection("w+", 3)

    def file(one=None, record=record, settings=settings, square=square, engine=ENGINE):
        memory = RememberedPhotos.of(one or tiny(), record, settings, engine)
        return memory.file_of(square)

    others = [
        file(),
        file(record={**record, "generator_digest": "0" * 16}),
        file(record={**record, "generator": record["generator"] + "@noise=none"}),
        file(one=tiny(space="z")),
        file(settings=Projection("w+", 4)),
        file(square=255 - square),
        file(engine=Engine(torch.device("cpu"), bf16=True)),
    ]
    assert len(set(others)) == len(others)
    assert file(record={**record, "generator": "tiny.pt"}) == file()
    assert RememberedPhotos.of(tiny(), {"generator": "stylegan2"}, settings, ENGINE) is None


@pytest.mark.usefixtures("empty_cache")
def test_a_damaged_memory_is_found_anew(tiny_file, photo, tmp_path):
    projector = PhotoProjector(tiny(), generator_inputs(str(tiny_file)), ENGINE, 3)
    square = np.asarray(Image.open(photo))[None]
    z, (error,) = projector.embed(square)
    (kept,) = (cache_folder() / "photos").iterdir()
    before = kept.read_bytes()
    save_artefact(other := tmp_path / "other", "latents of one photo", {"z": z[:, :3]}, {"error": 0.0})
    for damage in (b"", before[:-8], other.read_bytes()):
        kept.write_bytes(damage)
        again, (same,) = projector.embed(square)
        assert torch.equal(again, z)
        assert same == error
        assert kept.read_bytes() == before


# ---------------------------------------------------------------- the library


def test_the_verb_gives_what_the_command_writes(photos, tiny_file, tmp_path):
    ran("embed", photos, "--generator", tiny_file, "--space", "w", "--steps", 8, "--device", "cpu",
        "--out", tmp_path / "w.npy")  # fmt: skip
    latents = toolkit.embed(photos, tiny_file, "w", steps=8, device="cpu")
    np.testing.assert_allclose(latents.z.numpy(), np.load(tmp_path / "w.npy"), atol=1e-5)
    one = toolkit.embed(np.asarray(Image.open(photos / "1.png")), toolkit.open_generator(tiny_file), steps=8)
    assert one.z.shape == (1, 6, 8)
    with pytest.raises(UserError, match=r"^space is w, but scene has z alone; omit it$"):
        toolkit.embed(photos, "scene", "w")
    with pytest.raises(UserError, match=r"^no encoder comes with scene; give encoder, or make one"):
        toolkit.embed(photos, "scene")


def test_an_encoder_is_where_the_steps_begin(photos, tiny_file, tmp_path):
    torch.manual_seed(0)
    encoder = Encoder(EncoderNetwork(EncoderShape(latent_dim=8, image_size=16, width=4)), {"generator": "stylegan2"})
    encoder.save(tmp_path / "encoder.safetensors")  # beside the generator, hence its own
    estimated = toolkit.embed(photos, tiny_file, device="cpu")
    assert estimated.z.shape == (5, 8)
    settings = Projection("w+", 4)
    images = torch.stack([from_bytes(np.asarray(Image.open(path))) for path in sorted(photos.iterdir())])
    found = Projector(tiny(), settings, ENGINE, encoder).embed(images)
    begun, errors = found.latents, found.errors
    torch.testing.assert_close(errors["error_before"], pyramid_error(tiny()(estimated), images), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(toolkit.embed(photos, tiny_file, "w+", steps=4, device="cpu").z, begun)
    ran("embed", photos, "--generator", tiny_file, "--space", "w+", "--steps", 4, "--out", tmp_path / "w.npy",
        "--device", "cpu")  # fmt: skip
    assert read_record(tmp_path / "w.npy")["encoder_digest"] == sha256_of(tmp_path / "encoder.safetensors")[:16]
    Encoder(encoder.network, {"generator": "another"}).save(tmp_path / "encoder.safetensors")
    assert toolkit.embed(photos, tiny_file, steps=4, device="cpu").z.shape == (5, 6, 8)  # that one is not its own
