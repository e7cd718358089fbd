"""Generators that this project did not make: from code, from files with a card, and from installed packages."""

import inspect
import json
import logging
import re
import shlex
import shutil
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_runs import DISCOVER, ran, refused
from own_package.discs import Discs, make
from PIL import Image
from rounding import close
from torch import nn

from generators.catalogue import open_generator, weights_file
from generators.own.checking import checked
from generators.own.trust import TYPED
from generators.own.wrapper import InspectableOwnGenerator, OwnGenerator
from generators.protocol import Generator, Inspectable, Latents
from generators.recorded import generator_inputs
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.writing import sha256_of
from toolkit.streams import Stream

_TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
EXPORTS = pytest.mark.skipif(_TORCH < (2, 7), reason="torch 2.6 cannot export this network with a free batch size")
PAGE = Path(__file__).parent.parent / "docs" / "own-generators.md"
CODE = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
SHELL = "\n".join(re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
TINY = {"discover": (*DISCOVER, "--steps", "2")}


class Workplace:
    """A folder of a user's, whose modules are forgotten afterwards."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.path, self._patch = path, patch
        patch.setattr(sys, "path", list(sys.path))
        self.enter(path)

    def enter(self, path: Path) -> None:
        self._patch.chdir(path)

    def forget(self) -> None:
        for name, module in list(sys.modules.items()):
            if self.path in Path(getattr(module, "__file__", None) or "/").parents:
                del sys.modules[name]
        sys.path[:] = [entry for entry in sys.path if entry != str(self.path)]

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8")


@pytest.fixture
def workplace(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        place = Workplace(tmp_path, patch)
        yield place
        place.forget()


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The whole chain on someone else's generator, run in the folder that holds its package."""
    folder = tmp_path_factory.mktemp("chain")
    shutil.copytree(Path(__file__).parent / "own_package", folder / "disc_models")
    with pytest.MonkeyPatch.context() as patch:
        place = Workplace(folder, patch)
        spec = "disc_models.discs:make@seed=3@named=my discs"
        ran("discover", "--generator", spec, "--out", "found", *DISCOVER)
        ran("pick", "found", "--samples", "8", "--num-alphas", "1", "--finalists", "2", "--compared-samples", "8")
        ran("render-gif", "found", "--out", "walk.gif", "--frames", "3", "--samples", "2")
        ran("segment", "found", "--out", "segmenter", "--steps", "2", "--batch", "4", "--width", "4",
            "--validation-samples", "4", "--precision", "fp32")  # fmt: skip
        ran("sample", "--generator", spec, "--samples", "1", "--size", "32", "--out", "photo.png")
        ran("predict", "photo.png", "--segmenter", "segmenter", "--out", "masks")
        place.forget()
    return folder


def test_a_foreign_generator_runs_the_whole_chain(chain):
    assert DirectionSet.load(chain / "found").choice is not None
    with Image.open(chain / "walk.gif") as picture:
        assert picture.n_frames == 4
    assert json.loads((chain / "segmenter" / "result.json").read_text())["steps"] == 2
    with Image.open(chain / "masks" / "photo_mask.png") as mask:
        assert mask.size == (32, 32)


def test_wrapping_it_takes_at_most_fifteen_lines():
    assert len(inspect.getsource(make).splitlines()) <= 15


def test_runs_record_the_options_and_the_source(chain):
    digest = sha256_of(chain / "disc_models" / "discs.py")[:16]
    wanted = {"generator": "disc_models.discs:make@seed=3@named=my discs", "generator_digest": digest}
    found = DirectionSet.load(chain / "found")
    assert found.generator == "my discs"
    assert found.card["source"] == wanted
    inputs = json.loads((chain / "segmenter" / "run.json").read_text())["inputs"]
    assert inputs.items() >= wanted.items()


def test_another_folder_is_told_that_the_module_is_not_there(chain, workplace):
    message = refused("render-gif", chain / "found", "--out", workplace.path / "w.gif")
    assert "no module disc_models.discs" in message
    assert "run the command in the folder that holds it" in message
    assert not (workplace.path / "w.gif").exists()


def saved_on_a_gpu(source: str, target: str) -> None:
    """Copy what torch.save wrote, with all tensors marked as those of a GPU."""
    with zipfile.ZipFile(source) as read, zipfile.ZipFile(target, "w") as write:
        for name in read.namelist():
            content = read.read(name)
            if name.endswith("data.pkl"):
                cpu, gpu = (b"X" + len(text).to_bytes(4, "little") + text for text in (b"cpu", b"cuda:0"))
                assert cpu in content
                content = content.replace(cpu, gpu)
            write.writestr(name, content)


@pytest.mark.parametrize("number", [0, 1], ids=["unconditional", "conditional"])
def test_the_examples_of_the_page_run(workplace, number):
    module, network, weights = (("my_models", "Painter", "painter"), ("my_digits", "Digits", "digits"))[number]
    code, names = CODE[2 * number], {}
    workplace.write(f"{module}.py", code)
    exec(code, names)
    torch.save(names[network](*([32] if number == 0 else [])).state_dict(), "here.pt")
    saved_on_a_gpu("here.pt", f"{weights}.pt")
    lines = [shlex.split(line) for line in SHELL.splitlines() if module in line]
    assert {line[1] for line in lines} == {"sample", "discover"}
    for line in lines:
        ran(*line[1:], *TINY.get(line[1], ()))


def test_the_page_takes_weights_out_of_a_checkpoint(workplace):
    names: dict = {}
    exec(CODE[0], names)
    saved, network = names["Painter"](4), names["Painter"](4)
    state = {f"module._orig_mod.{name}": tensor for name, tensor in saved.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, "last.pt")
    saved_on_a_gpu("last.pt", "painter.pt")
    exec(CODE[1], {"torch": torch, "network": network, "weights": "painter.pt"})
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in saved.state_dict().items())


