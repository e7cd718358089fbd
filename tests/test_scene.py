"""The scene generator is the oracle of other tests, so it is checked against closed forms; and the protocol."""

import io
import math

import numpy as np
import pytest
import torch
from rounding import close, room

from generators.protocol import Generator, Latents, load_latents, render_twins
from generators.scene import FACTORS, SceneGenerator
from toolkit.errors import UserError
from toolkit.pictures.pixels import gray
from toolkit.streams import Stream

COUNT = 24
SIDE = 64
DRAWN = 4  # mixing, distance, phase of the textures, and soft edges that steepen what they are given
MOVED = 20  # the same of factors that are rounded otherwise
SHAPE_FACTORS = ("position_x", "position_y", "size")
GENERATORS = {"axes": SceneGenerator(), "mixed": SceneGenerator(mixing_seed=3)}


@pytest.fixture(params=GENERATORS)
def scene(request):
    return GENERATORS[request.param]


def latents_of(scene) -> Latents:
    """Latents whose factors are the same numbers for both generators."""
    factors = Stream(0, "scene-tests").normal(COUNT, 16)
    return Latents(torch.cat([factors[:, i, None] * along(scene, i) for i in range(16)]).view(16, COUNT, 16).sum(0))


def along(scene, index):
    """The latent vector of one unit of factor `index`, the nameless ones included."""
    return scene._mixing[:, index]


def depth(latents, scene) -> np.ndarray:
    """How far each pixel lies inside the object's edge, in half sides (B, S, S); written down anew in numpy."""
    factors = latents.z.double().numpy() @ scene._mixing.double().numpy()
    x, y = 0.35 * np.tanh(factors[:, 2]), 0.35 * np.tanh(factors[:, 3])
    radius = 0.4 + 0.12 * np.tanh(factors[:, 4])
    centres = (np.arange(SIDE) + 0.5) / (SIDE / 2) - 1
    down, right = centres[:, None], centres[None, :]
    distance = np.sqrt((down - y[:, None, None]) ** 2 + 1.4 * (right - x[:, None, None]) ** 2)
    return radius[:, None, None] - distance


def change(scene, factor, length=1.0):
    """Change of the images (B, 3, S, S) and whether each pixel is deep inside or far outside of the object."""
    latents = latents_of(scene)
    before, after = render_twins(scene, latents, length * scene.direction(factor))
    inside, outside = depth(latents, scene) > 0.25, depth(latents, scene) < -0.25
    return (after - before), torch.from_numpy(inside)[:, None], torch.from_numpy(outside)[:, None]


def test_it_is_a_generator(scene):
    assert isinstance(scene, Generator)
    assert (scene.name, scene.latent_dim, scene.image_size) == ("scene", 16, SIDE)


def test_images_are_in_range_and_differ(scene):
    images = scene(latents_of(scene))
    assert images.shape == (COUNT, 3, SIDE, SIDE)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert torch.pdist(images.flatten(1)).min() > 1


def test_masks_are_exact(scene):
    latents = latents_of(scene)
    expected = depth(latents, scene)
    sure = np.abs(expected) > room(DRAWN)
    assert np.array_equal(scene.masks(latents).numpy()[sure], expected[sure] > 0)


def test_masks_have_the_area_of_their_ellipses(scene):
    latents = latents_of(scene)
    factors = latents.z @ scene._mixing
    radius = 0.4 + 0.12 * torch.tanh(factors[:, 4])
    area = math.pi * radius**2 / math.sqrt(1.4) * (SIDE / 2) ** 2
    # Along the edge, some 2 pi r pixels long, each pixel is right but for rounding.
    assert (scene.masks(latents).sum(dim=(1, 2)) - area).abs().max() < 0.1 * 2 * math.pi * 0.52 * SIDE / 2


def test_what_lies_under_the_mask_is_the_object(scene):
    """Object and ground repainted: the mask tells exactly which of the two a pixel shows more of."""
    latents = latents_of(scene)
    moved_object = (scene(latents.shifted(scene.direction("object_brightness"))) - scene(latents)).abs().mean(dim=1)
    moved_ground = (scene(latents.shifted(scene.direction("background_brightness"))) - scene(latents)).abs().mean(dim=1)
    told = moved_object > moved_ground
    assert (told == scene.masks(latents)).double().mean() > 0.98
    sure = torch.from_numpy(np.abs(depth(latents, scene)) > 0.1)
    assert torch.equal(told[sure], scene.masks(latents)[sure])


def test_background_brightness_changes_the_background_only(scene):
    moved, inside, outside = change(scene, "background_brightness")
    assert moved[outside.expand_as(moved)].min() > 0.02
    assert moved[inside.expand_as(moved)].abs().max() < 1e-3  # what the soft edge lets through
    moved, _, outside = change(scene, "background_brightness", -1.0)
    assert moved[outside.expand_as(moved)].max() < -0.02


