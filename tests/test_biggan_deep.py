import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from golden_fill_generators import layer_statistics
from golden_modern import FOLDER, channel_statistics, every, filled_state, golden_arrays, table

from generators.catalogue import open_generator, weights_file
from generators.layered import seen_at
from generators.layouts import Weights, fits, open_published
from generators.own.trust import Typed
from generators.protocol import Generator, Inspectable, Latents, Layered, render_twins
from generators.published.biggan_deep.config import configured_shape
from generators.published.biggan_deep.layout import BigGANDeepShape, infer_shape, published_shapes
from generators.published.biggan_deep.network import Statistics
from generators.recorded import generator_inputs, open_recorded
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.provenance import GeneratorSource
from toolkit.streams import Stream

TOLERANCE = 1e-5
SIZES = (128, 256, 512)
# 4 px of 16 channels, doubled twice; attention in front of the third block.
TINY = BigGANDeepShape((64, 64, 32, 32, 16), (False, True, False, True), attention=2, z_dim=6, num_classes=5)
TINY_CONFIG = {
    "channel_width": 4,
    "z_dim": 6,
    "num_classes": 5,
    "attention_layer_position": 2,
    "output_dim": 16,
    "layers": [[False, 16, 16], [True, 16, 8], [False, 8, 8], [True, 8, 4]],
}


@pytest.fixture(scope="module")
def tiny():
    return filled_state("biggan_deep", published_shapes(TINY))


def saved(folder, state, config=TINY_CONFIG):
    """Save a folder as Hugging Face has it, and return its path."""
    torch.save(state, folder / "pytorch_model.bin")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.fixture(
    scope="module",
    params=["biggan_deep_128_narrow", "biggan_deep_256_narrow", "biggan_deep_512_narrow", "biggan_deep_128"],
)
def published(request, tmp_path_factory):
    """A golden file's arrays and the folder with its weights."""
    arrays = golden_arrays(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    return arrays, saved(folder, filled_state("biggan_deep", table(request.param)), arrays["config"])


def golden_latents(arrays):
    return Latents(torch.from_numpy(arrays["z"]), torch.from_numpy(arrays["classes"]))


def assert_close(ours, theirs, tolerance=TOLERANCE):
    torch.testing.assert_close(ours, torch.from_numpy(theirs), atol=tolerance, rtol=0)


def steps(arrays, start):
    """Return (name, every so many pixels) of the arrays whose names begin so."""
    return [(name, int(name.rpartition("every")[2])) for name in arrays if name.startswith(f"{start}_every")]


def test_images_and_layers_are_the_originals(published):
    arrays, folder = published
    generator = open_generator(folder)
    latents, network = golden_latents(arrays), generator.network
    seen = {}

    def watch(name, module, row=lambda features: features):
        module.register_forward_hook(lambda _module, _inputs, h: seen.update({name: layer_statistics(row(h))}))

    # The original's first map has its numbers by pixel, then by channel.
    watch("generator.gen_z", network.gen_z, lambda h: h.permute(0, 2, 3, 1))
    for i, block in enumerate(network.blocks):
        watch(network.shape.entry(i), block)
    watch(f"generator.layers.{network.shape.attention}", network.attention)
    scale, offset = network.norm.affine()
    last = network.blocks[-1]
    last.register_forward_hook(
        lambda _module, _inputs, h: seen.update(
            {"generator.bn": layer_statistics(h * scale[:, :, None, None] + offset[:, :, None, None])}
        )
    )
    with torch.no_grad():
        images = generator(latents)
    assert set(seen) == set(arrays["layer_names"])
    for name, expected in zip(arrays["layer_names"], arrays["layer_stats"], strict=True):
        torch.testing.assert_close(torch.tensor(seen[name]), torch.from_numpy(expected), atol=1e-4, rtol=1e-4)
    assert_close(network.conditions(latents.z, latents.y)[0], arrays["cond_vector"], 2e-5)
    for name, step in steps(arrays, "out"):
        assert_close(every(images, step), arrays[name])
    assert_close(images[:, :, 48:80, 48:80], arrays["out_patch"])
    assert_close(channel_statistics(images), arrays["out_channel_stats"])


@pytest.mark.parametrize("truncation", [0.4, 0.435, 0.58, 0.7])
def test_images_at_a_truncation_are_the_originals(truncation, published):
    arrays, folder = published
    for name, step in steps(arrays, f"out_trunc{truncation}"):
        with torch.no_grad():
            images = open_generator(f"{folder}@truncation={truncation}")(golden_latents(arrays))
            other = open_generator(folder).restyled(truncation)(golden_latents(arrays))
        assert_close(every(images, step), arrays[name])
        assert torch.equal(other, images)


def test_shifted_twins_are_the_originals(published):
    arrays, folder = published
    for name, step in steps(arrays, "out_zshift"):
        with torch.no_grad():
            before, after = render_twins(
                open_generator(folder), golden_latents(arrays), 3 * torch.from_numpy(arrays["direction"])
            )
        assert_close(every(before, 2), arrays["out_every2"])
        assert_close(every(after, step), arrays[name])


@pytest.mark.parametrize("side", SIZES)
def test_tables_of_all_sizes_are_recognised_with_their_configurations(side):
    shapes = table(f"biggan_deep_{side}")
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    assert fits(state)
    inferred = infer_shape(state)
    assert inferred.image_size == side
    assert published_shapes(inferred) == shapes
    assert configured_shape(config_table(side)) == inferred


def config_table(side):
    return json.loads((FOLDER / "tables" / f"biggan_deep_{side}_config.json").read_text())


@pytest.mark.parametrize("side", SIZES)
@pytest.mark.parametrize("gone", ["embeddings.weight", "generator.bn.running_vars", "generator.layers.8.gamma"])
def test_missing_entries_are_named(side, gone, tmp_path):
    shapes = table(f"biggan_deep_{side}")
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items() if key != gone}
    with pytest.raises(UserError, match=f"resembles a BigGAN-deep .* 99% of the entries: missing: {gone}; check"):
        open_published(Weights(state, tmp_path), Options({}, "file"))