def test_the_card_of_the_page_opens_the_program_of_the_page(workplace):
    card = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    names: dict = {}
    exec(CODE[2], names)
    torch.manual_seed(0)
    values = {"torch": torch, "network": names["Digits"](), "z": torch.zeros(2, 64), "y": torch.tensor([0, 1])}
    exec(CODE[3], values)
    workplace.write("model.json", card)
    opened = open_generator("model.pt2@classes=3,7", trust=TYPED)
    assert set(opened.sample(50, Stream(0, "x")).y.tolist()) == {3, 7}


class Net(nn.Module):
    """z (B, 4) -> (B, 3, 8, 8), with what tests like to break."""

    def __init__(self, classes: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.fc = nn.Linear(4, 3 * 64)
        self.fc.weight = nn.Parameter(torch.randn(192, 4, generator=generator))
        self.fc.bias = nn.Parameter(torch.zeros(192))
        self.norm = nn.BatchNorm1d(192)
        self.shades = nn.Embedding(5, 1) if classes else None

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        features = self.norm(self.fc(z))
        if self.shades is not None and y is not None:
            features = features + self.shades(y)
        return torch.tanh(features).unflatten(1, (3, 8, 8))


def own(network=None, **changes) -> OwnGenerator:
    return OwnGenerator(network or Net(), **{"latent_dim": 4, "image_size": 8, **changes})


def test_an_own_generator_keeps_the_protocol():
    generator = own(name="mine")
    assert isinstance(generator, Generator)
    images = generator(generator.sample(3, Stream(0, "x")))
    assert images.shape == (3, 3, 8, 8)
    assert not generator.network.training
    assert not any(weight.requires_grad for weight in generator.network.parameters())


@pytest.mark.parametrize("latents", ["normal", "uniform"])
def test_samples_do_not_depend_on_the_batch_size(latents):
    generator = own(Net(classes=True), num_classes=5, latents=latents)
    whole, rng = generator.sample(7, Stream(1, "x")), Stream(1, "x")
    parts = Latents.cat([generator.sample(3, rng), generator.sample(4, rng)])
    assert torch.equal(whole.z, parts.z)
    assert torch.equal(whole.y, parts.y)


def test_uniform_latents_fill_their_range():
    z = own(latents="uniform").sample(2000, Stream(0, "x")).z
    assert z.abs().max() < 1
    assert torch.allclose(z.mean(dim=0), torch.zeros(4), atol=0.05)
    assert torch.allclose(z.var(dim=0), torch.full((4,), 1 / 3), atol=0.03)
    cut = own(latents="uniform").sample(2000, Stream(0, "x"), truncation=0.5).z
    assert 0.49 < cut.abs().max() < 0.5
    with pytest.raises(UserError, match="truncation is 0"):
        own(latents="uniform").sample(1, Stream(0, "x"), truncation=0)


def test_samples_are_drawn_from_the_classes_named():
    generator = own(Net(classes=True), num_classes=5, classes=(1, 4))
    assert set(generator.sample(60, Stream(0, "x")).y.tolist()) == {1, 4}
    with pytest.raises(UserError, match="have no classes"):
        generator(Latents(torch.zeros(1, 4)))


def test_values_are_mapped_and_grey_is_repeated():
    grey = own(lambda z: (z[:, :1, None, None] * 0 + 255).expand(-1, 1, 8, 8), value_range=(0, 255))
    assert torch.equal(grey(Latents(torch.ones(2, 4))), torch.ones(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latent_dim": "4"}, "latent_dim of an own generator is '4'"),
        ({"image_size": 0}, "image_size of an own generator is 0"),
        ({"num_classes": 2.5}, "num_classes of an own generator is 2.5"),
        ({"value_range": (1, 0)}, "two rising numbers"),
        ({"latents": "gauss"}, "one of normal, uniform"),
        ({"classes": (5,), "num_classes": 5}, "from 0 to 4"),
        ({"classes": (1,)}, "empty without num_classes"),
        ({"name": ""}, "a text that is not empty"),
        ({"feature_layer": "fc"}, "given with first_layers"),
        ({"first_layers": ("nowhere",)}, "one of fc, norm"),
        ({"first_layers": ("norm",)}, "does not take latents of 4 numbers"),
    ],
)
def test_values_that_cannot_be(changes, said):
    with pytest.raises(UserError, match=re.escape(said)):
        own(**changes)


def test_first_layers_make_it_inspectable():
    generator = own(first_layers=("fc",))
    assert isinstance(generator, Inspectable)
    assert generator.feature_layer == "fc"
    assert torch.allclose(generator.first_weights()[0], generator.network.fc.weight, atol=1e-6)
    assert not isinstance(own(), Inspectable)


@pytest.mark.parametrize("layer", [nn.ConvTranspose2d(4, 6, 3), nn.Conv2d(4, 6, 3, padding=1)])
def test_a_first_convolution_is_a_matrix_too(layer):
    network = nn.Sequential(layer, nn.Flatten())
    z = torch.randn(2, 4)
    matrix = own(network, first_layers=("0",)).first_weights()[0]
    offset = network(torch.zeros(1, 4, 1, 1))
    close(z @ matrix.T + offset, network(z[:, :, None, None]), depth=2)


def test_a_first_layer_has_to_be_linear():
    with pytest.raises(UserError, match="first layer 0 is not linear"):
        own(nn.Sequential(nn.Tanh(), nn.Linear(4, 2)), first_layers=("0",))


FACTORIES = """
from pathlib import Path
from typing import Optional
from own_package.discs import make

def typed(side: int, scale: float = 1.0, dark: bool = False, seed: Optional[int] = None, tag="t", plain=1):
    assert [type(v) for v in (side, scale, dark, tag, plain)] == [int, float, bool, str, int]
    return make(side, seed or 0, f"{side} {scale} {dark} {seed} {tag} {plain}")

def late(side: "int", where: "Nowhere" = None):
    return make(side)

def broken():
    raise KeyError("the weights are gone")

def network():
    return make().network

class NotOne:
    name = "x"

ready = make()
"""


def test_options_become_what_the_annotations_say(workplace):
    workplace.write("made.py", FACTORIES)
    opened = open_generator("made:typed@side=24@scale=2@dark=yes@seed=5@tag=7@plain=3", trust=TYPED)
    assert opened.name == "24 2.0 True 5 7 3"
    assert open_generator("made:late@side=20", trust=TYPED).image_size == 20


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("made:typed", "made:typed needs side; give it as made:typed@side=VALUE"),
        ("made:typed@side=x", "side of made:typed is 'x', but has to be int"),
        ("made:typed@side=32@dark=maybe", "dark of made:typed is 'maybe', but has to be bool"),
        ("made:typed@sides=3", "made:typed has no option 'sides'; it has side, scale, dark, seed, tag, plain"),
        ("made:network@x=1", "made:network has no option 'x'; it has none"),
        (
            "made:absent",
            "made has no 'absent'; it has Path, Optional, make, typed, late, broken, network, NotOne",
        ),
        ("made:ready", "made:ready is no factory but an object (InspectableOwnGenerator)"),
        ("made:network", "made:network returned a torch module (Discs); wrap it"),
        ("made:NotOne", "made:NotOne returned NotOne without latent_dim (int), image_size (int), sample()"),
        ("absent:make", "there is no module absent"),
        ("generators.absent:make", "there is no module generators.absent"),
        ("bad_import:make", "importing bad_import failed with ModuleNotFoundError: No module named 'not_there'"),
        ("bad_syntax:make", "importing bad_syntax failed with SyntaxError"),
    ],
)
def test_a_factory_that_cannot_be_used(workplace, spec, said):
    workplace.write("made.py", FACTORIES)
    workplace.write("bad_import.py", "import not_there\n")
    workplace.write("bad_syntax.py", "def make(:\n")
    message = refused("sample", "--generator", spec, "--out", "x.png")
    assert message.startswith(said)
    assert not Path("x.png").exists()


