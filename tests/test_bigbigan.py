from dataclasses import replace

import pytest
import torch
from rounding import close
from safetensors.torch import save_file
from test_biggan import TINY, depth, filled

from generators.catalogue import open_generator
from generators.protocol import Generator, Latents, render_twins
from generators.published.biggan.generator import ConditionalBigGAN, load_bigbigan
from generators.published.biggan.network import BigGANNetwork
from toolkit.errors import UserError
from toolkit.streams import Stream


@pytest.fixture
def tiny_state():
    return filled(TINY)


def test_conditional_sample_does_not_depend_on_the_batch(tiny_state):
    generator = ConditionalBigGAN(BigGANNetwork(TINY, tiny_state), classes=(4, 2))
    whole = generator.sample(40, Stream(3, "z"))
    rng = Stream(3, "z")
    parts = Latents.cat([generator.sample(count, rng) for count in (7, 20, 13)])
    assert torch.equal(whole.z, parts.z)
    assert torch.equal(whole.y, parts.y)
    assert set(whole.y.tolist()) == {2, 4}
    assert isinstance(generator, Generator)
    fixed = ConditionalBigGAN(generator.network, classes=(2,))
    assert torch.equal(fixed.sample(40, Stream(3, "z")).z, whole.z)


def test_conditional_twins_share_their_class(tiny_state):
    generator = ConditionalBigGAN(BigGANNetwork(TINY, tiny_state))
    latents = generator.sample(3, Stream(0, "z"))
    before, after = render_twins(generator, latents, torch.zeros(12))
    close(before, after, depth=depth(TINY))
    other = generator(Latents(latents.z, (latents.y + 1) % 5))
    assert (before - other).abs().mean() > 0.01


def test_conditional_refuses_unknown_and_absent_classes(tiny_state):
    network = BigGANNetwork(TINY, tiny_state)
    with pytest.raises(UserError, match=r"class 5 is unknown; this generator has classes 0 to 4"):
        ConditionalBigGAN(network, classes=(0, 5))
    with pytest.raises(UserError, match="have no classes, but biggan32 needs one a latent"):
        ConditionalBigGAN(network)(Latents(torch.zeros(1, 12)))


def test_loader_reads_both_formats_with_and_without_sv0(tiny_state, tmp_path):
    without = {name: tensor for name, tensor in tiny_state.items() if not name.endswith(".sv0")}
    assert len(tiny_state) - len(without) == 27
    torch.save(tiny_state, tmp_path / "whole.pth")
    torch.save(without, tmp_path / "without.pth")
    save_file(without, tmp_path / "without.safetensors")
    latents = Latents(torch.randn(2, 12))
    expected = BigGANNetwork(TINY, tiny_state)(latents.z, torch.zeros(2, dtype=torch.long))
    for name in ("whole.pth", "without.pth", "without.safetensors"):
        generator = load_bigbigan(tmp_path / name)
        assert (generator.latent_dim, generator.image_size) == (12, 32)
        close(generator(latents), expected, depth=depth(TINY))
    conditional = open_generator(f"{tmp_path / 'whole.pth'}@classes=3")
    assert conditional.classes == (3,)
    assert conditional.network.shape == replace(TINY, bn_eps=1e-5, sn_eps=1e-6)


def without(name):
    return lambda state: state.pop(name)


def with_entry(name, tensor):
    return lambda state: state.update({name: tensor})


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (without("blocks.1.0.conv1.u0"), r"missing: blocks\.1\.0\.conv1\.u0; check that it is the right file"),
        (without("shared.weight"), r"missing: shared\.weight; check"),
        (without("linear.weight"), r"missing: linear\.weight; check"),
        (with_entry("encoder.weight", torch.zeros(2)), r"unknown: encoder\.weight; check"),
        (
            with_entry("blocks.0.0.bn1.gain.weight", torch.zeros(16, 148)),
            r"blocks\.0\.0\.bn1\.gain\.weight is \[16, 148\], expected \[16, 9\]; check",
        ),
        (with_entry("output_layer.2.bias", torch.tensor([0.0, float("nan"), 0.0])), r"NaN .* output_layer\.2\.bias"),
        (
            with_entry("blocks.9.0.conv1.weight", torch.zeros(2)),
            r"does not fit .*: unknown: blocks\.9\.0\.conv1\.weight;",
        ),
        (dict.clear, r"missing: .* and 121 more; check"),
    ],
)
def test_loader_names_what_is_wrong(damage, text, tiny_state, tmp_path):
    damage(tiny_state)
    path = tmp_path / "state.pth"
    torch.save(tiny_state, path)
    with pytest.raises(UserError, match=text):
        load_bigbigan(path)


def test_loader_refuses_damaged_and_foreign_files(tiny_state, tmp_path):
    path = tmp_path / "BigBiGAN_x1.pth"
    with pytest.raises(UserError, match=r"BigBiGAN_x1\.pth"):
        load_bigbigan(path)
    torch.save(tiny_state, path)
    whole = path.read_bytes()
    page = b"<!DOCTYPE html><html><body>Quota exceeded</body></html>"
    for content, said in (
        (whole[: len(whole) // 2], r"cannot read .*BigBiGAN_x1\.pth as BigBiGAN weights: it is damaged"),
        (page, r"BigBiGAN_x1\.pth is a web page, not BigBiGAN weights"),
        (b"", r"BigBiGAN_x1\.pth is an empty file, not BigBiGAN weights"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=said):
            load_bigbigan(path)
    cut = tmp_path / "cut.safetensors"
    save_file(tiny_state, cut)
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"cut\.safetensors is not a whole safetensors file"):
        load_bigbigan(cut)
