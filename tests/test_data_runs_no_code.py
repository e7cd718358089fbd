"""What a file says is data: no command runs code that a file names. Each way to code leaves a mark."""

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pickle_parts
import pytest
import torch
import typer
from cli_runs import DISCOVER, _invoke, ran, refused
from clips import disc, write_clip
from own_package.discs import Discs
from torch import nn

from cli.app import app
from generators.catalogue import code_of, open_generator, weights_file
from generators.own.modules import located
from generators.own.trust import TYPED, Recorded, Typed, is_known
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.files.artefacts import save_artefact
from toolkit.files.writing import sha256_of
from toolkit.pictures.photos import write_picture

TRAP = """
from pathlib import Path
Path({mark!r}).touch()

def make(**options):
    from own_package.discs import make
    return make(32)
"""
CARD = {"latent_dim": 12, "image_size": 32, "value_range": [0, 1]}
FORMS = ["factory", "in a package", "command", "plug-in", "script", "export"]
SETS = ["pick", "render-gif", "segment", "synthesize", "browse", "compare"]  # those that open what a set names


class Hostile:
    """A folder that somebody sent: files of every kind that name code, which leaves `mark` where it runs."""

    def __init__(self, folder: Path, mark: Path) -> None:
        self.folder, self.mark = folder, mark
        self._write("trap.py", TRAP.format(mark=str(mark)))
        self._write("trapped/__init__.py", TRAP.format(mark=str(mark)))
        self._write("trapped/inner.py", "from trapped import make\n")
        self._write("discs_pkg-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: discs-pkg\nVersion: 1.0\n")
        self._write("discs_pkg-1.0.dist-info/entry_points.txt", "[latent_toolkit.generators]\npainter = trap:make\n")
        save_program(folder / "script.pt", Discs(32, 0))
        save_program(folder / "export.pt2", Discs(32, 0))
        for name in ("script", "export"):
            self._write(f"{name}.json", json.dumps(CARD))
        call = pickle_parts.called("os.mkdir", pickle_parts.text(str(mark)))
        source = f"import os\nos.mkdir({str(mark)!r})\n"
        network = pickle_parts.module({"w": pickle_parts.tensor(np.zeros((2, 2), np.float32))}, source=source)
        networks = {"G": call, "D": network, "augment_pipe": call, "G_ema": network}
        (folder / "snapshot.pkl").write_bytes(pickle_parts.whole(pickle_parts.table(networks)))
        for number in range(2):
            write_picture(folder / "photos" / f"{number}.png", np.full((40, 40, 3), 90 * number, np.uint8))
            write_picture(folder / "masks" / f"{number}.png", np.eye(40, dtype=np.uint8)[..., None].repeat(3, 2) * 255)

        images = [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 40} for n in (0, 1)]
        annotation = {"id": 0, "image_id": 0, "segmentation": [[5, 5, 30, 5, 30, 30]]}
        (folder / "annotations.json").write_text(json.dumps({"images": images, "annotations": [annotation]}))

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8")

    def spec(self, form: str) -> str:
        """Return the generator's name that leads to code."""
        return {
            "factory": "trap:make@x=1",
            "in a package": "trapped.inner:make",
            "command": f"os:system@command=touch {self.mark}",
            "plug-in": "painter",
            "script": str(self.folder / "script.pt"),
            "export": str(self.folder / "export.pt2"),
        }[form]

    def fill(self, form: str) -> None:
        """Write a direction set, a run folder, a published folder, latents and networks that name the code."""
        spec = self.spec(form)
        source = {"generator": spec, "module": spec, "encoder": spec}
        DirectionSet(
            torch.eye(4, 12), spec, "known", choice=Choice(0, 1, 3.0), card={"source": source, "settings": {}}
        ).save(self.folder / "set" / "directions.safetensors")
        # A set without a source names its generator outside of it; one on bigbigan may name weights.
        DirectionSet(torch.eye(4, 12), spec, "known", choice=Choice(0, 1, 3.0)).save(
            self.folder / "plain" / "directions.safetensors"
        )
        for name, card in {"run": source, "set": source}.items():
            self._write(f"{name}/run.json", json.dumps({"kind": "discovery", "inputs": card, "command": spec}))
            self._write(f"{name}/config.toml", f"generator = {json.dumps(spec)}\n")
            self._write(f"{name}/manifest.json", json.dumps({**card, "layout": spec}))
        torch.save({"step": 1, "deformator": {}}, self.folder / "run" / "checkpoint.pt")
        self._write("run/metrics.jsonl", "")
        shutil.copytree(self.folder / "run", self.folder / "demo" / "directions", dirs_exist_ok=True)
        for name, own in {"ours": {"toolkit": {"source": source}}, "theirs": {}}.items():
            args = {"gan_type": "BigGAN", "gan_weights": spec, "deformator": "linear", "target_class": 3, **own}
            (self.folder / name / "models").mkdir(parents=True, exist_ok=True)
            self._write(f"{name}/args.json", json.dumps(args))
            torch.save({"linear.weight": torch.eye(12)}, self.folder / name / "models" / "deformator_1.pt")
        np.save(self.folder / "latents.npy", np.zeros((3, 12), np.float32))
        made = {"generator": spec, "latent_dim": 12, **source}
        self._write("latents.json", json.dumps({"kind": "latents of photos", "made": made}))
        Segmenter(UNet(width=4), 32, {"source": source}).save(self.folder / "net" / "segmenter.safetensors")
        shutil.copy(self.folder / "script.pt", self.folder / "net.onnx")
        write_clip(self.folder / "clip.mp4", [disc(0), disc(1)])
        self._write("list.mp4", f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{self.mark}\n#EXT-X-ENDLIST\n")
        save_artefact(self.folder / "encoder.safetensors", "encoder", {"x": torch.zeros(1)}, made)
        shutil.copy(self.folder / "script.pt", self.folder / "weights.pth")


def save_program(path: Path, network: nn.Module) -> None:
    latents = torch.zeros(2, 12)
    if path.suffix == ".pt2":
        shapes = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(network.eval(), (latents,), dynamic_shapes=shapes), path)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls the format deprecated; such files are around
        torch.jit.save(torch.jit.trace(network.eval(), latents), path)


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    return Hostile(tmp_path_factory.mktemp("sent"), tmp_path_factory.mktemp("mark") / "ran")


