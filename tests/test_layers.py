"""Directions that move some layers of a style-based generator alone, from the set and its file to masks and figures."""

from dataclasses import replace

import numpy as np
import pytest
import small_stylegan2
import torch
from rounding import close
from small_stylegan2 import LAYERS
from test_directions import refusal

import toolkit
from discovery.animation import walk_frames
from discovery.charts import frames, walk
from discovery.comparing.comparison import compared, cosines, nearest, overlap, reconstruction, selected
from discovery.comparing.merging import merged
from discovery.comparing.recognition import RecognitionRun
from discovery.comparing.settings import CompareSettings
from discovery.face import edit, render
from discovery.methods.deformator.training import discover
from discovery.originals.writing import networks_of
from discovery.picking.measuring import judged_latents
from discovery.picking.picker import best_of_each, with_operator_scores
from discovery.picking.picking import judged
from discovery.settings import PickSettings
from generators.chosen_latents import latents_in_file
from generators.layered import mixed, mixing_table, seen_at
from generators.protocol import Inspectable, Latents, fitting, load_latents
from generators.scene import SceneGenerator
from segmentation.synthesis.source import MaskSource
from segmentation.synthesis.synthesizer import EmbeddingSource, MaskSynthesizer, PriorSource
from segmentation.unet.settings import SegmentationSettings
from toolkit.compute.engine import Engine
from toolkit.directions import Choice, DirectionSet
from toolkit.masks.rules import MASK_RULES
from toolkit.pictures.pixels import gray
from toolkit.shifts import at_layers, layers_text, read_layers
from toolkit.streams import Stream

CPU = Engine(torch.device("cpu"), bf16=False)


def mask(*numbers):
    return torch.tensor([number in numbers for number in range(LAYERS)])


@pytest.fixture(scope="module")
def generator():
    return small_stylegan2.generator()


def a_set(count=3, layers=None, **changes):
    vectors = Stream(1, "vectors").normal(count, 8)
    return DirectionSet(vectors, "stylegan2", "known", layers=layers, **changes)


def layered(**changes):
    return a_set(layers=torch.stack([mask(0, 1, 2), mask(5), mask(0, 7)]), **changes)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0-3,7", (0, 1, 2, 3, 7)), ("5", (5,)), (" 2,0 ", (0, 2)), ("1-1,1-2", (1, 2))],
)
def test_layers_are_read_from_text_and_written_the_same_way(text, numbers):
    layers = read_layers(text, LAYERS)
    assert torch.equal(layers, mask(*numbers))
    assert torch.equal(read_layers(layers_text(layers), LAYERS), layers)


def test_text_of_layers_is_the_shortest():
    assert [layers_text(mask(*n)) for n in ((0, 1, 2, 3, 7), (1, 2), (4,))] == ["0-3,7", "1-2", "4"]
    assert read_layers("all", LAYERS) is read_layers("0-7", LAYERS) is read_layers("0", 1) is None
    assert layers_text(None) == layers_text(torch.ones(LAYERS, dtype=torch.bool)) == "all"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "layers is '', but has to be numbers and ranges as in 0-3,7, or all"),
        ("3-", "layers is '3-', but has to be"),
        ("a", "layers is 'a', but has to be"),
        ("-1", "layers is '-1', but has to be"),
        ("1;2", "layers is '1;2', but has to be"),
        ("\u0663", "but has to be numbers"),
        ("0,8", "layers names 8, but there are 8 layers, 0 to 7"),
        ("0-" + 5000 * "9", "layers names 0-999"),
        ("5-3", "layers runs from 5 to 3; write the smaller one first, as in 0-3"),
    ],
)
def test_texts_that_name_no_layers(text, words):
    assert words in refusal(read_layers, text, LAYERS)


def test_a_set_with_layers_reads_back_bit_for_bit(tmp_path):
    made = layered(choice=Choice(1, -1, 2.0), scores={"x": [1.0, 2.0, 3.0]})
    made.save(tmp_path / "d.safetensors")
    read = DirectionSet.load(tmp_path / "d.safetensors")
    assert made.is_as(read)
    assert read.is_as(made)
    assert (read.layers.dtype, read.choice, read.scores) == (torch.bool, made.choice, made.scores)
    assert not read.is_as(a_set())
    assert not a_set().is_as(read)
    assert not read.is_as(layered().moving(mask(3)))
    read.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "d.safetensors").read_bytes()


@pytest.mark.parametrize(
    "layers",
    [
        torch.ones(3, LAYERS),
        torch.ones(3, LAYERS, dtype=torch.uint8),
        torch.ones(LAYERS, dtype=torch.bool),
        torch.ones(2, LAYERS, dtype=torch.bool),
        torch.ones(3, 0, dtype=torch.bool),
        torch.stack([mask(1), mask(), mask(2)]),
    ],
    ids=["float", "bytes", "1-d", "too few rows", "no layers", "a direction without"],
)
def test_what_are_no_layers(layers):
    assert "one row of truth values for each of 3 directions is needed" in refusal(lambda: a_set(layers=layers))