def test_object_brightness_changes_the_object_only(scene):
    moved, inside, outside = change(scene, "object_brightness")
    assert moved[inside.expand_as(moved)].min() > 0.02
    assert moved[outside.expand_as(moved)].abs().max() < 1e-3


@pytest.mark.parametrize("factor", ["background_colour", "object_colour"])
def test_colours_change_their_part_in_hue_more_than_in_brightness(scene, factor):
    moved, inside, outside = change(scene, factor)
    own, other = (outside, inside) if factor.startswith("background") else (inside, outside)
    assert moved[other.expand_as(moved)].abs().max() < 1e-3
    assert moved.abs()[own.expand_as(moved)].mean() > 0.05
    assert gray(moved).abs()[own[:, 0]].mean() < 0.25 * moved.abs()[own.expand_as(moved)].mean()


def test_texture_changes_the_background_only(scene):
    moved, inside, outside = change(scene, "texture")
    assert moved[inside.expand_as(moved)].abs().max() < 1e-3
    assert moved.abs()[outside.expand_as(moved)].mean() > 0.02
    assert moved[outside.expand_as(moved)].mean().abs() < 0.02  # some brighter, some darker


def centre(masks):
    """Mean row and column (B, 2) of the foreground, in pixels."""
    steps = torch.arange(SIDE, dtype=torch.float32)
    area = masks.sum(dim=(1, 2))
    return torch.stack([(masks.sum(dim=2) * steps).sum(1) / area, (masks.sum(dim=1) * steps).sum(1) / area], dim=1)


@pytest.mark.parametrize(("factor", "axis"), [("position_x", 1), ("position_y", 0)])
def test_positions_move_the_object(scene, factor, axis):
    latents = latents_of(scene)
    index = FACTORS.index(factor)
    place = (latents.z @ scene._mixing)[:, index]
    expected = 0.35 * (torch.tanh(place + 1.5) - torch.tanh(place)) * SIDE / 2
    moved = centre(scene.masks(latents.shifted(1.5 * scene.direction(factor)))) - centre(scene.masks(latents))
    assert (moved[:, axis] - expected).abs().max() < 0.25  # pixels; the mask itself is a raster
    assert moved[:, 1 - axis].abs().max() < 0.25
    assert moved[:, axis].max() > 4


def test_size_grows_the_object(scene):
    latents = latents_of(scene)
    small, large = scene.masks(latents), scene.masks(latents.shifted(2 * scene.direction("size")))
    assert (small & ~large).sum() == 0
    assert (large.sum(dim=(1, 2)) > small.sum(dim=(1, 2))).all()


@pytest.mark.parametrize("factor", [name for name in FACTORS if name not in SHAPE_FACTORS])
def test_other_factors_leave_the_mask(scene, factor):
    latents = latents_of(scene)
    assert torch.equal(scene.masks(latents.shifted(2 * scene.direction(factor))), scene.masks(latents))


def test_nameless_factors_change_nothing(scene):
    latents = latents_of(scene)
    shift = sum(5 * along(scene, i) for i in range(len(FACTORS), 16))
    close(scene(latents.shifted(shift)), scene(latents), depth=MOVED)


def test_the_contrast_direction_darkens_the_background_and_lightens_the_object(scene):
    direction = scene.contrast_direction()
    assert direction.norm().item() == pytest.approx(1, abs=1e-6)
    latents = latents_of(scene)
    before, after = render_twins(scene, latents, 3 * direction)
    moved = gray(after) - gray(before)
    masks = scene.masks(latents)
    near_edge = torch.from_numpy(np.abs(depth(latents, scene)) < 0.1)  # there both show through
    assert (moved[masks & ~near_edge] > 0).all()
    assert (moved[~masks & ~near_edge] < 0).all()
    assert ((moved > 0) == masks).double().mean() > 0.99


def test_directions_are_orthogonal_unit_vectors(scene):
    found = torch.stack([scene.direction(name) for name in FACTORS])
    close(found @ found.T, torch.eye(len(FACTORS)), depth=5)
    found[0] += 1  # a copy
    assert scene.direction(FACTORS[0]).norm().item() == pytest.approx(1, abs=1e-5)


def test_mixing_rotates_the_latents_and_nothing_else():
    axes, mixed = GENERATORS["axes"], GENERATORS["mixed"]
    close(axes(latents_of(axes)), mixed(latents_of(mixed)), depth=MOVED)
    assert torch.equal(axes.direction("size"), torch.eye(16)[4])
    assert mixed.direction("size").abs().max() < 0.9
    assert torch.equal(SceneGenerator(mixing_seed=3).direction("size"), mixed.direction("size"))
    assert not torch.equal(SceneGenerator(mixing_seed=4).direction("size"), mixed.direction("size"))