@pytest.fixture
def hostile(sent, monkeypatch, tmp_path):
    """The folder, copied and entered, with every way to code watched."""
    shutil.copytree(sent.folder, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("TOOLKIT_SETTINGS", str(tmp_path / "settings"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "here"), *sys.path])  # plug-ins are installed somewhere
    found = object.__new__(Hostile)
    found.folder, found.mark = tmp_path / "here", sent.mark
    for module, name in ((torch.jit, "load"), (torch.export, "load")):
        monkeypatch.setattr(module, name, watched(getattr(module, name), sent.mark))
    for server in ("browse.server.BrowseServer", "serve.server.PhotoServer"):
        monkeypatch.setattr(f"cli.{server}.run", lambda *_args, **_options: None)
    yield found
    sent.mark.unlink(missing_ok=True)
    for name in ("trap", "trapped", "trapped.inner"):
        sys.modules.pop(name, None)


def watched(load: Callable, mark: Path) -> Callable:
    def run(*arguments, **options):
        mark.touch()
        return load(*arguments, **options)

    return run


def commands() -> list[str]:
    group = typer.main.get_command(app)
    inner = {name: sorted(getattr(command, "commands", {})) for name, command in group.commands.items()}
    return [f"{name} {part}" if part else name for name, parts in inner.items() for part in parts or [""]]


