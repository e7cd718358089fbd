"""`import toolkit` as a library: lazy, the whole chain, names wherever paths serve, and one line for what is wrong."""

import ast
import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_runs import ran
from PIL import Image
from seg_toy import DiscGenerator

import toolkit
from generators.scene import SceneGenerator

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "assets" / "photos" / "flower.jpg"
TINY = {"steps": 2, "batch": 4, "width": 4, "validation_count": 4, "validate_every": 2, "max_area": 0.4}


def python(code, **more):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_loads_next_to_nothing():
    code = "import sys; before = set(sys.modules); import toolkit; print(sorted(set(sys.modules) - before))"
    loaded = ast.literal_eval(python(code, cwd=ROOT))
    assert loaded == ["toolkit"]


def test_every_public_name_is_there_and_nothing_else():
    assert set(toolkit.__all__) <= set(dir(toolkit))
    for name in toolkit.__all__:
        assert getattr(toolkit, name) is not None
    assert set(toolkit.__all__) == {*toolkit._PLACES, "__version__"}
    with pytest.raises(AttributeError, match="module 'toolkit' has no attribute 'segmnt'"):
        toolkit.segmnt  # noqa: B018


def test_type_checkers_see_what_is_fetched():
    tree = ast.parse((ROOT / "toolkit" / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    fetched = {name: place.partition(":")[0] for name, place in toolkit._PLACES.items()}
    assert {name: seen[name] for name in fetched} == fetched


def test_each_public_name_says_what_it_is_with_an_example_or_fields():
    for name in toolkit.__all__:
        value = getattr(toolkit, name)
        if callable(value):
            assert (value.__doc__ or "").strip(), name
        if callable(value) and not isinstance(value, type):
            assert ">>>" in value.__doc__, name


_DOCUMENTED = [
    *("toolkit", "toolkit.pictures.any_photo", "generators.face", "discovery.face", "discovery.opening"),
    *("segmentation.face.making", "segmentation.face.using", "segmentation.predict.segmenter"),
]


@pytest.mark.parametrize("module", _DOCUMENTED)
def test_examples_in_docstrings_hold(module):
    loaded = importlib.import_module(module)
    result = doctest.testmod(loaded, optionflags=doctest.ELLIPSIS, extraglobs={"toolkit": toolkit})
    assert result.attempted > 0
    assert result.failed == 0


@pytest.fixture(scope="module")
def directions():
    vectors = torch.eye(5)[:2]
    return toolkit.DirectionSet(vectors, "disc", "by hand", ("contrast", "row"))


def test_the_chain_returns_objects(directions, tmp_path):
    generator = DiscGenerator()
    picked = toolkit.pick(directions, generator, samples=8, compared=8, lengths=2)
    assert picked.choice.index == 0
    images, masks = next(toolkit.synthesize(picked, generator=generator, batch=6))
    assert (images.shape, masks.shape, masks.dtype) == ((6, 3, 32, 32), (6, 32, 32), torch.bool)
    segmenter = toolkit.segment(picked, generator=generator, **TINY)
    assert isinstance(segmenter, toolkit.Segmenter)
    photos = list(toolkit.render(toolkit.sample(generator, 12), generator))
    student = toolkit.self_train(segmenter, photos, rounds=1, steps=2, batch=4, width=4, **_ANY_MASK)
    assert student.image_size == 32
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for number, photo in enumerate(photos):
        Image.fromarray(photo).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(toolkit.mask(photo, student)).save(tmp_path / "masks" / f"{number}.png")
    result = toolkit.evaluate(student, tmp_path / "images", tmp_path / "masks")
    assert result.measures["iou"] == pytest.approx(1, abs=0.05)
    assert re.fullmatch(r"<Evaluation of images: 12 images, iou .*, accuracy .*, max_f .*>", repr(result))
    by_function = toolkit.evaluate(lambda photo: student.probability(photo), tmp_path / "images", tmp_path / "masks")
    assert by_function.measures == pytest.approx(result.measures, abs=1e-6)  # photo by photo, the other way in batches


def test_several_sets_are_picked_from_together():
    sets = {name: toolkit.discover("scene", "random", directions=3, seed=seed) for seed, name in enumerate("ab")}
    known = toolkit.DirectionSet(
        SceneGenerator().contrast_direction()[None], "scene", "known", ("contrast",), card=sets["a"].card
    )
    picked = toolkit.pick({**sets, "right": known}, samples=8, compared=8, lengths=2)
    assert picked.names[:2] == ("a/direction_0", "a/direction_1")
    assert picked.names[picked.choice.index] == "right/contrast"
    with pytest.raises(toolkit.UserError, match="no direction sets are passed"):
        toolkit.pick({})
    with pytest.raises(toolkit.UserError, match="64 numbers, but the latents of scene have 16"):
        toolkit.pick({"a": sets["a"], "other": "flowers64"})


_ANY_MASK = {"agreement": 0.0, "min_area": 0.0, "max_area": 1.0, "held_out": 0.0}


def test_discover_by_every_method_returns_a_set():
    found = toolkit.discover("flowers64", "ganspace", directions=3, samples=64)
    assert (len(found), found.generator, found.card["source"]["generator"]) == (3, "flowers64", "flowers64")
    assert len(toolkit.discover("scene", "random", directions=4)) == 4
    deformed = toolkit.discover("scene", "deformator", directions=4, steps=2, validation_batches=1)
    assert deformed.card["settings"]["reconstructor"] == "lenet"


def test_a_run_in_a_folder_is_resumed_and_equals_the_command_s(tmp_path):
    settings = {"steps": 2, "batch": 4, "width": 4, "validation_count": 4, "validate_every": 2}
    one = toolkit.segment("flowers64", out=tmp_path / "run", device="cpu", precision="fp32", **settings)
    again = toolkit.segment("flowers64", out=tmp_path / "run", device="cpu", precision="fp32", **settings)
    flags = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
    ran("segment", "flowers64", "--out", tmp_path / "cli", "--preset", "quick", "--precision", "fp32", *flags)
    files = [(tmp_path / name / "segmenter.safetensors").read_bytes() for name in ("run", "cli")]
    assert files[0] == files[1]
    in_memory = toolkit.segment("flowers64", device="cpu", precision="fp32", **settings)
    assert one.digest() == again.digest() == in_memory.digest()


def test_pairs_are_those_of_the_command(tmp_path):
    ran("synthesize", "flowers64", "--count", 3, "--batch", 4, "--out", tmp_path, "--precision", "fp32")
    pairs = list(toolkit.synthesize("flowers64", samples=3, batch=4, precision="fp32"))
    assert [len(images) for images, _ in pairs] == [3]
    for number, mask in enumerate(pairs[0][1].numpy()):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "masks" / f"{number:09}.png")) > 0, mask)