def test_gradients_reach_the_latents():
    axes = GENERATORS["axes"]
    z = latents_of(axes).z.requires_grad_()
    (axes(Latents(z)) * torch.linspace(0, 1, SIDE)).square().sum().backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert (z.grad[:, : len(FACTORS)].abs() > 0).all()
    assert (z.grad[:, len(FACTORS) :] == 0).all()


def test_an_image_does_not_depend_on_its_batch(scene):
    latents = latents_of(scene)
    alone = torch.cat([scene(latents[i : i + 1]) for i in range(COUNT)])
    close(alone, scene(latents), depth=DRAWN)
    differing = torch.cat([scene.masks(latents[i : i + 1]) for i in range(COUNT)]) != scene.masks(latents)
    assert not differing[torch.from_numpy(np.abs(depth(latents, scene)) > room(MOVED))].any()


def test_half_precision_elsewhere_does_not_blur_the_oracle(scene):
    latents = latents_of(scene)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = scene(latents)
    assert torch.equal(images, scene(latents))


def test_samples_come_from_the_stream():
    stream = Stream(4, "x")
    first, second = GENERATORS["axes"].sample(3, stream), GENERATORS["axes"].sample(2, stream)
    assert torch.equal(Latents.cat([first, second]).z, Stream(4, "x").normal(5, 16))
    assert GENERATORS["axes"].sample(50, stream, truncation=0.5).z.abs().max() <= 0.5


def test_other_sizes():
    assert SceneGenerator(image_size=20, latent_dim=8)(Latents(torch.zeros(2, 8))).shape == (2, 3, 20, 20)
    with pytest.raises(ValueError, match="latent_dim is 7, but the scene has 8 factors"):
        SceneGenerator(latent_dim=7)


def test_latents_keep_their_classes():
    z, y = torch.arange(6.0).view(3, 2), torch.tensor([7, 8, 9])
    latents = Latents(z, y)
    shifted = latents.shifted(torch.ones(2))
    assert shifted.y is not None
    assert shifted.y.tolist() == [7, 8, 9]
    assert shifted.z.tolist() == [[1, 2], [3, 4], [5, 6]]
    both = Latents.cat([latents, shifted[1:]])
    assert len(both) == 5
    assert both.y is not None
    assert both.y.tolist() == [7, 8, 9, 8, 9]
    assert Latents.cat([Latents(z), Latents(z)]).y is None
    assert latents[torch.tensor([2, 0])].z.tolist() == [[4, 5], [0, 1]]


def test_twins_differ_by_the_shift_only():
    scene = GENERATORS["axes"]
    latents = latents_of(scene)
    shifts = Stream(1, "shifts").normal(COUNT, 16)
    before, after = render_twins(scene, latents, shifts)
    close(before, scene(latents), depth=DRAWN)
    close(after, scene(Latents(latents.z + shifts)), depth=DRAWN)


def saved(path, array):
    np.save(path, array)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32])
def test_latents_from_a_file(tmp_path, dtype):
    path = saved(tmp_path / "z.npy", np.array([[1, 2, 3], [4, 5, 6]], dtype))
    found = load_latents(path, 3)
    assert found.dtype == torch.float32
    assert found.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((2, 4)), r"has shape \(2, 4\), but latents of shape \(N, 3\) are needed"),
        (np.zeros(3), r"has shape \(3,\), but"),
        (np.zeros((0, 3)), r"has shape \(0, 3\), but"),
        (np.full((2, 3), np.nan), "holds values that are no finite numbers"),
        (np.full((2, 3), 1e300), "holds values that are no finite numbers"),
        (np.full((2, 3), 1j), "holds values that are no finite numbers"),
        (np.full((2, 3), "x"), "holds values that are no finite numbers"),
        (np.full((2, 3), None), "cannot read .* as a .npy array"),  # a pickle
    ],
)
def test_files_without_latents(tmp_path, array, text):
    with pytest.raises(UserError, match=text):
        load_latents(saved(tmp_path / "z.npy", array), 3)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 no archive", b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_arrays(tmp_path, content):
    (tmp_path / "z.npy").write_bytes(content)
    with pytest.raises(
        UserError, match=r"cannot read .*z\.npy as a \.npy array|z\.npy is an empty file, not a latents file"
    ):
        load_latents(tmp_path / "z.npy", 3)


def test_several_arrays_and_none(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros((2, 3)))
    (tmp_path / "z.npy").write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match="has shape several arrays, but latents"):
        load_latents(tmp_path / "z.npy", 3)
    with pytest.raises(UserError, match=r"no latents file \(\.npy\) at"):
        load_latents(tmp_path / "none.npy", 3)