_TINY = ("--steps", "2", "--batch", "4", "--width", "4", "--validation-samples", "4", "--precision", "fp32")
# What each command is called with: SET stands for everything that may be opened as a direction set. A new command has
# to be added here, with every file that it reads.
LINES: dict[str, list[str]] = {
    "demo": ["--smoke --generator scene --out demo"],
    "sample": [
        "--generator scene --latents latents.npy --out x.png",
        "--generator bigbigan --weights weights.pth --out x.png",
        "--generator snapshot.pkl --out x.png",
    ],
    "discover": ["--generator scene --out run --steps 2", "--generator scene --out set --steps 2"],
    "pick": ["SET --out picked --samples 4 --num-alphas 1 --finalists 1", "SET net --out picked"],
    "compare": ["SET LABEL=SET --out compared --steps 1"],
    "browse": ["SET --no-open", "SET --no-open --segmenter net"],
    "label": ["SET 0 bright"],
    "render-gif": ["SET --direction 0 --out x.gif --frames 2 --samples 1"],
    "segment": [f"SET --out segmenter {' '.join(_TINY)}", "SET --embeddings latents.npy --out segmenter --steps 1"],
    "self-train": ["photos --segmenter net --out run", "photos --segmenter weights.pth --out student"],
    "synthesize": ["SET --out pairs --samples 2", "SET --embeddings latents.npy --out run"],
    "eval": [
        "--segmenter net --photos photos --masks masks --out out",
        "--segmenter net --photos photos --masks annotations.json --objects --out out",
        "--predictions photos --masks masks --out run",
    ],
    "predict": [
        "photos --segmenter net --objects --out out",
        "photos --segmenter net --out out",
        "photos --segmenter weights.pth --out out",
        "photos --segmenter net.onnx --out out",
    ],
    "video": [
        "clip.mp4 --segmenter net --out x.mp4 --device cpu",
        "clip.mp4 --segmenter weights.pth --out y.mp4",
        "list.mp4 --out z.mp4",
        "clip.mp4 --segmenter net.onnx --out x.webm",
    ],
    "learn": ["photos --smoke --directions SET --out learned", "photos --smoke --segmenter net --out run"],
    "train-generator": [
        "photos --out run --steps 1",
        "photos --start run --out g",
        "photos --start weights.pth --out g",
    ],
    "train-encoder": ["--generator scene --out run --steps 1"],
    "embed": [
        "photos --generator scene --encoder encoder.safetensors --out z.npy",
        "photos --generator scene --encoder weights.pth --out latents.npy",
    ],
    "convert": [
        "snapshot.pkl --out x.safetensors",
        "weights.pth --out x.safetensors",
        "set/directions.safetensors --out x.safetensors",
    ],
    "export": [
        "SET --layout deformator --out out",
        "SET --layout bg-direction --out x.pth",
        "net --layout onnx --int8 --calibrate photos --out x.onnx",
        "weights.pth --layout torchscript --out x.pt",
        "weights.pth --layout generator-torchscript --out x.pt",
    ],
    "share": ["set hub:me/set --dry-run", "net hub:me/net --dry-run", "weights.pth hub:me/weights --dry-run"],
    "serve": ["--segmenter net", "--segmenter weights.pth", "--segmenter net.onnx"],
    "weights list": [""],
    "weights pull": ["scene --offline"],
    "weights path": ["scene"],
}  # fmt: skip
CARRIERS = ("set", "set/directions.safetensors", "plain", "ours", "theirs", "theirs/models/deformator_1.pt")


def test_every_command_is_tried():
    assert sorted(LINES) == sorted(commands())


@pytest.mark.parametrize(
    ("command", "form"),
    [(name, form) for name, lines in LINES.items() for form in (FORMS if "SET" in "".join(lines) else ["factory"])],
)
def test_no_command_runs_what_a_file_names(hostile, command, form):
    hostile.fill(form)
    for line in LINES[command]:
        for carrier in CARRIERS if "SET" in line else [""]:
            words = [word.replace("SET", carrier) for word in line.split()]
            code, output = _invoke(*command.split(), *words)
            assert not hostile.mark.exists(), output
            assert code in (0, 2), output


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", SETS)
def test_the_refusal_says_what_would_run_and_how_to_run_it(hostile, command, form):
    hostile.fill(form)
    words = [word.replace("SET", "set") for word in LINES[command][0].split()]
    message = refused(command, *words)
    place = {"script": "script.pt", "export": "export.pt2", "in a package": "inner.py", "command": "os.py"}
    assert message.startswith(f"the generator {hostile.spec(form)} is named by a file, not by you")
    assert f"{place.get(form, 'trap.py')}; if you trust that code, give --generator " in message
    for made in ("picked", "segmenter", "pairs", "compared", "x.gif"):
        assert not [path for path in Path().glob(f"{made}/**/*") if path.is_file()], made


