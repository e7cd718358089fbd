"""Which layout a file has: its one wrong entry is named whatever sizes rest on it, and other files are told apart."""

from pathlib import Path

import pytest
import torch
from cli_runs import refused as refused_by_command
from golden_fill_generators import layout
from golden_modern import table

from generators import layouts
from generators.catalogue import open_generator
from generators.layouts import FAMILIES, Weights, fits, open_published, recognised
from generators.recognition import unopened
from generators.spec import Options
from toolkit.errors import UserError

# Entries that a layout infers sizes from, with shapes that another network's would have, and too many entries.
MISSHAPEN = [
    ("stylegan2ada_auto256", "synthesis.b4.const", (512, 4, 5)),
    ("stylegan2ada_auto256", "mapping.fc0.weight", (3, 5, 1)),
    ("stylegan2ada_cifar10_cond", "mapping.embed.weight", (3, 5, 1)),
    ("stylegan2ada_cifar10_cond", "mapping.fc0.weight", (3, 5, 1)),
    ("stylegan3r_512", "synthesis.L12_532_128.down_filter", (3, 5)),
    ("genforce_stylegan2_256", "synthesis.early_layer.const", (1, 512, 4, 5)),
    ("genforce_pggan_256", "layer0.weight", (3, 5)),
    ("mimicry_sngan_48", "l1.weight", (3, 5, 1)),
    ("selfcond_resnet2_128_k100", "get_latent.embedding.weight", (3, 5, 1)),
    ("selfcond_resnet2_128_uncond", "fc.bias", (3, 5)),
    ("selfcond_resnet2_128_uncond", "resnet_0_0.conv_0.weight", (3, 5)),
    ("biggan_deep_128", "embeddings.weight", (3, 5, 1)),
    ("studiogan_biggan_cifar10_32", "linear0.weight_orig", (6144, 21)),
    ("studiogan_biggan_cifar10_32", "blocks.0.0.conv2d1.weight_orig", (3, 5)),
    ("studiogan_sngan_32", "linear0.weight", (3, 5, 1)),
    ("biggan256", "shared.weight", (1000, 129)),
    ("sngan_mnist", "model.2.model.0.weight", (257,)),
    ("sngan_mnist", "model.7.bias", (2,)),
    ("sngan_anime", "model.8.weight", (4, 64, 3, 3)),
]
SURPLUS = [
    ("mimicry_sngan_48", "block9.c_sc.bias"),
    ("studiogan_sngan_32", "blocks.9.0.bn1.running_mean"),
    ("stylegan2ada_auto256", "synthesis.b2048.conv1.weight"),
    ("genforce_stylegan_256", "synthesis.layer17.weight"),
    ("genforce_pggan_256", "layer15.bias"),
    ("biggan256", "blocks.8.0.conv1.bias"),
    ("biggan_deep_128", "generator.layers.14.bn_0.running_means"),
    ("proggan_1024", "features.19.wscale.b"),
]


def entries(name):
    """The entries of a whole file, without any numbers."""
    old = name.startswith(("biggan256", "sngan", "proggan"))
    return meta(layout(name) if old else table(name))


def meta(shapes):
    return {key: torch.empty(size, device="meta") for key, size in shapes.items()}