def test_shifts_move_their_layers_alone():
    made = layered(choice=Choice(0, 1, 2.0, opposite=1))
    shift = made.resolve()
    assert shift.vector.shape == (1, LAYERS, 8)
    torch.testing.assert_close(shift.vector[0, :3], 2 * made.vectors[0].expand(3, 8))
    assert not shift.vector[0, 3:].any()
    torch.testing.assert_close(shift.opposite[0, 5], 2 * made.vectors[1])
    assert not shift.opposite[0, [0, 1, 2, 3, 4, 6, 7]].any()
    assert shift.seen_by("lighting").shape == (1, LAYERS, 8)
    assert shift.seen_by("light-dark").shape == (2, 1, LAYERS, 8)
    plain = a_set(choice=made.choice).resolve()
    assert shift.inputs(shift.vector)["shift_digest"] != plain.inputs(plain.vector)["shift_digest"]


def test_one_direction_may_move_other_layers_than_the_rest():
    made = a_set().moving(mask(2), 1)
    assert made.layers.tolist() == [[True] * 8, mask(2).tolist(), [True] * 8]
    assert made.moving(None, 1).layers is None
    assert a_set().moving(None, 1).layers is None
    assert torch.equal(layered().moving(mask(4), 0).layers[1:], layered().layers[1:])
    assert layered().moving(None).is_as(a_set())


@torch.inference_mode()
def test_images_are_those_of_w_plus_by_hand(generator):
    w = generator.sample(2, Stream(0, "w")).z
    by_hand = w[:, None].repeat(1, LAYERS, 1)
    by_hand[:, [0, 7]] += 3 * layered().vectors[2]
    shifted = Latents(w).shifted(layered().shift(2, 3.0))
    close(generator(shifted), generator.network(by_hand), depth=11)
    strip = frames(generator, Latents(w[:1]), walk(layered().units[2][None], 3.0, 1)[0])
    close(strip[[1, 2]], generator(Latents(torch.stack([w[:1].expand(8, 8), by_hand[0]]))), depth=11)


def test_a_set_fits_generators_with_its_layers_alone(generator):
    assert fitting(layered(), generator).is_as(layered())
    assert fitting(layered(), generator, "all").layers is None
    assert torch.equal(fitting(layered(), generator, "1").layers, mask(1).expand(3, 8))
    other = a_set(layers=torch.ones(3, 6, dtype=torch.bool))
    assert "move some of 6 layers, but stylegan2 has 8; use" in refusal(fitting, other, generator)
    scene = SceneGenerator()
    plain = DirectionSet(torch.eye(scene.latent_dim), "scene", "known")
    assert "layers is '0', but scene takes no latent for each layer" in refusal(fitting, plain, scene, "0")
    moved = replace(plain, layers=torch.ones(len(plain), 8, dtype=torch.bool))
    assert "move some of 8 layers, but scene has none of its own" in refusal(fitting, moved, scene)


def test_masks_are_made_along_layers(generator):
    made = layered(choice=Choice(0, 1, 4.0, opposite=1))
    settings = SegmentationSettings(batch=2, area_filter=False, histogram_filter=False, connected_components=False)
    w = generator.sample(2, Stream(settings.seed, "synthesis"))
    for rule in ("lighting", "light-dark"):
        source = MaskSource.along(made.resolve(), generator, {}, rule)
        chosen = replace(settings, mask_rule=rule)
        batch = MaskSynthesizer(generator, source.shift, chosen, PriorSource(generator)).batch(2)
        after = generator(w.shifted(made.shift(0, 4.0)))
        before = generator(w.shifted(made.shift(1, 4.0))) if rule == "light-dark" else generator(w)
        assert torch.equal(batch.masks, MASK_RULES[rule](before, after))
    assert "the shift has shape [1, 6, 8]" in refusal(
        MaskSynthesizer, generator, torch.ones(1, 6, 8), settings, PriorSource(generator)
    )