def test_an_error_in_its_code_is_one_line_with_its_place_and_stays_as_the_cause(workplace):
    workplace.write("made.py", FACTORIES)
    line = FACTORIES.splitlines().index('    raise KeyError("the weights are gone")') + 1
    with pytest.raises(UserError) as raised:
        open_generator("made:broken", trust=TYPED)
    place = f"({workplace.path / 'made.py'}:{line})"
    assert str(raised.value) == f"made:broken failed with KeyError: 'the weights are gone' {place}"
    assert isinstance(raised.value.__cause__, KeyError)


def test_modules_of_the_folder_do_not_hide_the_toolkit(workplace):
    workplace.write("made.py", FACTORIES)
    (workplace.path / "segmentation").mkdir()
    workplace.write("segmentation/__init__.py", "raise RuntimeError('taken for the toolkit')")
    assert open_generator("made:late@side=16", trust=TYPED).image_size == 16
    from segmentation.unet.network import SMALLEST_SIDE

    assert SMALLEST_SIDE == 16


class Protocol:
    """The protocol without OwnGenerator, with one thing broken at a time."""

    name, latent_dim, image_size = "plain", 4, 8

    def __init__(self) -> None:
        self.network = Net().eval()

    def sample(self, count, rng, truncation=None):
        return Latents(rng.normal(count, 4, truncation))

    def __call__(self, latents):
        return self.network(latents.z)

    def to(self, device):
        return self