def test_right_vectors_of_the_spectral_norm_that_are_missing_follow_from_the_left(tiny, tmp_path):
    latents = Latents(torch.ones(2, 6), torch.tensor([1, 4]))
    fewer = {name: value for name, value in tiny.items() if not name.endswith("weight_v")}
    right = {
        name.replace("weight_u", "weight_v"): F.normalize(
            u @ tiny[name.replace("weight_u", "weight_orig")].flatten(1), dim=0
        )
        for name, u in fewer.items()
        if name.endswith("weight_u")
    }
    assert fewer.keys() | right.keys() == tiny.keys()
    expected = open_generator(saved(tmp_path, {**fewer, **right}))(latents)
    found = open_generator(saved(tmp_path, fewer))(latents)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_opening_moves_no_vector_of_the_spectral_norm(tiny, tmp_path):
    """In training mode, which the original is left in, each call would take a power step."""
    generator = open_generator(saved(tmp_path, tiny))
    latents = Latents(torch.ones(1, 6), torch.tensor([0]))
    first = generator(latents)
    assert torch.equal(generator(latents), first)
    sigma = tiny["generator.gen_z.weight_u"] @ tiny["generator.gen_z.weight_orig"] @ tiny["generator.gen_z.weight_v"]
    rows = tiny["generator.gen_z.weight_orig"][:, :6] / sigma
    (weights,) = generator.first_weights()
    assert weights.shape == (16 * 64, 6)
    torch.testing.assert_close(weights.T @ weights, rows.T @ rows)


def test_statistics_are_mixed_the_other_way_round():
    rows = torch.arange(51.0)[:, None]
    statistics = Statistics(rows, rows.square(), eps=0.5)

    def chosen(truncation):
        statistics.choose(truncation)
        return float(statistics.mean), float(statistics.inverse**-2)

    assert chosen(1.0) == (50, pytest.approx(2500.5))
    assert chosen(0.5) == (25, pytest.approx(625.5))
    # A quarter from row 21 to 22: three quarters of row 22, not of row 21.
    assert chosen(0.425) == (pytest.approx(21.75), pytest.approx(0.25 * 441 + 0.75 * 484 + 0.5))
    assert chosen(0.435) == (pytest.approx(21.25), pytest.approx(0.75 * 441 + 0.25 * 484 + 0.5))
    # 0.58 / 0.02 is 28.999999999999996 in doubles, which the mixing turns into row 28.
    assert chosen(0.58) == (pytest.approx(28, abs=1e-6), pytest.approx(784.5))


