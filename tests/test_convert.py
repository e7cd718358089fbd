"""toolkit convert, and that what it writes opens."""

import io
import tarfile

import numpy as np
import pytest
import stub_pickles
import torch
from bundle_writing import write_bundle
from cli_runs import ran, refused
from golden_modern import filled_state
from PIL import Image
from rounding import close
from safetensors.torch import save_file
from test_biggan import depth
from test_biggan_deep import TINY, TINY_CONFIG, saved
from test_tfhub import NARROW, FilledVariables
from tf_writing import module_names, write_generator_module

from generators.catalogue import open_generator
from generators.protocol import Latents
from generators.published.biggan.network import BIGBIGAN, BigGANNetwork, infer_shape
from generators.published.biggan_deep.layout import published_shapes
from generators.published.stylegan2 import rosinality
from generators.published.stylegan2.layers import FILTER
from generators.published.stylegan2.shape import StyleGAN2Shape
from generators.tensorflow.hub import convert_tf_variables
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.artefacts import load_artefact, save_artefact
from toolkit.files.writing import sha256_of
from toolkit.streams import Stream

SNAPSHOTS = ["stylegan2ada", "stylegan2ada-cond", "stylegan3t", "stylegan3r"]
NAMES = {name: [NARROW.get(n, n) for n in shape] for name, shape in module_names().items()}


@pytest.fixture(scope="module")
def state():
    """The published-layout state of the module, without a detour over files."""
    return convert_tf_variables(FilledVariables(NAMES))


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """A folder like that of the TF-Hub module, at ch 8 and inside a scope."""
    folder = tmp_path_factory.mktemp("hub") / "bigbigan"
    filled = FilledVariables(NAMES)
    write_bundle(folder / "variables" / "variables", {f"module/{name}": filled[name] for name in filled})
    (folder / "saved_model.pb").write_bytes(b"\x08\x01")
    return folder


def assert_opens_as(path, state):
    generator = open_generator(str(path))
    latents = Latents(torch.randn(2, generator.latent_dim))
    direct = BigGANNetwork(infer_shape(state, BIGBIGAN), state)
    with torch.no_grad():
        expected = direct(latents.z, torch.tensor([0, 999]))
        assert expected.std() > 0.1
        close(generator(latents), expected, depth=depth(direct.shape))
    assert (generator.latent_dim, generator.image_size) == (120, 128)


def assert_same(ours, theirs):
    """The same weights in other places of memory are added up in another order."""
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_module_becomes_a_generator_that_opens(module, state, tmp_path):
    out = tmp_path / "g.safetensors"
    text = ran("convert", module, "--out", out, "--name", "mine")
    assert f"reading {len(NAMES)} variables" in text
    assert "found a BigBiGAN generator: 128x128 pixels, latents of 120 numbers" in text
    assert f"next: toolkit discover --generator {out} --out directions" in text
    tensors, card = load_artefact(out, "bigbigan generator")
    assert set(tensors) == set(state)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in state.items())
    files = sorted((module / "variables").iterdir())
    assert card["sha256"] == {file.name: sha256_of(file) for file in files}
    assert (card["name"], card["converted_from"]) == ("mine", "TF-Hub module")
    assert_opens_as(out, state)
    assert open_generator(str(out)).name == "mine"
    ran("sample", "--generator", out, "--samples", "16", "--out", tmp_path / "s.png")
    with Image.open(tmp_path / "g.png") as ours, Image.open(tmp_path / "s.png") as sampled:
        assert np.array_equal(np.asarray(ours), np.asarray(sampled))


def test_parameters_are_counted_without_statistics(module, state, tmp_path):
    trained = [name for name in state if name.rpartition(".")[2] in ("weight", "bias", "gain", "gamma")]
    count = sum(state[name].numel() for name in trained)
    assert f"{count:,} parameters" in ran("convert", module, "--out", tmp_path / "g.safetensors")


def test_index_and_archive_give_the_same_file_contents(module, state, tmp_path):
    archive = tmp_path / "module.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(module, ".")
    for source in (archive, module / "variables" / "variables.index"):
        ran("convert", source, "--out", tmp_path / "g.safetensors")
        tensors, card = load_artefact(tmp_path / "g.safetensors", "bigbigan generator")
        assert all(torch.equal(tensors[name], tensor) for name, tensor in state.items())
        assert source.name in card["sha256"]