def test_masks_are_those_of_the_command_however_the_photo_comes(tmp_path):
    ran("predict", PHOTO, "--out", tmp_path)
    written = np.asarray(Image.open(tmp_path / "flower_mask.png")) > 0
    for photo in (PHOTO, str(PHOTO), PHOTO.read_bytes(), Image.open(PHOTO), np.asarray(Image.open(PHOTO))):
        assert np.array_equal(toolkit.mask(photo), written)
    several = list(toolkit.predict([PHOTO, Image.open(PHOTO)]))
    assert [one.name for one in several] == [str(PHOTO), "1"]
    assert all(np.array_equal(one.mask(), written) for one in several)
    assert np.array_equal(several[0].overlay(), np.asarray(Image.open(tmp_path / "flower_overlay.png")))


def test_walks_and_edits_agree(tmp_path):
    latents = toolkit.sample("flowers64", 2, seed=3)
    walk = toolkit.render(latents, directions="flowers64", frames=3, size=32, out=tmp_path / "walk.gif")
    assert walk.shape == (3, 2, 32, 32, 3)
    moved = toolkit.edit(latents, "flowers64")
    assert np.array_equal(walk[2], toolkit.render(moved, "flowers64", size=32, out=tmp_path / "moved.png"))
    with Image.open(tmp_path / "walk.gif") as animation, Image.open(tmp_path / "moved.png") as picture:
        assert (animation.n_frames, picture.size) == (4, (66, 32))


