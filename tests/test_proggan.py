import pytest
import torch
from golden_fill_generators import filled, layer_statistics, layout, proggan_value
from rounding import close, close_layers

from generators.catalogue import open_generator
from generators.protocol import Latents
from generators.published.proggan import PROGGAN_1024, ProgGANNetwork, ProgGANShape, infer_shape, published_shapes
from toolkit.pictures.pixels import to_bytes

TINY = ProgGANShape((8, 8, 8, 6, 4, 4), latent_dim=5)
DEPTH = 27  # two convolutions a side from 4 to 1024, eight doublings by differences, which sum twice, the colours


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The generator opened from a file with the very keys and shapes of the published one."""
    path = tmp_path_factory.mktemp("proggan") / "100_celeb_hq_network-snapshot-010403.pth"
    torch.save(filled(layout("proggan_1024"), proggan_value), path)
    return open_generator(str(path))


def test_published_layout_is_that_of_the_original():
    assert published_shapes(PROGGAN_1024) == layout("proggan_1024")


@pytest.mark.parametrize("shape", [PROGGAN_1024, TINY, ProgGANShape((4, 4), 3)])
def test_sizes_are_told_by_the_tensors(shape):
    state = {name: torch.empty(size, device="meta") for name, size in published_shapes(shape).items()}
    assert infer_shape(state) == shape


def test_fill_has_its_fingerprint():
    assert proggan_value(0, "features.0.wscale.scale", (1,))[0] == pytest.approx(1.2744422, abs=1e-6)


def test_images_and_layers_are_the_originals(published, golden):
    arrays = {key: torch.from_numpy(value) for key, value in golden("proggan_1024").items() if value.dtype.kind == "f"}
    seen = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _given, h: seen.append(layer_statistics(h)))
        for layer in published.network.features
    ]
    with torch.no_grad():
        image = published(Latents(arrays["z"].flatten(1)))
    for hook in hooks:
        hook.remove()
    close(image[:, :, ::8, ::8], arrays["out_every8"], depth=DEPTH)
    close(image[:, :, 512:544, 512:544], arrays["out_patch"], depth=DEPTH)
    close(channel_statistics(image), arrays["out_channel_stats"], depth=DEPTH)
    close_layers(seen, arrays["layer_stats"][:-1], depth=DEPTH)


def test_shifted_images_are_the_originals(published, golden):
    arrays = {key: torch.from_numpy(value) for key, value in golden("proggan_1024").items() if value.dtype.kind == "f"}
    latents = Latents(arrays["z"].flatten(1)).shifted(arrays["r"] * arrays["direction"].flatten())
    with torch.no_grad():
        image = published(latents)
    close(image[:, :, ::32, ::32], arrays["out_shifted_every32"], depth=DEPTH)
    close(channel_statistics(image), arrays["out_shifted_channel_stats"], depth=DEPTH)


def channel_statistics(image):
    values = image[0].flatten(1)
    return torch.stack([values.mean(1), values.std(1, correction=0), values.amin(1), values.amax(1)], dim=1)


def test_name_and_sizes_of_the_published_generator(published):
    assert (published.name, published.latent_dim, published.image_size) == ("proggan1024", 512, 1024)


def test_only_the_direction_of_a_latent_matters():
    network = ProgGANNetwork(TINY, filled(published_shapes(TINY), proggan_value))
    z = torch.linspace(-2, 3, 5)[None]
    assert network(z).shape == (1, 3, 16, 16)
    close(network(3 * z), network(z), depth=2 * len(TINY.channels) + 1)


def test_images_are_not_bounded_and_pictures_clamp_them():
    state = filled(published_shapes(TINY), proggan_value)
    state["output.wscale.b"] = torch.tensor([4.0, -4.0, 0.0])
    images = ProgGANNetwork(TINY, state)(torch.ones(1, 5))
    assert images[0, 0].min() > 1
    assert images[0, 1].max() < -1
    pictures = to_bytes(images)
    assert (pictures[..., 0] == 255).all()
    assert (pictures[..., 1] == 0).all()