def test_picking_judges_directions_at_their_layers(generator):
    settings = PickSettings(samples=6, num_alphas=1, compared_samples=4, finalists=3)
    everywhere = a_set(layers=torch.ones(3, LAYERS, dtype=torch.bool))
    for plain, whole in zip(*(judged(generator, one, settings, CPU) for one in (a_set(), everywhere)), strict=True):
        assert plain[0].figures == pytest.approx(whole[0].figures, abs=1e-3)
    at = judged(generator, layered(), settings, CPU)[1][0]
    w = judged_latents(generator, settings)
    moved = w.z[:, None].repeat(1, LAYERS, 1)
    moved[:, 5] += at.alpha * layered().vectors[1]
    change = gray(generator(Latents(moved))) - gray(generator(w))
    assert at.figures["centre"] == pytest.approx(change[:, 10:-10, 10:-10].mean().item(), abs=1e-3)
    scored = with_operator_scores(
        generator, layered(), best_of_each(judged(generator, layered(), settings, CPU)), settings, CPU
    )
    assert all("operator" in one.figures for one in scored)


def test_directions_of_one_vector_on_other_layers_are_others():
    vector = torch.eye(8)[:1]
    low, high = (DirectionSet(vector, "g", "m", layers=mask(*n)[None]) for n in ((0, 1), (2, 3)))
    both, whole = DirectionSet(vector, "g", "m", layers=mask(0, 1, 2, 3)[None]), DirectionSet(vector, "g", "m")
    wide = compared([low, high, both, whole])
    table = cosines(torch.cat(wide), torch.cat(wide))
    expected = torch.tensor(
        [[1, 0, 2**-0.5, 0.5], [0, 1, 2**-0.5, 0.5], [2**-0.5] * 2 + [1, 2**-0.5], [0.5, 0.5, 2**-0.5, 1]]
    )
    torch.testing.assert_close(table, expected)
    assert overlap(wide[0], wide[1]) == 0
    together = merged({"a": low, "b": high})
    assert nearest(compared([together])[0]) == 0
    assert compared([whole])[0] is whole.vectors


def test_merged_sets_keep_their_layers():
    made = merged({"a": a_set(1), "b": layered()})
    assert torch.equal(made.layers, torch.cat([torch.ones(1, LAYERS, dtype=torch.bool), layered().layers]))
    assert torch.equal(selected(made, 2).layers, made.layers[:2])
    assert merged({"a": a_set(1), "b": a_set()}).layers is None
    other = a_set(layers=torch.ones(3, 6, dtype=torch.bool))
    assert "move some of 6 layers and of 8" in refusal(merged, {"a": other, "b": layered()})


def test_a_reconstructor_sees_each_direction_at_its_layers(generator):
    settings = CompareSettings(steps=1, batch=4, reconstructor_size=32)
    state = reconstruction(generator, layered(), settings, CPU)
    shift = state.deformator(torch.diag(torch.tensor([2.0, -1.0, 3.0])))
    by_hand = torch.cat([layered().shift(0, 2.0), layered().shift(1, -1.0), layered().shift(2, 3.0)])
    torch.testing.assert_close(shift, by_hand)
    assert len(list(discover(state, generator, settings.training(), CPU))) == 1
    runs = [RecognitionRun(made, generator, settings, CPU, {}, "x") for made in (layered(), a_set())]
    assert runs[0].inputs != runs[1].inputs


def test_a_view_moves_its_layers_and_shows_their_weights(generator):
    view = seen_at(generator, "0-1,6")
    assert isinstance(view, Inspectable)
    weights = generator.first_weights()
    assert all(a is b for a, b in zip(view.first_weights(), (weights[0], weights[1], weights[6]), strict=True))
    latents = view.sample(4, Stream(0, "w"))
    w, shift = latents.z, torch.ones(8)
    by_hand = at_layers(shift, mask(0, 1, 6))
    torch.testing.assert_close(latents.shifted(shift).z, w[:, None] + by_hand)
    torch.testing.assert_close(latents[1:3].shifted(2 * shift.expand(2, 8)).z, w[1:3, None] + 2 * by_hand)
    torch.testing.assert_close(latents.shifted(by_hand[None]).z, w[:, None] + by_hand)
    assert seen_at(generator, "all") is seen_at(generator, None) is generator
    assert "takes no latent for each layer" in refusal(seen_at, SceneGenerator(), "3")


def test_edits_and_renders_take_sets_with_layers(generator):
    latents = generator.sample(2, Stream(0, "w"))
    edited = edit(latents, layered(), 1, 2.0)
    torch.testing.assert_close(edited.z[:, 5], latents.z + 2 * layered().vectors[1])
    assert torch.equal(edited.z[:, 4], latents.z)
    assert edit(edited, layered(), 1, 2.0).z.shape == (2, LAYERS, 8)
    assert "the latents are of 6 layers, but the directions of 8" in refusal(
        edit, Latents(torch.zeros(1, 6, 8)), layered(), 1, 2.0
    )
    walked = render(latents, generator, layered(), direction=1, reach=2.0, frames=3)
    assert (walked[2] == render(edited, generator)).all()
    shift = layered().resolve(1, 2.0)
    drawn = walk_frames(generator, latents, shift.vector, shift.opposite, 3, 32, MASK_RULES["light-dark"], CPU, 2)
    assert len(drawn) == 3