def test_eps_is_that_of_the_configuration_and_1e_minus_4_without(tiny, tmp_path):
    assert open_generator(saved(tmp_path, tiny)).network.shape.eps == 1e-4
    assert open_generator(saved(tmp_path, tiny, {**TINY_CONFIG, "eps": 1e-3})).network.shape.eps == 1e-3


def test_latents_are_cut_at_two_and_scaled(tiny, tmp_path):
    generator = open_generator(saved(tmp_path, tiny) + "@truncation=0.5")
    z = generator.sample(4000, Stream(0, "z")).z
    assert 0.99 < z.abs().max() <= 1
    assert z.std() == pytest.approx(0.5 * 0.8796, rel=0.02)  # of N(0, 1) within +-2
    narrower = generator.sample(4000, Stream(0, "z"), truncation=0.3).z
    assert 0.29 < narrower.abs().max() <= 0.3
    assert generator.sample(40, Stream(0, "z"), truncation=9).z.abs().max() <= 1
    whole = generator.sample(50, Stream(0, "z"))
    rng = Stream(0, "z")
    parts = Latents.cat([generator.sample(count, rng) for count in (20, 30)])
    assert torch.equal(parts.z, whole.z)
    assert torch.equal(parts.y, whole.y)


def test_classes_are_held_in_pairs_and_those_named_are_drawn(tiny, tmp_path):
    folder = saved(tmp_path, tiny)
    generator = open_generator(f"{folder}@classes=1,3")
    assert set(generator.sample(40, Stream(0, "z")).y.tolist()) == {1, 3}
    latents = generator.sample(3, Stream(0, "z"))
    shift = torch.ones(6)
    before, after = render_twins(generator, latents, shift)
    torch.testing.assert_close(before, generator(latents))
    torch.testing.assert_close(after, generator(Latents(latents.z + shift, latents.y)))
    others = generator(Latents(latents.z, (latents.y + 1) % 5))
    assert (before - others).abs().max() > 0.05
    with pytest.raises(UserError, match="class 5 is unknown; this generator has classes 0 to 4"):
        open_generator(f"{folder}@classes=5")
    with pytest.raises(UserError, match="these latents have no classes, but biggan-deep-16 needs one a latent"):
        generator(Latents(latents.z))


def test_each_layer_may_have_a_latent_of_its_own(tiny, tmp_path):
    generator = open_generator(saved(tmp_path, tiny))
    assert isinstance(generator, Generator)
    assert isinstance(generator, Inspectable)
    assert isinstance(generator, Layered)
    assert generator.num_layers == 5
    latents = generator.sample(2, Stream(0, "z"))
    torch.testing.assert_close(generator(latents.layered(5)), generator(latents))
    for layer in range(5):
        moved = layers_moved(generator, latents, layer)
        assert moved == [i >= layer for i in range(5)]
    with pytest.raises(ValueError, match="latents are of 4 layers, not 5"):
        generator(latents.layered(4))


def test_the_weights_of_a_layer_are_the_slopes_of_its_norms(tiny, tmp_path):
    generator = open_generator(saved(tmp_path, tiny) + "@truncation=0.5")
    network = generator.network
    z, step = torch.randn(2, 1, 6)
    weights = generator.layer_weights()
    assert len(weights) == generator.num_layers
    for block, map_ in zip(network.blocks, weights[1:], strict=True):
        before, after = (
            torch.cat(block.norms(network.conditions(one, torch.tensor([3]))[1]), dim=1) for one in (z, z + step)
        )
        torch.testing.assert_close((after - before)[0], map_ @ step[0], atol=1e-5, rtol=1e-4)
    seen = seen_at(generator, "0,3")
    assert [torch.equal(w, weights[i]) for w, i in zip(seen.first_weights(), (0, 3), strict=True)] == [True, True]


def layers_moved(generator, latents, layer):
    """Return which features change, behind the first map and every block, where one layer's latent does."""
    shift = torch.zeros(1, 5, 6)
    shift[:, layer] = 1
    seen = []
    modules = [generator.network.gen_z, *generator.network.blocks]
    hooks = [module.register_forward_hook(lambda _m, _i, h: seen.append(h.clone())) for module in modules]
    generator(latents.layered(5))
    generator(latents.shifted(shift))
    for hook in hooks:
        hook.remove()
    return [not torch.equal(before, after) for before, after in zip(seen[:5], seen[5:], strict=True)]