@pytest.mark.parametrize("name", ["../../escaped.index", "/tmp/variables.index", "link"])
def test_members_of_an_archive_stay_in_their_folder(tmp_path, name):
    with tarfile.open(tmp_path / "bad.tgz", "w:gz") as tar:
        member = tarfile.TarInfo(name)
        if name == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        else:
            member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    before = set(tmp_path.parent.rglob("*"))
    text = refused("convert", tmp_path / "bad.tgz", "--out", tmp_path / "g.safetensors")
    assert text.endswith(f"bad.tgz holds {name!r}, no plain file inside it; do not trust it")
    assert set(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize("damage", ["cut", "html"])
def test_damaged_archives_are_refused(damage, module, tmp_path):
    archive = tmp_path / "module.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(module, ".")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"<!DOCTYPE html>")
    text = refused("convert", archive, "--out", tmp_path / "g.safetensors")
    if damage == "html":
        assert text.startswith(f"{archive} is a web page, not a tar archive; download the file itself")
    else:
        assert text.startswith(f"{archive} is not a whole tar archive (")
        assert text.endswith("download the module again, or name its folder")


def test_checkpoint_of_another_model_is_refused(tmp_path):
    write_bundle(tmp_path / "variables" / "variables", {"resnet/w": np.zeros(3, np.float32)})
    text = refused("convert", tmp_path, "--out", tmp_path / "g.safetensors")
    assert "the TF variable GenEncWrapper/Generator/" in text
    assert "is missing; give the variables of the hub module" in text
    assert not (tmp_path / "g.safetensors").exists()


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_published_generator_file_becomes_an_artefact(ending, state, tmp_path):
    source = tmp_path / f"BigBiGAN_x1.{ending}"
    with_unused = {**state, "linear.sv0": torch.ones(1)}
    torch.save(with_unused, source) if ending == "pth" else save_file(with_unused, source)
    text = ran("convert", source, "--out", tmp_path / "g.safetensors")
    assert "found a BigBiGAN generator" in text
    tensors, card = load_artefact(tmp_path / "g.safetensors", "bigbigan generator")
    assert "linear.sv0" not in tensors
    assert card == {
        "name": "bigbigan",
        "converted_from": "published weights",
        "sha256": {source.name: sha256_of(source)},
    }
    assert_opens_as(tmp_path / "g.safetensors", state)


def test_class_conditional_weights_stay_what_they_are(state, tmp_path):
    torch.save({**state, "shared.weight": torch.randn(1000, 128)}, tmp_path / "G_ema.pth")
    text = ran("convert", tmp_path / "G_ema.pth", "--out", tmp_path / "g.safetensors", "--name", "mine")
    assert "found a BigGAN or BigBiGAN (BigGAN-PyTorch layout): 128x128 pixels" in text
    generator = open_generator(f"{tmp_path / 'g.safetensors'}@classes=7,9")
    assert (generator.classes, generator.name) == ((7, 9), "mine")


def test_a_state_that_is_no_generator_is_refused(tmp_path):
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    text = refused("convert", tmp_path / "resnet.pth", "--out", tmp_path / "g.safetensors")
    assert "resnet.pth has no layout of a known generator (its entries begin with fc.weight)" in text
    assert not (tmp_path / "g.safetensors").exists()


@pytest.fixture(scope="module")
def stylegan2_state():
    """A StyleGAN2 of 8 px in the layout with modules numbered, with what its training keeps besides."""
    sizes = rosinality.NAMING.table(StyleGAN2Shape((8, 8), 6, 2, 6))
    state = {name: torch.randn(size) * 0.2 for name, size in sizes.items()}
    return state | {name: FILTER for name in state if name.endswith("kernel")}


def test_any_published_generator_becomes_an_artefact(stylegan2_state, tmp_path):
    source, out = tmp_path / "painter.pt", tmp_path / "g.safetensors"
    torch.save({"g_ema": stylegan2_state, "g_optim": {"state": torch.zeros(9)}, "latent_avg": torch.zeros(6)}, source)
    text = ran("convert", source, "--out", out)
    assert "found a StyleGAN2" in text
    assert "8x8 pixels, latents of 6 numbers" in text
    assert f"next: toolkit discover --generator {out} --out directions" in text
    tensors, card = load_artefact(out, "published generator")
    assert set(tensors) == set(stylegan2_state)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in stylegan2_state.items() if name != "latent_avg")
    assert card["sha256"] == {"painter.pt": sha256_of(source)}
    assert (card["converted_from"], card["config"]) == ("published weights", {})
    assert card["layout"].startswith("a StyleGAN2")
    with Image.open(tmp_path / "g.png") as drawn:
        assert drawn.size == (4 * 8 + 3 * 2, 4 * 8 + 3 * 2)