class LostClasses(Latents):
    def shifted(self, shift):
        return Latents(self.z + shift)


class DrawsElsewhere(Protocol):
    def sample(self, count, rng, truncation=None):
        return Latents(torch.randn(count, 4))


class DrawsAnew(Protocol):
    def sample(self, count, rng, truncation=None):
        return Latents(torch.randn(count, 4, generator=torch.Generator().manual_seed(rng.seed)))


class LosesClasses(Protocol):
    def sample(self, count, rng, truncation=None):
        return LostClasses(rng.normal(count, 4), torch.zeros(count, dtype=torch.long))


class ReturnsTensors(Protocol):
    def sample(self, count, rng, truncation=None):
        return rng.normal(count, 4)


class NarrowLatents(Protocol):
    def sample(self, count, rng, truncation=None):
        return Latents(rng.normal(count, 3))


class FloatClasses(Protocol):
    def sample(self, count, rng, truncation=None):
        return Latents(rng.normal(count, 4), torch.zeros(count))


class GoesNowhere(Protocol):
    def to(self, device):
        self.network.to(device)


class Large(Protocol):
    def __call__(self, latents):
        return 127 * (self.network(latents.z) + 1)


class FromZero(Protocol):
    def __call__(self, latents):
        return (self.network(latents.z) + 1) / 2