@pytest.mark.parametrize("form", ["factory", "in a package", "plug-in", "script", "export"])
def test_what_was_typed_once_runs_from_a_file(hostile, form):
    hostile.fill(form)
    spec = hostile.spec(form).removesuffix("@x=1")
    DirectionSet(torch.eye(4, 12), "it", "known", card={"source": {"generator": spec}}).save(Path("s.safetensors"))
    walk = ("render-gif", "s.safetensors", "--direction", "0", "--frames", "2", "--samples", "1", "--out", "x.gif")
    assert "is named by a file, not by you" in refused(*walk)
    typed = ran("sample", "--generator", spec, "--samples", "1", "--out", "x.png")
    told = [line for line in typed.splitlines() if line.startswith("note: ")]
    assert told == [f"note: {spec} runs the code in {code_of(spec).place}"]
    assert "runs the code" not in ran("sample", "--generator", spec, "--samples", "1", "--out", "x.png")
    ran(*walk)
    assert hostile.mark.exists()


def test_the_set_that_a_user_made_on_his_own_code_needs_no_second_word(hostile):
    ran("discover", "--generator", "trap:make", "--out", "mine", *DISCOVER, "--steps", "1")
    line = ran("render-gif", "mine", "--direction", "0", "--frames", "2", "--samples", "1", "--out", "x.gif")
    assert "wrote x.gif: direction_0 of discs" in line


def typed_here(spec: str = "trap:make") -> None:
    open_generator(spec, trust=TYPED)
    assert is_known(code_of(spec))


def test_other_content_is_other_code(hostile):
    typed_here()
    with Path("trap.py").open("a") as file:
        file.write("# more\n")
    with pytest.raises(UserError, match="is named by a file"):
        open_generator("trap:make")


def test_the_same_content_elsewhere_is_other_code(hostile, tmp_path, monkeypatch):
    typed_here()
    shutil.copytree(hostile.folder, tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    monkeypatch.setattr(sys, "path", sys.path[1:])
    sys.modules.pop("trap")
    with pytest.raises(UserError, match="is named by a file"):
        open_generator("trap:make")


@pytest.mark.parametrize("spec", ["trap:make@x=2", "trap:make@x=weights.bin"])
def test_other_words_are_other_code(hostile, spec):
    typed_here("trap:make@x=1")
    with pytest.raises(UserError, match="is named by a file"):
        open_generator(spec)


def test_the_same_words_for_another_file_are_other_code(hostile, monkeypatch):
    Path("weights.bin").touch()
    typed_here("trap:make@x=weights.bin")
    Path("theirs").mkdir()
    Path("theirs/weights.bin").touch()
    monkeypatch.chdir("theirs")
    with pytest.raises(UserError, match="is named by a file"):
        open_generator("trap:make@x=weights.bin")


def test_a_program_is_known_wherever_it_lies(hostile):
    typed_here(hostile.spec("script"))
    for ending in ("pt", "json"):
        shutil.copy(f"script.{ending}", f"moved.{ending}")
    assert open_generator("moved.pt").image_size == 32
    with pytest.raises(UserError, match="is named by a file"):
        open_generator("export.pt2")


def test_without_a_word_names_are_taken_for_recorded(hostile):
    with pytest.raises(UserError, match="is named by a file"):
        open_generator("trap:make")
    assert not hostile.mark.exists()


def test_a_home_that_cannot_be_written_is_no_obstacle(hostile, monkeypatch):
    Path("file").touch()
    monkeypatch.setenv("TOOLKIT_SETTINGS", str(Path("file").resolve()))
    assert open_generator("trap:make", trust=TYPED).image_size == 32
    with pytest.raises(UserError, match="is named by a file"):
        open_generator("trap:make")


def test_one_of_several_processes_tells_and_remembers(hostile):
    told = []
    code = code_of("trap:make@x=several")
    Typed(told.append, remember=False).admit(code)
    assert told == []
    with pytest.raises(UserError):
        Recorded().admit(code)
    Typed(told.append).admit(code)
    Typed(told.append).admit(code)
    assert len(told) == 1
    Recorded().admit(code)


@pytest.mark.parametrize("form", FORMS)
def test_finding_the_file_and_its_digest_runs_nothing(hostile, form):
    spec = hostile.spec(form)
    file = weights_file(spec)
    if form == "command":
        assert file == Path(os.__file__)
    else:
        assert sha256_of(file)
        assert hostile.folder in file.parents
    assert not hostile.mark.exists()
    assert not {"trap", "trapped"} & set(sys.modules)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("plain", "plain.py"),
        ("package", "package/__init__.py"),
        ("package.inner", "package/inner.py"),
        ("spaces.deep.inner", "spaces/deep/inner.py"),
        ("package.space.inner", "package/space/inner.py"),
        ("spaces", None),
        ("sys", None),
    ],
)
def test_modules_are_located_as_an_import_finds_them(tmp_path, monkeypatch, name, file):
    monkeypatch.chdir(tmp_path)
    inner = ("package/__init__.py", "package/inner.py", "spaces/deep/inner.py", "package/space/inner.py")
    for path in ("plain.py", *inner):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("raise RuntimeError('imported')\n")
    place = located(name)
    assert place is not None
    assert (place.file.resolve() if place.file else None) == (tmp_path / file if file else None)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.inner", "plain.inner", "os.path.inner"])