@pytest.mark.parametrize("kind", SNAPSHOTS)
def test_a_snapshot_becomes_an_artefact_that_renders_the_same(kind, tmp_path):
    source, out = tmp_path / "snapshot.pkl", tmp_path / "g.safetensors"
    state = stub_pickles.write(kind, source, resolution=16)
    assert "16x16 pixels, latents of 32 numbers" in ran("convert", source, "--out", out)
    tensors, card = load_artefact(out, "published generator")
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {n: t.tolist() for n, t in state.items()}
    assert (card["converted_from"], card["sha256"]) == ("NVlabs pickle", {"snapshot.pkl": sha256_of(source)})
    assert card["config"]["init_kwargs"]["img_resolution"] == 16
    for options in ("", "@psi=0.5"):
        opened, converted = (open_generator(f"{path}{options}") for path in (source, out))
        latents = opened.sample(2, Stream(0, "test"))
        assert opened(latents).std() > 0.01
        assert_same(converted(latents), opened(latents))


def test_what_a_state_does_not_say_is_noted(tmp_path):
    state = stub_pickles.write("stylegan2ada", tmp_path / "snapshot.pkl", resolution=8)
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, tmp_path / "state.pth")
    text = ran("convert", tmp_path / "state.pth", "--out", tmp_path / "g.safetensors")
    assert "g.safetensors does not say where features are clamped (conv_clamp); 256 is taken" in text
    assert "note: " not in ran("convert", tmp_path / "snapshot.pkl", "--out", tmp_path / "h.safetensors")


def test_a_snapshot_of_another_version_is_opened_with_a_note(tmp_path):
    stub_pickles.write("stylegan3t", tmp_path / "snapshot.pkl", resolution=16, only_ema=True)
    older = (tmp_path / "snapshot.pkl").read_bytes().replace(b"\x07version\x94K\x06", b"\x07version\x94K\x05")
    (tmp_path / "older.pkl").write_bytes(older)
    text = ran("sample", "--generator", tmp_path / "older.pkl", "--samples", "1", "--out", tmp_path / "s.png")
    assert f"note: {tmp_path / 'older.pkl'} is of version 5 of its kind, of which 6 is known here" in text


@pytest.mark.parametrize("ending", ["pkl", "pt", "dat"])
def test_a_damaged_snapshot_leaves_nothing_behind(ending, tmp_path):
    source = tmp_path / f"snapshot.{ending}"
    stub_pickles.write("stylegan3t", source, resolution=16)
    source.write_bytes(source.read_bytes()[:-1000])
    text = refused("convert", source, "--out", tmp_path / "g.safetensors")
    assert text == f"{source} is no whole pickle of a generator (it is cut short); make or download it again"
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_a_folder_of_hugging_face_keeps_its_configuration(tmp_path):
    folder, out = tmp_path / "hub", tmp_path / "g.safetensors"
    folder.mkdir()
    saved(folder, filled_state("biggan_deep", published_shapes(TINY)), {**TINY_CONFIG, "eps": 1e-3})
    ran("convert", folder, "--out", out)
    card = load_artefact(out, "published generator")[1]
    assert card["config"] == {**TINY_CONFIG, "eps": 1e-3}
    assert set(card["sha256"]) == {"pytorch_model.bin", "config.json"}
    source, converted = (open_generator(f"{path}@classes=2") for path in (folder, out))
    latents = source.sample(2, Stream(0, "test"))
    assert_same(converted(latents), source(latents))
    assert converted.network.shape.eps == 1e-3


def test_options_go_behind_a_converted_generator(stylegan2_state, tmp_path):
    torch.save(stylegan2_state, tmp_path / "painter.pt")
    out = tmp_path / "g.safetensors"
    ran("convert", tmp_path / "painter.pt", "--out", out, "--name", "mine")
    latents = Latents(torch.randn(2, 6))
    for options in ("", "@space=z", "@noise=none"):
        converted, source = (open_generator(f"{path}{options}") for path in (out, tmp_path / "painter.pt"))
        assert_same(converted(latents), source(latents))
        assert converted.name == source.name.replace(open_generator(str(tmp_path / "painter.pt")).name, "mine")
    with pytest.raises(UserError, match=r"are chosen, but it has none; omit them"):
        open_generator(f"{out}@classes=3")
    assert "g.safetensors is a published generator artefact of this toolkit already" in refused(
        "convert", out, "--out", tmp_path / "h.safetensors"
    )


