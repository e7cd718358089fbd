"""Every official table of keys is recognised as itself and as nothing else, and a wrong entry is named."""

import json

import pytest
import torch
from conftest import GOLDEN

from generators.layouts import FAMILIES, Layout, Weights, _compared, open_published
from generators.spec import Options
from toolkit.errors import UserError

LAYOUTS = {
    "bigbigan_x1": "a BigGAN or BigBiGAN (BigGAN-PyTorch layout)",
    "biggan256": "a BigGAN or BigBiGAN (BigGAN-PyTorch layout)",
    "biggan512": "a BigGAN or BigBiGAN (BigGAN-PyTorch layout)",
    "proggan_1024": "a ProgGAN (GANLatentDiscovery layout)",
    "sngan_anime": "an SNGAN of 64 px (GANLatentDiscovery layout)",
    "sngan_mnist": "an SNGAN of 32 px (GANLatentDiscovery layout)",
    "stylegan2_256": "a StyleGAN2 (rosinality layout)",
    "stylegan2_1024": "a StyleGAN2 (rosinality layout)",
    **{f"modern/tables/biggan_deep_{side}": "a BigGAN-deep (Hugging Face's layout)" for side in (128, 256, 512)},
    **{f"modern/tables/genforce_pggan_{side}": "a ProgGAN (genforce layout)" for side in (256, 1024)},
    **{f"modern/tables/genforce_stylegan_{side}": "a StyleGAN (genforce layout)" for side in (256, 1024)},
    **{f"modern/tables/genforce_stylegan2_{side}": "a StyleGAN2 (genforce layout)" for side in (256, 1024)},
    **{f"modern/tables/mimicry_sngan_{side}": "an SNGAN (torch-mimicry layout)" for side in (32, 48, 64, 128)},
    **{f"modern/tables/selfcond_resnet2_128_{kind}": "a self-conditioned GAN (resnet2)" for kind in ("k100", "uncond")},
    "modern/tables/studiogan_biggan_128": "a BigGAN or SNGAN (StudioGAN layout)",
    "modern/tables/studiogan_biggan_cifar10_32": "a BigGAN or SNGAN (StudioGAN layout)",
    "modern/tables/studiogan_sngan_32": "a BigGAN or SNGAN (StudioGAN layout)",
    **{
        f"modern/tables/stylegan2ada_{kind}": "a StyleGAN2-ADA"
        for kind in ("auto256", "cifar10_cond", "paper256", "paper512", "paper1024", "stylegan2_256")
    },
    **{
        f"modern/tables/stylegan3{kind}_{size}": f"a StyleGAN3-{kind.upper()}"
        for kind in "tr"
        for size in ("256_cbase16384", "512", "1024")
    },
}
MOST_ALIKE = 0.5  # of the entries that a layout of another family may share
every_table = pytest.mark.parametrize("name", LAYOUTS)


def table(name):
    sizes = json.loads((GOLDEN / f"{name}_state_dict.json").read_text())
    return {key.removeprefix("model."): tuple(size) for key, size in sizes.items()}  # an adapter's prefix of all names


def without_memory(sizes):
    return {key: torch.empty(size, device="meta") for key, size in sizes.items()}


def layouts() -> dict[str, tuple[str, Layout]]:
    return {layout.what: (family, layout) for family in FAMILIES.own for layout in FAMILIES[family].layouts}


def test_every_table_of_a_generator_is_among_them():
    tables = {
        path.relative_to(GOLDEN).as_posix().removesuffix("_state_dict.json")
        for path in GOLDEN.rglob("*_state_dict.json")
        if not path.name.startswith(("unet", "lenet", "resnet18"))
    }
    assert tables == set(LAYOUTS)
    assert set(LAYOUTS.values()) == set(layouts())


@every_table
def test_is_itself_and_nothing_else(name):
    state = without_memory(table(name))
    own = layouts()[LAYOUTS[name]][0]
    for what, (family, layout) in layouts().items():
        compared = _compared(family, layout, "", state)
        if what == LAYOUTS[name]:
            assert (compared.likeness, compared.difference) == (1.0, ""), what
        else:
            assert compared.likeness < (1.0 if family == own else MOST_ALIKE), what
            assert compared.difference or compared.likeness == 0.0, what


def refused(state, path):
    with pytest.raises(UserError) as caught:
        open_published(Weights(state, path), Options({}, "file.pth"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_table
@pytest.mark.parametrize("where", [0, 3, -1])
def test_one_wrong_entry_is_named(name, where, tmp_path):
    sizes, path = table(name), tmp_path / "g.pth"
    what = LAYOUTS[name]
    required = [key for key in sizes if not layouts()[what][1].optional(key)]
    key = required[where * len(required) // 7]
    missing = refused(without_memory({other: size for other, size in sizes.items() if other != key}), path)
    assert what in missing
    assert f"missing: {key};" in missing
    surplus = refused(without_memory({**sizes, f"{key}.more": (3,)}), path)
    assert what in surplus
    assert f"{key}.more" in surplus
    misshapen = refused(without_memory({**sizes, key: (*sizes[key], 7)}), path)
    assert what in misshapen
    assert f"{key} is [" in misshapen
