"""The support sets of WarpedGANSpace open as directions whose walks are curved."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from cli_runs import ran
from test_warps import by_numpy

from cli.browse.pictures import Edit, Pictures, Start
from discovery.animation import walk_frames
from discovery.comparing.comparison import compared, selected
from discovery.comparing.merging import merged
from discovery.face import edit, render
from discovery.opening import open_directions
from discovery.originals.writing import networks_of
from discovery.picking.measuring import judged_latents
from discovery.picking.picking import pick_direction
from discovery.settings import PickSettings
from generators.protocol import Latents
from generators.scene import SceneGenerator
from segmentation.synthesis.source import MaskSource
from segmentation.synthesis.synthesizer import MaskSynthesizer, PriorSource
from segmentation.unet.settings import SegmentationSettings
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.artefacts import load_artefact
from toolkit.masks.comparisons import lighting
from toolkit.masks.filters import area_within, large_components, multimodal
from toolkit.masks.rules import MASK_RULES
from toolkit.pictures.pixels import enlarged, enlargement, grid, to_bytes
from toolkit.streams import Stream
from toolkit.warps import STEP


def support_sets(count=3, dipoles=2, size=4, seed=0):
    """A state as its SupportSets module has it: pairs of opposite vectors, side by side in a row."""
    rng = np.random.default_rng(seed)
    pairs = rng.normal(size=(count, dipoles, size))
    sets = np.stack([pairs, -pairs], axis=2).reshape(count, -1)
    alphas = np.tile([1.0, -1.0], (count, dipoles))
    parts = {"SUPPORT_SETS": sets, "ALPHAS": alphas, "LOGGAMMA": np.log(rng.uniform(0.1, 0.3, (count, 1)))}
    return {name: torch.tensor(values, dtype=torch.float32) for name, values in parts.items()}


def written(folder, state, args=None, name="support_sets.pt"):
    (folder / "models").mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "models" / name)
    if args is not None:
        (folder / "args.json").write_text(json.dumps(args))
    return folder


def test_a_walk_is_the_authors(tmp_path):
    state = support_sets()
    found = open_directions(written(tmp_path / "x", state))
    sets, gammas = state["SUPPORT_SETS"].numpy().reshape(3, 4, 4), state["LOGGAMMA"].exp().numpy()
    z = np.array([0.3, -0.2, 0.5, 0.1])
    expected = by_numpy(sets[1], state["ALPHAS"][1].numpy(), gammas[1, 0], z, STEP, 10)[-1]
    walked = found.warps[1].walked(torch.tensor(z)[None], 10 * STEP)[0]
    np.testing.assert_allclose(walked, expected, atol=1e-6)


def test_its_vectors_are_the_ways_from_the_origin(tmp_path):
    state = support_sets()
    found = open_directions(written(tmp_path / "x", state))
    sets = state["SUPPORT_SETS"].reshape(3, 4, 4).double()
    for index, vector in enumerate(found.vectors):
        z = torch.zeros(4, dtype=torch.float64, requires_grad=True)
        gamma = state["LOGGAMMA"][index].double().exp()
        f = (state["ALPHAS"][index] * (-gamma * (z - sets[index]).square().sum(dim=1)).exp()).sum()
        (gradient,) = torch.autograd.grad(f, z)
        torch.testing.assert_close(vector.double(), gradient / gradient.norm(), atol=1e-6, rtol=0)


def test_a_set_of_them_is_saved_and_read_whole(tmp_path):
    found = open_directions(written(tmp_path / "x", support_sets()))
    found.save(tmp_path / "d.safetensors")
    again = DirectionSet.load(tmp_path / "d.safetensors")
    assert torch.equal(again.vectors, found.vectors)
    assert torch.equal(again.warps[2].walked(torch.ones(1, 4), 1.0), found.warps[2].walked(torch.ones(1, 4), 1.0))


@pytest.mark.parametrize("name", ["support_sets.pt", "support_sets-4000.pt"])
def test_file_and_folder_open_alike_and_the_last_file_is_meant(tmp_path, name):
    folder = written(tmp_path / "x", support_sets(seed=1), name="support_sets-300.pt")
    last = support_sets(seed=2)
    written(folder, last, name=name)
    expected = last["SUPPORT_SETS"].reshape(3, 4, 4)
    assert torch.equal(open_directions(folder).warps.centres, expected)
    assert torch.equal(open_directions(folder / "models" / name).warps.centres, expected)


@pytest.mark.parametrize(
    ("args", "generator", "missing"),
    [
        ({"gan": "stylegan2_ffhq1024", "stylegan_space": "W"}, "stylegan2_ffhq1024", "FILE@space=w"),
        ({"gan": "stylegan2_ffhq1024", "stylegan_space": "Z"}, "stylegan2_ffhq1024-z", "FILE@space=z"),
        ({"gan_type": "StyleGAN2", "shift_in_w_space": True}, "StyleGAN2", "FILE@space=w"),
        ({"gan_type": "BigGAN", "biggan_target_classes": [239, 14]}, "BigGAN", "FILE@classes=239,14"),
        (None, "unknown", "FILE"),
    ],
)
def test_the_arguments_say_the_generator(tmp_path, args, generator, missing):
    found = open_directions(written(tmp_path / "x", support_sets(), args))
    assert (found.generator, found.source.missing) == (generator, missing)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ALPHAS": None}, "does not fit the support sets of a WarpedGANSpace: missing: ALPHAS"),
        ({"ALPHAS": torch.ones(3, 5)}, r"SUPPORT_SETS is \[3, 16\], expected \[3, 15\]"),
        ({"LOGGAMMA": torch.ones(3)}, r"LOGGAMMA is \[3\], expected \[3, 1\]"),
        ({"LOGGAMMA": torch.full((3, 1), 1000.0)}, "finite ones"),
        ({"SUPPORT_SETS": torch.ones(2, 16)}, r"SUPPORT_SETS is \[2, 16\], expected \[3, 16\]"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path, change, text):
    state = {name: tensor for name, tensor in (support_sets() | change).items() if tensor is not None}
    with pytest.raises(UserError, match=text):
        open_directions(written(tmp_path / "x", state))


def test_paths_in_w_plus_are_refused_in_one_line(tmp_path):
    folder = written(tmp_path / "x", support_sets(), {"gan": "stylegan2_ffhq1024", "stylegan_space": "W+"})
    with pytest.raises(
        UserError, match=r"holds paths in W\+, each of another vector a layer; those in Z and in W open"
    ):
        open_directions(folder)


def test_convert_makes_a_direction_set_of_them(tmp_path):
    folder = written(tmp_path / "x", support_sets())
    ran("convert", folder, "--out", tmp_path / "d.safetensors")
    made = DirectionSet.load(tmp_path / "d.safetensors")
    assert len(made.warps) == 3
    assert list(made.card["sha256"]) == ["support_sets.pt"]


SCENE = SceneGenerator(image_size=32)
CPU = Engine(torch.device("cpu"), bf16=False)


@pytest.fixture(scope="module")
def curved(tmp_path_factory):
    """A set of three curved directions of the scene."""
    folder = written(tmp_path_factory.mktemp("x"), support_sets(dipoles=4, size=SCENE.latent_dim), {"gan": "scene"})
    return open_directions(folder)


def walked(directions, index, latents, alpha):
    return Latents(directions.warps[index].walked(latents.z, alpha), latents.y)


def test_frames_and_masks_are_of_the_curve(curved):
    latents, shift = SCENE.sample(2, Stream(0, "x")), curved.resolve(1, 3.0)
    pictures = walk_frames(SCENE, latents, shift.vector, shift.opposite, 5, None, None, CPU, 2)
    expected = [to_bytes(SCENE(walked(curved, 1, latents, alpha))) for alpha in (-3.0, -1.5, 0.0, 1.5, 3.0)]
    for picture, images in zip(pictures, expected, strict=True):
        assert np.array_equal(picture, grid(enlarged(images, enlargement(32)), 2))
    straight = SCENE(latents.shifted(3.0 * curved.vectors[1]))
    assert (straight - SCENE(walked(curved, 1, latents, 3.0))).abs().max() > 0.1


def test_edit_and_render_follow_the_curve(curved):
    latents = SCENE.sample(3, Stream(0, "x"))
    torch.testing.assert_close(edit(latents, curved, 2, -2.0).z, walked(curved, 2, latents, -2.0).z)
    frames = render(latents, SCENE, curved, direction=2, reach=2.0, frames=3)
    assert np.array_equal(frames[0], to_bytes(SCENE(walked(curved, 2, latents, -2.0))))


def test_pairs_are_made_along_the_curve_and_recorded_as_such(curved):
    settings = SegmentationSettings(area_filter=False, histogram_filter=False, connected_components=False, batch=4)
    source = MaskSource.along(curved.resolve(0, 3.0), SCENE, {}, "mean_thr")
    synthesizer = MaskSynthesizer(SCENE, source.shift, settings, PriorSource(SCENE), "pairs", CPU)
    latents = SCENE.sample(4, Stream(settings.seed, "pairs"))
    before, after = SCENE(latents), SCENE(walked(curved, 0, latents, 3.0))
    batch = synthesizer.batch(4)
    torch.testing.assert_close(batch.images, before.clamp(-1, 1))
    assert torch.equal(batch.masks, synthesizer.rule(before, after))
    other = MaskSource.along(curved.resolve(0, 2.5), SCENE, {}, "mean_thr")
    assert other.inputs["shift_digest"] != source.inputs["shift_digest"]
    with pytest.raises(UserError, match=r"the shift moves 16 numbers, but latents of scene have 20 numbers"):
        MaskSynthesizer(SceneGenerator(latent_dim=20), source.shift, settings, PriorSource(SCENE), "pairs", CPU)


def test_light_and_dark_are_the_two_ways_of_a_curve(curved):
    settings = SegmentationSettings(
        area_filter=False, histogram_filter=False, connected_components=False, mask_rule="light-dark"
    )
    source = MaskSource.along(curved.resolve(0, 3.0), SCENE, {}, "light-dark")
    synthesizer = MaskSynthesizer(SCENE, source.shift, settings, PriorSource(SCENE), "pairs", CPU)
    latents = SCENE.sample(2, Stream(settings.seed, "pairs"))
    light, dark = (SCENE(walked(curved, 0, latents, alpha)) for alpha in (3.0, -3.0))
    assert torch.equal(synthesizer.batch(2).masks, synthesizer.rule(dark, light))


def test_the_picker_judges_what_the_curves_do_and_keeps_them(curved):
    settings = PickSettings(samples=8, finalists=2, num_alphas=1, max_alpha=3.0)
    picked = pick_direction(SCENE, curved, settings, CPU)
    assert picked.directions.is_curved
    best, latents = picked.candidates[0], judged_latents(SCENE, settings)
    after = SCENE(walked(curved, best.index, latents, best.sign * best.alpha))
    masks = large_components(lighting(SCENE(latents), after))
    passed = area_within(masks, minimum=0.02) & multimodal(after)
    assert best.figures["pass_rate"] == pytest.approx(passed.float().mean().item())
    judged = masks[passed] if passed.sum() >= 4 else masks
    assert best.figures["area"] == pytest.approx(judged.float().mean().item())


def test_sliders_of_several_curves_are_taken_one_after_another(curved):
    pictures, latents = Pictures(SCENE, CPU), SCENE.sample(2, Stream(0, "browse"))
    after = walked(curved, 1, walked(curved, 0, latents, 2.0), -1.0)
    torch.testing.assert_close(latents.shifted(Edit.along(curved, [(0, 2.0), (1, -1.0)]).forth).z, after.z)
    assert pictures.strip(curved, 0, 2.0, Start()) != pictures.strip(replace(curved, warps=None), 0, 2.0, Start())
    edit = Edit.along(curved, [(0, 2.0)])
    assert pictures.shifted(edit, Start(count=2), MASK_RULES["light-dark"])
    assert pictures.picture(edit, Start()) != pictures.picture(Edit.along(curved, [(0, 1.0)]), Start())


def test_what_looks_at_vectors_refuses_curves(curved):
    with pytest.raises(UserError, match="are curved; compare and merge straight ones"):
        compared([curved, replace(curved, warps=None)])
    with pytest.raises(UserError, match="are curved; compare and merge straight ones"):
        merged({"a": curved, "b": curved})
    with pytest.raises(UserError, match="are curved, which the original's files cannot say"):
        networks_of(curved, None)
    assert not curved.is_as(replace(curved, warps=None))
    assert selected(curved, 2).warps[1].gamma == curved.warps[1].gamma


def test_straight_sets_are_what_they_were(curved, tmp_path):
    straight = replace(curved, warps=None)
    assert torch.equal(straight.shift(1, 2.5), straight.vectors[1] * 2.5)
    straight.save(tmp_path / "d.safetensors")
    assert set(load_artefact(tmp_path / "d.safetensors", "direction set")[0]) == {"vectors"}