def test_other_entries_in_a_converted_generator_are_told(stylegan2_state, tmp_path):
    torch.save(stylegan2_state, tmp_path / "painter.pt")
    ran("convert", tmp_path / "painter.pt", "--out", tmp_path / "g.safetensors")
    tensors, card = load_artefact(tmp_path / "g.safetensors", "published generator")
    del tensors["conv1.activate.bias"]
    save_artefact(tmp_path / "g.safetensors", "published generator", tensors, card)
    with pytest.raises(UserError, match=r"missing: conv1\.activate\.bias"):
        open_generator(str(tmp_path / "g.safetensors"))


def test_published_segmenter_becomes_an_artefact(tmp_path):
    network = UNet(width=4)
    torch.save(network.state_dict(), tmp_path / "u_net_cub.pth")
    text = ran("convert", tmp_path / "u_net_cub.pth", "--out", tmp_path / "s.safetensors")
    assert "found a U-Net of width 4" in text
    found = Segmenter.load(tmp_path / "s.safetensors")
    photo = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    assert np.array_equal(found.mask(photo), Segmenter.load(tmp_path / "u_net_cub.pth").mask(photo))
    assert found.card["sha256"] == {"u_net_cub.pth": sha256_of(tmp_path / "u_net_cub.pth")}
    text = refused("convert", tmp_path / "u_net_cub.pth", "--out", tmp_path / "s.safetensors", "--name", "x")
    assert text == "--name names generators; omit it"


@pytest.mark.parametrize(("shape", "length"), [((120,), 1.0), ((1, 120), 1.0), ((120,), 3.0)])
def test_published_direction_becomes_a_chosen_one(shape, length, tmp_path):
    vector = torch.randn(120)
    vector = vector / vector.norm() * length
    torch.save(torch.nn.Parameter(vector.reshape(shape)), tmp_path / "bg_direction.pth")
    text = ran("convert", tmp_path / "bg_direction.pth", "--out", tmp_path / "d.safetensors")
    assert "found a direction of 120 numbers" in text
    found = DirectionSet.load(tmp_path / "d.safetensors")
    torch.testing.assert_close(found.chosen_shift(), 5 * vector, atol=1e-4, rtol=0)
    assert (found.generator, found.names) == ("bigbigan", ("background",))


@pytest.mark.parametrize("held", [torch.zeros(3, 4), torch.tensor(1.0), torch.zeros(120)])
def test_tensor_that_is_no_direction_is_refused(held, tmp_path):
    torch.save(held, tmp_path / "bg_direction.pth")
    text = refused("convert", tmp_path / "bg_direction.pth", "--out", tmp_path / "d.safetensors")
    assert "direction" in text
    assert not (tmp_path / "d.safetensors").exists()


@pytest.mark.parametrize(
    ("source", "out", "text"),
    [
        ("nowhere", "g.safetensors", "nothing at {}/nowhere; name a TF-Hub module's folder or archive, or a"),
        ("notes.txt", "g.safetensors", "cannot tell what {}/notes.txt is; name a TF-Hub module's folder"),
        ("empty", "g.safetensors", "no TensorFlow checkpoint below {}/empty; it should hold variables/variables.index"),
        ("empty", "g.pth", "cannot tell the format of g.pth: its name should end in .safetensors"),
        ("own.safetensors", "g.safetensors", "{}/own.safetensors is a direction set artefact of this toolkit already"),
        ("own.safetensors", "own.safetensors", "--out {}/own.safetensors is the source itself; choose another name"),
    ],
)
def test_what_cannot_be_converted_is_told(source, out, text, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    DirectionSet(torch.eye(2), "scene", "known").save(tmp_path / "own.safetensors")
    assert refused("convert", tmp_path / source, "--out", tmp_path / out).startswith(text.format(tmp_path))


@pytest.mark.filterwarnings("ignore")
def test_module_written_by_tensorflow_gives_the_direct_images(state, tmp_path):
    pytest.importorskip("tensorflow")
    filled = FilledVariables(NAMES)
    write_generator_module(tmp_path / "module", {name: filled[name] for name in filled})
    ran("convert", tmp_path / "module", "--out", tmp_path / "g.safetensors")
    tensors = load_artefact(tmp_path / "g.safetensors", "bigbigan generator")[0]
    assert all(torch.equal(tensors[name], tensor) for name, tensor in state.items())
    assert_opens_as(tmp_path / "g.safetensors", state)