class Training(Protocol):
    def __call__(self, latents):
        return self.network.train()(latents.z)


class Noisy(Protocol):
    def __call__(self, latents):
        return self.network(latents.z) * torch.rand(())


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (DrawsElsewhere, "gives other latents from an equal stream"),
        (DrawsAnew, "gives other latents 0 to 4 as 3 and 2 than as 5"),
        (LosesClasses, "lose their classes when shifted"),
        (ReturnsTensors, "sample() of it:make returned a tensor [5, 4]; return generators.protocol.Latents(z)"),
        (NarrowLatents, "gave z [5, 3] torch.float32 on cpu, but finite [5, 4]"),
        (FloatClasses, "gave classes [5] torch.float32"),
        (GoesNowhere, "to() of it:make returned NoneType"),
        (Large, "beyond (-1, 1); return images in [-1, 1]"),
        (FromZero, "that looks like [0, 1], not [-1, 1]; return images * 2 - 1"),
        (Training, "depends on what else is in its batch"),
        (Noisy, "renders the same latents differently at every call"),
        (lambda: own(latent_dim=6), "rendering latents [2, 6] of it:make failed with RuntimeError: "),
        (lambda: own(image_size=16), "as a tensor [2, 3, 8, 8], but image_size 16 means [2, 3, 16, 16]"),
        (lambda: own(lambda z: Net().eval()(z).permute(0, 2, 3, 1)), "as a tensor [2, 8, 8, 3]"),
        (lambda: own(lambda z: Net().eval()(z) / 0), "renders NaN or infinite values"),
        (lambda: own(lambda z: Net().eval()(z) / 1000), "flat in (-1, 1)"),
        (lambda: own(lambda z: Net().eval()(z) + 1.5), "beyond (-1, 1); say which range it has"),
        (lambda: own(lambda z: Net().eval()(z) / 2 + 0.5), "say value_range=(0, 1), or (-1, 1) if that is right"),
        (lambda: own(lambda z: (Net().eval()(z), z)), "returns tuple; let it return images alone"),
        (lambda: own(lambda z: Net().eval()(z.detach())), "no gradient reaches the latents"),
        (lambda: own(lambda z: (Net().eval()(z) * 127).round() / 127), "no gradient reaches the latents"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(workplace, monkeypatch, made, said):
    workplace.write("it.py", "def make():\n    from test_own_generator import BROKEN\n    return BROKEN[0]()\n")
    monkeypatch.setitem(sys.modules, "test_own_generator", sys.modules[__name__])
    monkeypatch.setitem(globals(), "BROKEN", [made])
    message = refused("discover", "--generator", "it:make", "--out", "run", *DISCOVER)
    assert said in message
    assert not Path("run").exists()


def test_a_range_that_was_stated_is_trusted(workplace, monkeypatch):
    from generators.own.checking import checked

    bright = own(lambda z: Net().eval()(z) / 2 + 0.5, value_range=(-1, 1))
    assert checked(bright, "bright") is bright
    assert checked(Protocol(), "plain").name == "plain"


CARD = {"latent_dim": 4, "image_size": 8}


def save_script(path: str, network: nn.Module, latent_dim: int = 4) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls the format deprecated; such files are around
        torch.jit.save(torch.jit.trace(network.eval(), torch.zeros(2, latent_dim)), path)


def save_exported(path: str, network: nn.Module, latent_dim: int = 4, **options) -> None:
    torch.export.save(torch.export.export(network.eval(), (torch.zeros(2, latent_dim),), **options), path)


def save_any(path: str, network: nn.Module, latent_dim: int = 4) -> None:
    if path.endswith(".pt2"):
        save_exported(path, network, latent_dim, dynamic_shapes=({0: torch.export.Dim("batch")},))
    else:
        save_script(path, network, latent_dim)


@pytest.mark.parametrize("file", ["model.pt", "model.ts", "model.pt2"])
def test_a_saved_network_with_its_card_is_a_generator(workplace, file):
    network = Net()
    save_any(file, network)
    workplace.write("model.json", json.dumps(CARD))
    opened = open_generator(file, trust=TYPED)
    assert opened.name == "model"
    for count in (1, 5):
        latents = opened.sample(count, Stream(0, "x"))
        z = latents.z.requires_grad_()
        images = opened(latents)
        close(images, network(z), depth=3)
        assert torch.autograd.grad(images.square().sum(), z)[0].abs().min() > 0
    assert generator_inputs(file, None) == {
        "generator": str(workplace.path / file),
        "generator_digest": sha256_of(Path(file))[:16],
        "generator_card_digest": sha256_of(Path("model.json"))[:16],
    }


@pytest.mark.parametrize("file", ["model.pt", pytest.param("model.pt2", marks=EXPORTS)])
def test_a_saved_network_discovers(workplace, file):
    save_any(file, Discs(32, 0), latent_dim=12)
    workplace.write("model.json", json.dumps({"latent_dim": 12, "image_size": 32, "value_range": [0, 1]}))
    ran("discover", "--generator", file, "--out", "run", *DISCOVER, "--steps", "2")
    assert DirectionSet.load(Path("run")).card["source"]["generator"] == str(workplace.path / file)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (None, "model.pt needs a card beside it that says its sizes"),
        ({"latent_dim": 4}, "lacks image_size"),
        ({**CARD, "size": 3}, "has unknown size"),
        ([], "lacks image_size, latent_dim"),
        ({**CARD, "latents": "gauss"}, "model.json does not fit: latents of an own generator is 'gauss'"),
        ({**CARD, "value_range": [0, "x"]}, "two rising numbers"),
        ({**CARD, "latent_dim": 5}, "RuntimeError"),
    ],
)
def test_a_missing_or_wrong_card(workplace, card, said):
    save_script("model.pt", Net())
    if card is not None:
        workplace.write("model.json", json.dumps(card))
    message = refused("sample", "--generator", "model.pt", "--out", "x.png")
    assert said in message
    assert '{"latent_dim": 128, "image_size": 64' in message or "RuntimeError" in message


