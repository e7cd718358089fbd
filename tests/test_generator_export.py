"""Generators as programs of other runtimes: the same images, opened here or elsewhere, and no paths in them."""

import json
import warnings
import zipfile
from pathlib import Path

import pytest
import small_stylegan2
import torch
from cli_runs import ran, refused
from torch import nn

from generators.catalogue import open_generator
from generators.own import exporting
from generators.own.exporting import export_generator
from generators.own.program_layouts import GENERATOR_LAYOUTS
from generators.own.trust import TYPED
from generators.own.wrapper import OwnGenerator
from generators.protocol import Latents
from generators.styled import StyledGenerator, Styling
from segmentation.export.exporting import Export, export_segmenter
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.errors import UserError
from toolkit.streams import Stream

CLASSES = 3


class Net(nn.Module):
    """Latents of 4 numbers and a class -> images of 6 x 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.classes = nn.Linear(4, 3 * 6 * 8), nn.Embedding(CLASSES, 4)

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.linear(z + self.classes(y))).unflatten(1, (3, 6, 8))


def conditional(**changes) -> OwnGenerator:
    torch.manual_seed(0)
    given = {"latent_dim": 4, "image_size": (6, 8), "num_classes": CLASSES, "name": "mine", **changes}
    return OwnGenerator(Net(), **given)


def styled(space: str, noise: str = "stored") -> StyledGenerator:
    return StyledGenerator(small_stylegan2.generator().network, "stylegan2", Styling(space, noise))


def paths_in(file: Path) -> list[str]:
    """Return what of a file's content, unpacked where it is an archive, names the folder of the code or of torch."""
    archive = zipfile.ZipFile(file) if zipfile.is_zipfile(file) else None
    parts = [file.read_bytes()] if archive is None else [archive.read(entry) for entry in archive.infolist()]
    folders = [str(Path(__file__).parent.parent), str(Path(torch.__file__).parent), str(Path.home())]
    return [folder for folder in folders if any(folder.encode() in part for part in parts)]


def outputs(file: Path, latents: Latents) -> torch.Tensor:
    """Return the images that a file renders without this toolkit."""
    if file.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(None, {"z": latents.z.numpy(), "y": latents.y.numpy()})[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.load")
        program = torch.jit.load(str(file)) if file.suffix == ".pt" else torch.export.load(file).module()
    return program(latents.z, latents.y)


@pytest.mark.parametrize("layout", GENERATOR_LAYOUTS)
@torch.inference_mode()
def test_images_are_the_generators_for_any_number_of_latents(tmp_path, layout):
    generator, file = conditional(), tmp_path / f"g{GENERATOR_LAYOUTS[layout][0]}"
    made = export_generator(generator, file, layout)
    assert made.difference < 1e-5
    for count in (1, 2, 7):
        latents = generator.sample(count, Stream(count, "exported"))
        torch.testing.assert_close(outputs(file, latents), generator(latents), atol=1e-5, rtol=0)
    assert made.card["num_classes"] == CLASSES
    assert made.card["image_size"] == [6, 8]
    assert paths_in(file) == []


@pytest.mark.parametrize("name", ["scene", "stylegan2", "uniform"])
def test_a_program_opens_again_as_the_generator_it_was(tmp_path, name):
    own = lambda: conditional(latents="uniform", classes=(1, 2))  # noqa: E731
    makers = {"scene": lambda: open_generator("scene"), "stylegan2": lambda: styled("z"), "uniform": own}
    generator, file = makers[name](), tmp_path / "again.pt"
    export_generator(generator, file, "generator-torchscript")
    chosen = "@classes=1,2" if name == "uniform" else ""
    again = open_generator(f"{file}{chosen}", trust=TYPED)
    drawn, same = (one.sample(5, Stream(3, "again")) for one in (generator, again))
    assert torch.equal(drawn.z, same.z)
    assert again.name == generator.name
    torch.testing.assert_close(again(same), generator(drawn), atol=1e-5, rtol=0)


def test_the_command_writes_program_and_card(tmp_path):
    text = ran("export", "scene", "--layout", "generator-torchscript", "--out", tmp_path / "scene.pt")
    assert "images within" in text
    assert "toolkit sample --generator" in text
    assert json.loads((tmp_path / "scene.json").read_text())["latents"] == "normal"
    ran("export", "scene", "--layout", "generator-torchscript", "--out", tmp_path / "scene.pt")  # its own are replaced


@pytest.mark.parametrize("what", ["w", "fresh"])
def test_latents_that_no_card_describes_are_refused(tmp_path, what):
    generator = styled("w") if what == "w" else styled("z", "fresh")
    with pytest.raises(UserError, match="space=z" if what == "w" else "omit noise=fresh"):
        export_generator(generator, tmp_path / "g.pt", "generator-torchscript")
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_renders_something_else_is_not_kept(tmp_path, monkeypatch):
    class Drifting(exporting.Rendering):
        calls = 0

        def forward(self, z, y=None):
            self.calls += 1
            return super().forward(z, y) + self.calls

    monkeypatch.setattr(exporting, "Rendering", Drifting)
    with pytest.raises(UserError, match="renders other images"):
        export_generator(conditional(), tmp_path / "g.pt", "generator-torchscript")
    assert list(tmp_path.iterdir()) == []


def test_other_files_and_flags_are_kept_and_refused(tmp_path):
    result = tmp_path / "result.json"
    result.write_text('{"iou": 0.7}')
    out = tmp_path / "result.pt"
    assert "holds something else" in refused("export", "scene", "--layout", "generator-torchscript", "--out", out)
    assert result.read_text() == '{"iou": 0.7}'
    assert not out.exists()
    assert ".onnx" in refused("export", "scene", "--layout", "generator-onnx", "--out", tmp_path / "scene.pt")
    words = ("export", "scene", "--layout", "generator-onnx", "--out", tmp_path / "scene.onnx")
    assert "--half" in refused(*words, "--half")
    assert "--direction" in refused(*words, "--direction", 0)


@pytest.mark.parametrize(("layout", "ending"), [("torchscript", "pt"), ("torch-export", "pt2"), ("onnx", "onnx")])
def test_exported_segmenters_name_no_paths_either(tmp_path, layout, ending):
    torch.manual_seed(0)
    file = tmp_path / f"s.{ending}"
    export_segmenter(Segmenter(UNet(width=4).eval(), 32), file, Export(layout))
    assert paths_in(file) == []