def test_modules_that_are_not_there_are_not_located(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("plain.py").touch()
    assert located(name) is None


def test_a_folder_hides_nothing_from_code_that_lies_elsewhere(hostile, tmp_path, monkeypatch):
    away = tmp_path / "installed"
    away.mkdir()
    (away / "afar.py").write_text("import trap\nfrom own_package.discs import make\n")
    monkeypatch.setattr(sys, "path", [*sys.path[1:], str(away)])
    with pytest.raises(UserError, match="No module named 'trap'"):
        open_generator("afar:make", trust=TYPED)
    assert not hostile.mark.exists()


@pytest.mark.parametrize("missing", ["os:system@command=x", "FILE2@space=z", "trap:make", "", 3])
def test_a_hint_to_copy_holds_nothing_that_a_file_came_up_with(hostile, missing):
    hostile.fill("factory")
    args = json.loads(Path("ours/args.json").read_text())
    args["toolkit"]["source"] = {"generator": "gone.pt", "missing": missing}
    Path("ours/args.json").write_text(json.dumps(args))
    hint = "is not here; give --generator FILE" if isinstance(missing, str) else "has to be a text; make the file again"
    assert refused("pick", "ours", "--out", "x").endswith(hint)


@pytest.mark.parametrize("form", FORMS)
def test_the_next_command_of_export_names_no_code_out_of_a_file(hostile, form):
    hostile.fill(form)
    for layout, out in (("bg-direction", "x.pth"), ("deformator", "out")):
        text = ran("export", "set", "--layout", layout, "--out", out)
        (line,) = (line for line in text.splitlines() if line.startswith("next: "))
        assert "--generator GENERATOR" in line
        assert hostile.spec(form) not in line


HTML = "<img/src=x/onerror=alert(1)>"


def test_a_name_out_of_a_file_is_text_in_a_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("discover", "--generator", "scene", "--out", "run", *DISCOVER, "--steps")
    ran(*words, "1")
    Path("run/human_annotation.txt").write_text(f"0: {HTML}\n", encoding="utf-8")
    ran(*words, "2")
    found = DirectionSet.load(Path("run"))
    assert found.names[0] != "direction_0"
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert "<img/src" not in page
    assert "&lt;img/src=x/onerror=alert(1)&gt;" in page


def test_the_page_of_browse_takes_all_for_text():
    scripts = list((Path(__file__).parent.parent / "assets" / "browse").glob("*.js"))
    assert scripts
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert way not in text