def told(state):
    """What the user is told about a file."""
    with pytest.raises(UserError) as caught:
        open_published(Weights(state, Path("file.pt")), Options({}, "file.pt"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("name", "entry", "size"), MISSHAPEN)
def test_an_entry_of_another_shape_is_the_only_one_named(name, entry, size):
    state = entries(name)
    message = told(state | meta({entry: size}))
    assert f"entries: {entry} is {list(size)}, expected " in message
    assert " is " not in message.split(f"{entry} is ")[1].removesuffix("check that it is the right file")
    assert message.split("expected ")[1].count("[") == 1


@pytest.mark.parametrize(("name", "entry"), SURPLUS)
def test_an_entry_of_a_larger_network_is_the_only_one_named(name, entry):
    assert f"entries: unknown: {entry}; check" in told(entries(name) | meta({entry: (3,)}))


@pytest.mark.parametrize("name", ["biggan_deep_512", "stylegan2ada_paper1024", "genforce_pggan_256"])
def test_every_layout_looks_once_at_names_without_prefix(name, monkeypatch):
    state, seen = entries(name), []

    def counted(family, shapes):
        seen.append(family)
        return shapes()

    monkeypatch.setattr(FAMILIES, "attempt", counted)
    assert fits(state)
    assert len(seen) == sum(len(FAMILIES[family].layouts) for family in FAMILIES.own)


OTHERS = {
    "lernapparat's layout, which GANSpace uses": [
        "g_mapping.dense0.weight",
        "g_mapping.dense7.bias",
        "g_synthesis.blocks.4x4.const",
        "g_synthesis.blocks.8x8.conv0_up.weight",
        "g_synthesis.blocks.8x8.epi1.style_mod.lin.weight",
        "g_synthesis.torgb.weight",
    ],
    "an encoder with its StyleGAN2 beside it": [
        "encoder.input_layer.0.weight",
        "encoder.body.0.res_layer.0.weight",
        "decoder.convs.0.conv.weight",
        "decoder.input.input",
    ],
    "an EG3D": ["backbone.synthesis.b4.const", "backbone.mapping.fc0.weight", "decoder.net.0.weight"],
    "a StyleGAN-XL": ["mapping.embed_proj.weight", "mapping.fc0.weight", "synthesis.input.transform"],
    "another backbone than big_resnet and resnet": [
        "linear0.weight",
        "blocks.0.0.bn1.gain.weight",
        "blocks.0.0.conv2d1.weight",
        "blocks.0.0.conv2d4.weight",
    ],
    "a discriminator (StyleGAN2-ADA or StyleGAN3)": ["b64.fromrgb.weight", "b64.conv0.weight", "b4.out.weight"],
    "a discriminator (rosinality's StyleGAN2)": ["convs.0.0.weight", "convs.1.conv1.0.weight", "final_linear.0.weight"],
    "a discriminator (genforce)": ["input0.weight", "layer0.weight", "layer1.bias", "input5.bias"],
    "a discriminator (torch-mimicry)": ["block1.c1.weight", "block2.c1.weight", "l5.weight"],
    "a discriminator (PyTorch-StudioGAN)": ["linear1.weight_orig", "blocks.0.0.conv2d1.weight_orig"],
    "a discriminator (BigGAN-PyTorch)": ["linear.weight", "embed.weight", "blocks.0.0.conv1.weight"],
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_files_are_told_what_they_are_and_what_to_do(what):
    message = told(meta(dict.fromkeys(OTHERS[what], (2, 3))))
    assert what in message
    assert ", which is not opened here; " in message
    assert len(message) < 300


def test_every_entry_of_the_table_is_tried():
    seen = [unopened.unopened(meta(dict.fromkeys(names, (2, 3)))) for names in OTHERS.values()]
    assert [entry.what for entry in seen] == [entry.what for entry in unopened._TABLE[:-1]]


def test_a_discriminator_with_the_names_of_a_generator_is_told_by_its_colours():
    state = entries("selfcond_resnet2_128_uncond") | meta({"conv_img.weight": (64, 3, 3, 3), "fc.weight": (1, 16384)})
    state |= meta({key: (7, *tensor.shape[1:]) for key, tensor in state.items() if key.startswith("resnet_")})
    assert "a discriminator (self-conditioned GANs)" in told(state)


def test_no_generator_of_ours_is_taken_for_another():
    for name in {name for name, *_ in (*MISSHAPEN, *SURPLUS)}:
        assert unopened.unopened(entries(name)) is None


def test_an_optimiser_alone_is_named(tmp_path):
    path, adam = tmp_path / "optimizer.pth", torch.optim.Adam([torch.nn.Parameter(torch.ones(2))])
    for held in (adam.state_dict(), {"optimizer_state_dict": adam.state_dict(), "global_step": 3}):
        torch.save(held, path)
        with pytest.raises(UserError, match=r"holds the state of an optimiser alone, not generator weights; save"):
            open_generator(str(path))


def test_a_command_says_it_in_one_line(tmp_path):
    torch.save({name: torch.ones(2, 3) for name in OTHERS["a discriminator (genforce)"]}, tmp_path / "d.pth")
    assert "is a discriminator (genforce), which is not opened here" in refused_by_command(
        "sample", "--generator", tmp_path / "d.pth", "--out", tmp_path / "out.png"
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("stylegan2ada_auto256", "a StyleGAN2-ADA"),
        ("stylegan3t_512", "a StyleGAN3-T"),
        ("stylegan3r_512", "a StyleGAN3-R"),
    ],
)
def test_networks_of_one_class_name_are_distinguished_by_their_entries(name, what, monkeypatch):
    monkeypatch.setattr(layouts, "require_weights", lambda state, path: None)  # there are no numbers
    config = {"class_name": "Generator", "version": 6, "init_kwargs": {}}
    assert recognised(Weights(entries(name), Path("g.pkl"), config))[0] == what


@pytest.mark.parametrize("name", ["biggan_deep_128", "stylegan2ada_auto256", "mimicry_sngan_32"])
def test_no_entry_that_is_missing_is_made_up(name):
    """Some originals load with strict=False, and draw missing entries at random."""
    state = entries(name)
    for entry in list(state)[:: len(state) // 5]:
        if "num_batches" not in entry and not entry.endswith("weight_v"):
            assert f"missing: {entry};" in told({key: value for key, value in state.items() if key != entry})


def test_a_layout_without_sizes_is_asked_no_more(monkeypatch):
    """A state like none at all is refused at once, not compared without each of its entries."""
    calls = []
    attempt = FAMILIES.attempt
    monkeypatch.setattr(FAMILIES, "attempt", lambda family, shapes: (calls.append(family), attempt(family, shapes))[1])
    assert "has no layout of a known generator" in told(meta({f"layers.{i}.gamma": (3,) for i in range(500)}))
    assert len(calls) <= 3 * sum(len(FAMILIES[family].layouts) for family in FAMILIES)