def test_an_export_with_a_fixed_batch_is_told_how_to_be_made(workplace):
    save_exported("model.pt2", Net())
    workplace.write("model.json", json.dumps(CARD))
    message = refused("sample", "--generator", "model.pt2", "--out", "x.png")
    assert "model.pt2 was exported for one batch size; export it with batch = torch.export.Dim('batch')" in message


def test_an_export_with_a_bounded_batch_is_refused(workplace):
    save_exported("model.pt2", Net(), dynamic_shapes=({0: torch.export.Dim("batch", max=16)},))
    workplace.write("model.json", json.dumps(CARD))
    with pytest.raises(UserError, match="exported for one batch size"):
        open_generator("model.pt2", trust=TYPED)


def test_an_exported_network_moves_with_its_constants(workplace):
    class Shifted(Net):
        def forward(self, z, y=None):
            return super().forward(z + torch.arange(4, device=z.device))

    save_any("model.pt2", Shifted())
    workplace.write("model.json", json.dumps(CARD))
    moved = open_generator("model.pt2", trust=TYPED).to(torch.device("meta"))
    assert moved(Latents(torch.zeros(3, 4, device="meta"))).device.type == "meta"


def test_a_state_dict_is_no_program(workplace):
    torch.save(Net().state_dict(), "model.pt")
    workplace.write("model.json", json.dumps(CARD))
    assert "no layout of a known generator" in refused("sample", "--generator", "model.pt", "--out", "x.png")