def test_the_originals_files_hold_no_layers():
    assert "which the original's files cannot say; move all with toolkit pick SET --layers all" in refusal(
        networks_of, layered(), None
    )


def test_latents_by_layer_come_from_files(generator, tmp_path):
    w = Stream(3, "w-plus").normal(4, LAYERS * 8).view(4, LAYERS, 8)
    np.save(tmp_path / "w.npy", w.numpy())
    assert torch.equal(load_latents(tmp_path / "w.npy", 8, LAYERS), w)
    assert torch.equal(latents_in_file(f"{tmp_path / 'w.npy'}:1,3", generator, Stream(0, "x")).z, w[[1, 3]])
    np.save(tmp_path / "plain.npy", w[:, 0].numpy())
    assert torch.equal(latents_in_file(str(tmp_path / "plain.npy"), generator, Stream(0, "x")).z, w[:, 0])
    made = layered(choice=Choice(0, 1, 4.0))
    source = MaskSource.along(made.resolve(), generator, {}, "lighting", tmp_path / "w.npy")
    assert torch.equal(source.latents, w)


def test_latents_of_other_layers_are_refused_in_a_line(generator, tmp_path):
    np.save(tmp_path / "w.npy", np.zeros((4, 6, 8), np.float32))
    needed = "has shape (4, 6, 8), but latents of shape (N, 8) or (N, 8, 8) are needed"
    assert needed in refusal(latents_in_file, str(tmp_path / "w.npy"), generator, Stream(0, "x"))
    made = layered(choice=Choice(0, 1, 4.0))
    assert needed in refusal(MaskSource.along, made.resolve(), generator, {}, None, tmp_path / "w.npy")
    scene = SceneGenerator()
    assert "latents of shape (N, 16) are needed" in refusal(
        latents_in_file, str(tmp_path / "w.npy"), scene, Stream(0, "x")
    )
    np.save(tmp_path / "none.npy", np.float32(3))
    assert "has shape ()" in refusal(load_latents, tmp_path / "none.npy", 8, LAYERS)


def test_noise_on_latents_by_layer_is_each_layers_own():
    w = Stream(3, "w-plus").normal(2, LAYERS * 8).view(2, LAYERS, 8)
    drawn = EmbeddingSource(w, noise=0.5).draw(64, Stream(0, "s"))
    rows = Stream(0, "s").integers(64, 2)
    noise = (drawn.z - w[rows]) / 0.5
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert (noise[:, 0] * noise[:, 1]).mean().item() == pytest.approx(0, abs=0.2)
    assert torch.equal(drawn.z[:8], EmbeddingSource(w, noise=0.5).draw(8, Stream(0, "s")).z)


def test_mixed_styles_are_those_of_both_by_hand(generator):
    first, second = (generator.sample(2, Stream(seed, "w")) for seed in (0, 1))
    by_hand = first.z[:, None].repeat(1, LAYERS, 1)
    by_hand[:, 4:] = second.z[:, None]
    assert torch.equal(mixed(first, second, mask(4, 5, 6, 7), LAYERS).z, by_hand)
    assert torch.equal(mixed(first, second, None, LAYERS).z, second.layered(LAYERS).z)
    assert torch.equal(toolkit.mix(first, second, "4-7", generator).z, by_hand)
    assert torch.equal(toolkit.mix(Latents(by_hand), second[1:], "0").z[:, 0], second.z[[1, 1]])
    numbered = Latents(first.z, torch.tensor([3, 4]))
    assert torch.equal(toolkit.mix(numbered, Latents(second.z, torch.tensor([8, 9])), "1", generator).y, numbered.y)
    table = mixing_table(first, generator.sample(3, Stream(2, "w")), mask(0), LAYERS)
    assert torch.equal(table.z[4, 0], generator.sample(3, Stream(2, "w")).z[1])
    assert torch.equal(table.z[4, 1], first.z[1])
    assert len(table) == 6


def test_latents_that_cannot_be_mixed(generator):
    w = generator.sample(2, Stream(0, "w"))
    assert "do not say how many there are; pass the generator too" in refusal(toolkit.mix, w, w, "0")
    assert "layers names 8, but there are 8 layers" in refusal(toolkit.mix, w, w, "8", generator)
    assert "cannot be mixed at 8 layers" in refusal(toolkit.mix, w, Latents(torch.zeros(3, 8)), "0", generator)
    assert "cannot be mixed at 6 layers" in refusal(
        toolkit.mix, Latents(torch.zeros(2, 6, 8)), Latents(torch.zeros(2, 8, 8)), "0"
    )
