"""Layers of compact networks in their cheap forms, against the plain formulas they stand for."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from generators.compact.augmentation import NUM_UNIFORMS, augmented
from generators.compact.discriminator import Discriminator
from generators.compact.network import CompactNetwork, CompactShape, DoublingConv, LatentBatchNorm
from generators.compact.spectral import normed


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradients(out: torch.Tensor, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(out, inputs, noise(*out.shape, seed=9).to(out.dtype))


def assert_same(ours: torch.Tensor, plain: torch.Tensor, *inputs: torch.Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(ours, plain, rtol=0, atol=atol)
    for own, expected in zip(gradients(ours, *inputs), gradients(plain, *inputs), strict=True):
        torch.testing.assert_close(own, expected, rtol=0, atol=10 * atol)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_doubling_and_convolving_are_one_transposed_convolution(layout):
    conv = DoublingConv(5, 3).double().to(memory_format=layout)
    features = noise(2, 5, 4, 6).requires_grad_(True)
    plain = F.conv2d(F.interpolate(features, scale_factor=2.0, mode="nearest"), conv.weight, padding=1)
    assert_same(conv(features), plain, features, conv.weight)


def test_a_settled_network_draws_the_same_and_follows_to_other_precisions():
    network = CompactNetwork(CompactShape(image_size=32, latent_dim=6, width=4)).eval().requires_grad_(False)
    z = noise(3, 6).float()
    before, names = network(z), list(network.state_dict())
    network.settle()
    assert torch.equal(network(z), before)
    assert list(network.state_dict()) == names
    torch.testing.assert_close(network.double()(z.double()).float(), before, rtol=0, atol=1e-5)


def test_the_norm_in_use_is_the_batch_norm_and_its_gain():
    norm = LatentBatchNorm(4, 3).double()
    norm.norm.running_mean.copy_(noise(4))
    norm.norm.running_var.copy_(noise(4).square() + 0.1)
    norm.eval()
    features, z = noise(2, 4, 3, 3).requires_grad_(True), noise(2, 3, seed=1).requires_grad_(True)
    plain = norm.norm(features) * (1 + norm.gain(z))[:, :, None, None] + norm.bias(z)[:, :, None, None]
    assert_same(norm(features, z), plain, features, z)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("make", [lambda: nn.Conv2d(3, 5, 3), lambda: nn.Linear(6, 4)], ids=["conv", "linear"])
def test_spectral_normalisation_is_torchs_draws_names_and_gradients(make, layout):
    def built(norm):
        torch.manual_seed(3)
        layer = norm(make())
        for parameter in layer.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=layout)
        return layer.double()

    ours, plain = built(lambda layer: normed(layer, 8.0)), built(spectral_norm)
    pairs = [(ours.weight, 8.0 * plain.weight) for _ in range(3)]  # every call in training moves the vectors
    for own, expected in pairs:
        torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-6)
        (own_grad,) = gradients(own, ours.parametrizations.weight.original)
        (expected_grad,) = gradients(expected, plain.parametrizations.weight.original)
        torch.testing.assert_close(own_grad, expected_grad, rtol=1e-5, atol=1e-5)
    theirs = plain.state_dict()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.pop(name), rtol=0, atol=1e-6)
    assert not theirs
    weight = ours.eval().weight
    assert torch.equal(weight, ours.weight)  # in use the vectors stand still


def test_the_critics_pooling_is_the_mean_of_four():
    pool = next(stage for stage in Discriminator(32, 4).stages if type(stage).__name__ == "_Pooled")
    features = noise(2, 3, 4, 6).requires_grad_(True)
    assert_same(pool(features), F.avg_pool2d(features, 2), features)


def plainly_augmented(images: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Section 3.2 of 2006.10738, one operation after another."""
    brightness, saturation, contrast = (uniforms[:, i, None, None, None] for i in range(3))
    images = images + (brightness - 0.5)
    mean = images.mean(dim=1, keepdim=True)
    images = (images - mean) * (saturation * 2) + mean
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * (contrast + 0.5) + mean
    side, reach = images.shape[-1], images.shape[-1] // 8
    moved = []
    for image, (down, right) in zip(F.pad(images, (reach,) * 4), uniforms[:, 3:5], strict=True):
        top, left = int(down * (2 * reach + 1)), int(right * (2 * reach + 1))
        moved.append(image[:, top : top + side, left : left + side])
    steps, centres = torch.arange(side), (uniforms[:, 5:7] * (side + 1)).floor()
    inside = ((steps - centres[:, :, None]) >= -side // 4) & ((steps - centres[:, :, None]) < side // 4)
    return torch.stack(moved) * ~(inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]


def test_augmentation_and_its_gradient_are_those_of_the_plain_formulas():
    images = noise(6, 3, 16, 16).requires_grad_(True)
    uniforms = torch.rand(6, NUM_UNIFORMS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert_same(augmented(images, uniforms), plainly_augmented(images, uniforms), images)