def test_a_damaged_program_is_one_line(workplace, caplog):
    save_any("model.pt2", Net())
    with zipfile.ZipFile("model.pt2") as whole, zipfile.ZipFile("cut.pt2", "w") as cut:
        for name in whole.namelist():
            if name.endswith(("archive_format", "serialized_exported_program.json")):
                cut.writestr(name, whole.read(name))
    workplace.write("cut.json", json.dumps(CARD))
    assert "reading cut.pt2 failed with" in refused("sample", "--generator", "cut.pt2", "--out", "x.png")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def plug_in(workplace):
    """An installed package that offers a generator."""
    (workplace.path / "discs_pkg-1.0.dist-info").mkdir()
    workplace.write("discs_pkg-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: discs-pkg\nVersion: 1.0\n")
    entries = "[latent_toolkit.generators]\nmy-discs = discs_pkg:offered\nflowers64 = discs_pkg:offered\n"
    workplace.write("discs_pkg-1.0.dist-info/entry_points.txt", entries)
    text = "from own_package.discs import make\n\ndef offered(side: int = 32):\n    return make(side)\n"
    workplace.write("discs_pkg.py", text)
    sys.path.insert(0, str(workplace.path))
    elsewhere = workplace.path / "elsewhere"
    elsewhere.mkdir()
    workplace.enter(elsewhere)
    return workplace


def test_an_installed_plug_in_is_found_by_name(plug_in):
    ran("sample", "--generator", "my-discs@side=40", "--samples", "1", "--out", "x.npy")
    assert np.load("x.npy").shape == (1, 3, 40, 40)
    assert weights_file("my-discs") == plug_in.path / "discs_pkg.py"


def test_shipped_names_come_before_plug_ins(plug_in):
    assert weights_file("flowers64").suffix == ".safetensors"


def test_plug_ins_are_among_what_there_is(plug_in):
    assert "my-discs" in refused("sample", "--generator", "nowhere", "--out", "x.png")


def test_two_packages_with_one_name_are_told_apart(plug_in):
    (plug_in.path / "more-1.0.dist-info").mkdir()
    plug_in.write("more-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: more\nVersion: 1.0\n")
    plug_in.write("more-1.0.dist-info/entry_points.txt", "[latent_toolkit.generators]\nmy-discs = other:make\n")
    message = refused("sample", "--generator", "my-discs", "--out", "x.png")
    assert "discs_pkg:offered, other:make; name one of these instead" in message


def test_a_subclass_that_tells_first_layers_is_told_what_to_inherit_from():
    class Mine(OwnGenerator):
        pass

    class Inspectably(InspectableOwnGenerator):
        pass

    values = {"latent_dim": 4, "image_size": 8, "first_layers": ["fc"]}
    with pytest.raises(UserError, match="Mine names first_layers; let it inherit from InspectableOwnGenerator"):
        Mine(Net(), **values)
    assert isinstance(Inspectably(Net(), **values), Inspectable)
    assert not isinstance(Mine(Net(), latent_dim=4, image_size=8), Inspectable)


def test_a_range_that_was_stated_as_full_may_be_left():
    def glaring(z):
        return 1.8 * torch.sin(z.sum(dim=1) + torch.arange(192).view(3, 8, 8, 1)).permute(3, 0, 1, 2)

    sizes = {"latent_dim": 4, "image_size": 8}
    assert checked(OwnGenerator(glaring, value_range=(-1, 1), **sizes), "it").image_size == 8
    with pytest.raises(UserError, match=r"or \(-1, 1\) if it has no bound"):
        checked(OwnGenerator(glaring, **sizes), "it")