def test_a_set_is_saved_and_found_again_by_name(tmp_path, directions):
    directions.save(tmp_path / "directions.safetensors")
    assert torch.equal(toolkit.open_directions(tmp_path).vectors, directions.vectors)
    generator = DiscGenerator()
    picked = toolkit.pick(directions, generator, out=tmp_path / "picked", samples=8, compared=8, lengths=2)
    assert toolkit.open_directions(tmp_path / "picked").choice == picked.choice
    assert (tmp_path / "picked" / "pick.png").is_file()
    with pytest.raises(toolkit.UserError, match="holds files already; choose an empty or new out"):
        toolkit.pick(directions, generator, out=tmp_path, samples=8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: toolkit.mask(None), r"a photo is None \(NoneType\); pass a path, .*"),
        (lambda: toolkit.mask(PHOTO, "flowers63"), r".*no segmenter at flowers63; check the path"),
        (lambda: toolkit.mask(PHOTO, 5), r"a segmenter is 5 \(int\); pass a name or a path"),
        (lambda: toolkit.mask(PHOTO, device="tpu"), r"no device 'tpu' on this machine; .*"),
        (lambda: toolkit.Segmenter.load(None), r"a segmenter is None \(NoneType\); pass a name or a path"),
        (lambda: toolkit.open_generator(3), r"a generator is 3 \(int\); pass a name or a path"),
        (lambda: toolkit.open_generator("flowers65"), r"no generator 'flowers65'; choose one of .*"),
        (lambda: toolkit.sample(3), r"a generator is 3 \(int\); pass a name, a path, or an object with .*"),
        (lambda: toolkit.sample("flowers64", 0), r"count is 0, but has to be a whole number of at least 1"),
        (lambda: toolkit.discover("scene", "magic"), r"method is 'magic'; choose one of deformator, .*"),
        (lambda: toolkit.discover("scene", "random", seeds=1), r"the call holds unknown settings seeds; known are .*"),
        (
            lambda: toolkit.discover(settings=toolkit.SefaSettings()),
            r"settings are SefaSettings\(\) \(SefaSettings\), .*",
        ),
        (lambda: toolkit.segment("flowers64", steps="many"), r"steps is 'many', but has to be int"),
        (lambda: toolkit.segment("flowers64", steps=0), r"steps is 0, but has to be at least 1"),
        (lambda: toolkit.segment("flowers64", preset="slow"), r"there is no preset 'slow'; choose one of paper, quick"),
        (lambda: toolkit.segment(7), r"a direction is 7 \(int\); pass a name or a path"),
        (lambda: toolkit.segment("flowers64", direction=3), r"direction needs the shift length too; give alpha, .*"),
        (lambda: toolkit.synthesize("flowers64", samples=0), r"samples is 0, but has to be at least 1"),
        (lambda: toolkit.edit([1.0], "flowers64"), r"latents are a list; pass what sample returns, .*"),
        (lambda: toolkit.edit(toolkit.sample("scene", 1), "flowers64"), r"the latents have 16 numbers, but .* 64; .*"),
        (
            lambda: toolkit.render(toolkit.sample("scene", 1), "scene", out="a.txt"),
            r"cannot tell the format of a.txt.*",
        ),
        (lambda: toolkit.evaluate("flowers64", "here", "there"), r"no folder at here; .*"),
        (lambda: toolkit.evaluate("flowers64", "a", "b", protocol="x"), r"protocol is 'x'; choose one of float, .*"),
        (lambda: toolkit.self_train("flowers64", []), r"there are no photos; pass a folder of them, or some"),
        (lambda: toolkit.open_directions("flowers65"), r".*flowers65.*"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(call, message):
    with pytest.raises(toolkit.UserError) as refused:
        call()
    assert re.fullmatch(message, str(refused.value)), refused.value


def test_own_code_runs_only_when_asked_for(tmp_path, monkeypatch):
    (tmp_path / "mine_for_the_face.py").write_text(
        "import torch\nprint('ran')\n"
        "def make():\n    return torch.nn.Sequential(torch.nn.Linear(8, 3 * 256), torch.nn.Unflatten(1, (3, 16, 16)))\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(toolkit.UserError, match=r"runs the code in .*mine_for_the_face.py; pass run_code=True if you"):
        toolkit.open_generator("mine_for_the_face:make")
    assert "mine_for_the_face" not in sys.modules


def test_every_public_object_shows_itself_in_one_line(directions):
    shown = [
        directions,
        toolkit.open_directions("flowers64"),
        toolkit.open_generator("scene"),
        toolkit.sample("flowers64", 2),
        toolkit.Segmenter.load("flowers64"),
        toolkit.SegmentationSettings(steps=3),
        next(toolkit.predict(PHOTO)),
    ]
    for value in shown:
        assert "\n" not in repr(value)
        assert " object at 0x" not in repr(value)
        assert 15 < len(repr(value)) < 160
    assert repr(shown[5]) == "SegmentationSettings(steps=3)"
    assert repr(shown[2]) == "<SceneGenerator scene: 16 latent numbers -> 64 x 64 pixels>"


def test_a_named_segmenter_is_read_once_and_again_after_it_changed(tmp_path):
    small = toolkit.Segmenter.load("flowers64")
    path = tmp_path / "segmenter.safetensors"
    small.save(path)
    before = toolkit.mask(PHOTO, tmp_path)
    small.network.outc.conv.bias.data[1] += 100
    toolkit.Segmenter(small.network, 64).save(path)
    assert toolkit.mask(PHOTO, tmp_path).mean() > before.mean()


_SCRIPT = [str(Path(sys.executable).with_name("toolkit"))]
_MODULE = [sys.executable, "-m", "toolkit"]


# Of a package `toolkit` where one stands `python -m toolkit` is that one: Python has chosen before ours is asked.
@pytest.mark.parametrize(
    ("start", "names", "content"),
    [
        (_SCRIPT, ("toolkit", "cli", "segmentation"), None),
        (_SCRIPT, ("toolkit", "cli", "segmentation"), "raise SystemExit('another package')"),
        (_MODULE, ("toolkit", "cli", "segmentation"), None),
        (
            _MODULE,
            ("cli", "segmentation"),
            "raise SystemExit('another package')",
        ),
    ],
)
def test_folders_of_our_names_where_one_stands_do_not_break_the_command(start, names, content, tmp_path):
    for name in names:
        (tmp_path / name).mkdir()
        if content is not None:
            (tmp_path / name / "__init__.py").write_text(content)
    done = subprocess.run([*start, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"toolkit {toolkit.__version__}\n"), done.stderr


def test_every_package_tells_type_checkers_that_it_is_typed():
    for package in ("cli", "discovery", "generators", "segmentation", "toolkit"):
        assert (ROOT / package / "py.typed").is_file()