def test_a_folder_without_configuration_opens_by_its_sizes_and_says_so(tiny, tmp_path):
    latents = Latents(torch.ones(2, 6), torch.tensor([1, 4]))
    expected = open_generator(saved(tmp_path, tiny))(latents)
    (tmp_path / "config.json").unlink()
    lines = []
    found = open_generator(str(tmp_path), trust=Typed(lines.append))
    assert torch.equal(found(latents), expected)
    (line,) = lines
    assert line.startswith("note: ")
    assert "pytorch_model.bin has no config.json beside it; sizes are read from the weights, and eps 0.0001" in line


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"layers": [[True, 16, 8], [True, 8, 4]]}, "says channels"),
        ({"z_dim": 128}, "says z_dim 128, but the weights have 6"),
        ({"num_classes": 1000}, "says num_classes 1000, but the weights have 5"),
        ({"n_stats": 11}, "says num_stats 11, but the weights have 51"),
        ({"attention_layer_position": 3}, "says attention 3, but the weights have 2"),
        ({"output_dim": 128}, "cannot be used: output_dim is 128, but its layers make images of 16 px"),
        ({"channel_width": "4"}, "cannot be used: channel_width is '4', but has to be a whole number from 1 on"),
        ({"n_stats": 1}, "n_stats is 1, but has to be a whole number from 2 on"),
        ({"eps": 0}, "eps is 0, but has to be a number between 0 and 1"),
        ({"layers": []}, r"layers is no list of entries like \[true, 16, 8\]"),
        ({"layers": [[1, 16, 8]]}, r"layers is no list of entries like \[true, 16, 8\]"),
        ({"layers": [[False, 16, 8], [True, 16, 8]]}, "hands on another number of channels"),
        ({"layers": [[False, 16, 32]]}, "block 0 of a BigGAN-deep keeps its channels or halves them"),
        ({"layers": [[False, 1, 1]], "output_dim": 4, "attention_layer_position": 0}, "attention needs 8 channels"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(change, text, tiny, tmp_path):
    with pytest.raises(UserError, match=text) as caught:
        open_generator(saved(tmp_path, tiny, {**TINY_CONFIG, **change}))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_configuration_that_is_no_table_is_refused(tiny, tmp_path):
    with pytest.raises(UserError, match=r"config\.json"):
        open_generator(saved(tmp_path, tiny, [1]))


def test_unknown_settings_are_passed_over_and_missing_ones_are_those_of_128_px(tiny, tmp_path):
    assert open_generator(saved(tmp_path, tiny, {**TINY_CONFIG, "model_type": "biggan"})).image_size == 16
    assert configured_shape({}) == configured_shape(config_table(128))
    assert configured_shape({"layers": config_table(256)["layers"]}).image_size == 256


def test_a_doubling_that_only_the_configuration_states_is_done(tiny, tmp_path):
    layers = [[not doubles, *ends] for doubles, *ends in TINY_CONFIG["layers"]]
    config = {**TINY_CONFIG, "layers": [[True, 16, 16], *layers[1:]], "output_dim": 16}
    generator = open_generator(saved(tmp_path, tiny, config))
    images = generator(generator.sample(1, Stream(0, "z")))
    assert images.shape == (1, 3, 16, 16)
    assert generator.network.blocks[0].doubles
    assert not generator.network.blocks[1].doubles


def test_truncations_share_their_weights(tiny, tmp_path):
    generator = open_generator(saved(tmp_path, tiny))
    other = generator.restyled(0.5)
    assert (generator.truncation, other.truncation) == (1.0, 0.5)
    own = {name: buffer.data_ptr() for name, buffer in generator.network.named_buffers()}
    differing = {name for name, buffer in other.network.named_buffers() if buffer.data_ptr() != own[name]}
    assert {name.rpartition(".")[2] for name in differing} == {"mean", "inverse"}
    with pytest.raises(UserError, match=r"truncation of .* is '1.5', but has to be a number from 0.001 to 1"):
        open_generator(f"{tmp_path}@truncation=1.5")


def test_blocks_are_those_of_the_specification_in_doubles(tiny, tmp_path):
    """One block, step by step: norms, four convolutions, half the channels beside them, doubled to the nearest."""
    generator = open_generator(saved(tmp_path, tiny))
    x, condition = torch.randn(2, 64, 4, 4), torch.randn(2, 12)
    name, h = "generator.layers.1", x.double()

    def weight(layer):
        w, u, v = (tiny[f"{layer}.weight_{part}"].double() for part in ("orig", "u", "v"))
        return w / (u @ w.flatten(1) @ v)

    for k in range(4):
        mean, var = (tiny[f"{name}.bn_{k}.running_{part}"][50].double()[:, None, None] for part in ("means", "vars"))
        gain, bias = (F.linear(condition.double(), weight(f"{name}.bn_{k}.{p}")) for p in ("scale", "offset"))
        h = F.relu((h - mean) / (var + 1e-4).sqrt() * (1 + gain[:, :, None, None]) + bias[:, :, None, None])
        h = F.interpolate(h, scale_factor=2) if k == 1 else h
        h = F.conv2d(h, weight(f"{name}.conv_{k}"), tiny[f"{name}.conv_{k}.bias"].double(), padding=int(k in (1, 2)))
    expected = h + F.interpolate(x[:, :32].double(), scale_factor=2)
    torch.testing.assert_close(generator.network.blocks[1](x, condition).double(), expected, atol=1e-5, rtol=1e-5)


def test_safetensors_go_before_pickles_in_a_folder(tiny, tmp_path):
    from safetensors.torch import save_file

    folder = saved(tmp_path, tiny)
    save_file(tiny, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert weights_file(folder) == tmp_path / "model.safetensors"
    assert open_generator(folder).image_size == 16
    assert open_generator(str(tmp_path / "pytorch_model.bin")).image_size == 16


def test_downloads_of_the_original_have_their_own_configuration(tiny, tmp_path):
    saved(tmp_path, tiny, {**TINY_CONFIG, "eps": 1e-3})
    (tmp_path / "pytorch_model.bin").rename(tmp_path / "tiny-pytorch_model.bin")
    path = str(tmp_path / "tiny-pytorch_model.bin")
    assert open_generator(path).network.shape.eps == 1e-3
    (tmp_path / "tiny-config.json").write_text(json.dumps({**TINY_CONFIG, "eps": 1e-2}))
    assert open_generator(path).network.shape.eps == 1e-2


def test_a_folder_of_links_is_recorded_and_opened_again(tiny, tmp_path):
    """Hugging Face's cache holds links to files of other names; beside those there is no configuration."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    saved(snapshot, tiny, {**TINY_CONFIG, "eps": 1e-3})
    for name in ("pytorch_model.bin", "config.json"):
        (snapshot / name).rename(blobs / f"blob-of-{name}")
        (snapshot / name).symlink_to(blobs / f"blob-of-{name}")
    for spec in (snapshot, snapshot / "pytorch_model.bin"):
        record = generator_inputs(f"{spec}@classes=2")
        assert record["generator"] == f"{spec}@classes=2"
        generator, again = open_recorded(GeneratorSource.of({"source": record}))
        assert again == record
        assert generator.network.shape.eps == 1e-3
        assert generator.classes == (2,)


def test_another_configuration_is_another_generator(tiny, tmp_path):
    folder = saved(tmp_path, tiny)
    record = generator_inputs(folder)
    saved(tmp_path, tiny, {**TINY_CONFIG, "eps": 1e-3})
    assert generator_inputs(folder)["generator_digest"] == record["generator_digest"]
    with pytest.raises(UserError, match="is another file than the directions were found on"):
        open_recorded(GeneratorSource.of({"source": record}))


def test_narrower_shapes_are_refused():
    with pytest.raises(UserError, match="attention needs 8 channels, but has 4"):
        replace(TINY, channels=(8, 8, 4, 4, 4))
    with pytest.raises(UserError, match="has blocks"):
        infer_shape({})


@pytest.mark.parametrize("odd", [None, True, -1, 0, 1.5, 2**40, "x", [], [[]], [None], {}, {"a": 1}])
@pytest.mark.parametrize("key", ["layers", "channel_width", "z_dim", "num_classes", "n_stats", "eps", "output_dim"])
def test_odd_settings_are_told_in_a_line(key, odd):
    with pytest.raises(UserError) as caught:
        configured_shape({**TINY_CONFIG, key: odd})
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "odd", [None, True, 0, "x", [None] * 3, [True, 16], [True, 16, 0], [True, 16, 2**40], [0, 16, 8]]
)
def test_odd_blocks_are_told_in_a_line(odd):
    with pytest.raises(UserError, match=r"layers is no list of entries like \[true, 16, 8\]"):
        configured_shape({**TINY_CONFIG, "layers": [odd, *TINY_CONFIG["layers"][1:]]})
