import pytest
import torch
from golden_fill_generators import filled, layout, sngan_value
from test_biggan import TINY as BIGGAN
from test_sngan import TINY_32 as SNGAN
from test_sngan import Z

from generators.catalogue import open_generator
from generators.layouts import Weights, open_published
from generators.protocol import Latents
from generators.published import sngan
from generators.published.biggan import network as biggan
from generators.published.biggan.generator import BigBiGAN, ConditionalBigGAN
from generators.spec import Options
from toolkit.errors import UserError

WHAT = {
    "sngan_mnist": "an SNGAN of 32 px",
    "sngan_anime": "an SNGAN of 64 px",
    "proggan_1024": "a ProgGAN",
    "stylegan2_256": "a StyleGAN2",
    "stylegan2_1024": "a StyleGAN2",
    "biggan128": "a BigGAN or BigBiGAN",
    "biggan256": "a BigGAN or BigBiGAN",
    "biggan512": "a BigGAN or BigBiGAN",
}
FILES = {"biggan128": "bigbigan_x1"}
every_layout = pytest.mark.parametrize("name", WHAT)


def published(name):
    """The entries of a published file, without any numbers."""
    return {key: torch.empty(size, device="meta") for key, size in layout(FILES.get(name, name)).items()}


def told(state, path):
    """What the user is told about a file."""
    with pytest.raises(UserError) as caught:
        open_published(Weights(state, path), Options({}, "file.pt"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_layout
def test_one_missing_entry_is_named_together_with_the_layout(name, tmp_path):
    state = published(name)
    needed = next(key for key in reversed(state) if key.endswith((".bias", ".b", "noise_3")))
    del state[needed]
    assert f"resembles {WHAT[name]}" in told(state, tmp_path)
    assert f"% of the entries: missing: {needed}; check that it is the right file" in told(state, tmp_path)


@every_layout
def test_one_entry_of_another_shape_is_named_together_with_the_layout(name, tmp_path):
    state = published(name)
    wrong = next(
        key
        for key in state
        if key.endswith(("1.0.conv1.weight", "2.conv1.weight", "conv1.conv.weight", "s.3.conv.weight"))
    )
    expected = list(state[wrong].shape)
    state[wrong] = torch.empty(3, 5, device="meta")
    assert f"resembles {WHAT[name]}" in told(state, tmp_path)
    assert f"{wrong} is [3, 5], expected {expected}; check" in told(state, tmp_path)


@every_layout
def test_one_unknown_entry_is_named_together_with_the_layout(name, tmp_path):
    state = published(name) | {"module.step": torch.empty((), device="meta")}
    assert f"resembles {WHAT[name]}" in told(state, tmp_path)
    assert "unknown: module.step; check" in told(state, tmp_path)


@every_layout
@pytest.mark.parametrize("prefix", ["generator.", "netG.module."])
def test_a_prefix_of_other_programs_is_named(name, prefix, tmp_path):
    message = told({prefix + key: value for key, value in published(name).items()}, tmp_path)
    shared = prefix + "model." if name.startswith("sngan") else prefix
    assert f"holds {WHAT[name]}" in message
    assert f"every name in it begins with {shared}; take this prefix off the names and save it again" in message


def test_names_are_told_as_they_are_in_the_file(tmp_path):
    state = {f"module.{key}": value for key, value in published("biggan128").items()}
    del state["module.linear.bias"]
    assert "99% of the entries: missing: module.linear.bias; check" in told(state, tmp_path)


@pytest.mark.parametrize("state", [{}, {"fc.weight": torch.zeros(2, 2)}])
def test_files_like_no_layout_are_told_which_there_are(state, tmp_path):
    message = told(state, tmp_path)
    assert "has no layout of a known generator" in message
    assert all(what in message for what in WHAT.values())


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    state = filled(sngan.published_shapes(SNGAN), sngan_value)
    state["0.bias"][0] = torch.nan
    assert "holds NaN or infinite numbers in 0.bias" in told(state, tmp_path)


def test_a_mere_copy_of_a_name_behind_a_prefix_is_no_adapter(tmp_path):
    state = filled(sngan.published_shapes(SNGAN), sngan_value)
    assert "unknown: model.0.bias" in told({**state, "model.0.bias": state["0.bias"]}, tmp_path)


@pytest.fixture
def saved_biggan(tmp_path):
    """Save a tiny conditional BigGAN under given names, and return its path."""
    state = filled(biggan.published_shapes(BIGGAN))

    def save(prefix="", **more):
        path = tmp_path / "G_ema.pth"
        torch.save({prefix + name: value for name, value in state.items()} | more, path)
        return path

    return save


def test_the_prefix_of_an_adapter_makes_no_difference(saved_biggan):
    latents = Latents(torch.ones(1, 12), torch.tensor([3]))
    plain = open_generator(str(saved_biggan()))
    assert isinstance(plain, ConditionalBigGAN)
    assert torch.equal(open_generator(str(saved_biggan("big_gan.")))(latents), plain(latents))


@pytest.mark.parametrize(("kept", "drawn"), [(torch.tensor(2), (2,)), (torch.tensor([4, 1]), (4, 1))])
def test_classes_of_an_adapter_are_drawn_unless_others_are_named(kept, drawn, saved_biggan):
    path = saved_biggan("big_gan.", target_classes=kept)
    assert open_generator(str(path)).classes == drawn
    assert open_generator(f"{path}@classes=0,3").classes == (0, 3)


def test_equal_classes_make_a_bigbigan(tmp_path):
    state = filled(biggan.published_shapes(BIGGAN))
    state["shared.weight"] = state["shared.weight"][:1].repeat(5, 1)
    assert isinstance(open_published(Weights(state, tmp_path), Options({}, "file")), BigBiGAN)


def test_an_sngan_has_no_classes_to_choose(tmp_path):
    torch.save(filled(sngan.published_shapes(SNGAN), sngan_value), tmp_path / "generator.pt")
    assert open_generator(str(tmp_path))(Latents(Z)).shape == (2, 3, 32, 32)
    with pytest.raises(UserError, match="has no option 'classes'; it has none"):
        open_generator(f"{tmp_path}@classes=1")


def test_a_folder_without_a_generator_is_told_which_files_it_may_hold(tmp_path):
    with pytest.raises(UserError, match=r"holds none of generator\.safetensors, .*bin; name the run folder"):
        open_generator(str(tmp_path))


@pytest.mark.parametrize("name", ["stylegan3-r-ffhq-1024x1024.pkl", "ffhq.PKL"])
def test_calls_in_a_pickle_are_named_and_not_made(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"cos\nmkdir\n(Vran\ntR.")
    with pytest.raises(
        UserError, match=r"is a pickle of os\.mkdir, not of a table with a generator's G_ema; check that"
    ):
        open_generator(str(tmp_path / name))
    assert not (tmp_path / "ran").exists()


def test_a_network_of_another_class_is_named(tmp_path):
    weights = Weights(published("sngan_mnist"), tmp_path / "g.pkl", {"class_name": "TriPlaneGenerator"})
    del weights.tensors["model.0.bias"]
    with pytest.raises(
        UserError, match=r"% of the entries, of a class TriPlaneGenerator: missing: model\.0\.bias; check"
    ):
        open_published(weights, Options({}, "g.pkl"))
