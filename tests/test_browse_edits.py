"""A photo under the sliders of `toolkit browse`, and what its page saves, over HTTP."""

import base64
import io
import json
from urllib.parse import urlencode

import numpy as np
import torch
from cli_runs import ran
from PIL import Image, ImageSequence
from test_browse import DARKER, browser, described_by, pixels, run, shipped_browser  # noqa: F401 (fixtures)
from test_stylegan2 import filled

from cli.browse.photos import EncodedPhotos, ProjectedPhotos
from cli.browse.pictures import FRAMES_A_SIDE, Edit, Pictures, Start
from generators.catalogue import open_generator
from generators.encoder.network import load_encoder
from generators.protocol import Latents
from generators.published.stylegan2.shape import StyleGAN2Shape
from generators.recorded import generator_inputs
from toolkit.compute.engine import choose_engine
from toolkit.directions import DirectionSet
from toolkit.files.shipped import shipped_file
from toolkit.pictures.pixels import grid, resized_to, to_bytes
from toolkit.watch import SILENT


def png_of(colour: tuple[int, int, int], size: tuple[int, int] = (60, 40)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_photo_is_what_the_sliders_move(browser):  # noqa: F811
    status, answer = browser.upload(png_of((200, 30, 60)), to="/api/embed?tab=a")
    assert status == 200
    assert pixels(base64.b64decode(answer["square"].partition(",")[2])).shape == (256, 256, 3)
    assert 0 < answer["error"] < 2
    shown = browser.picture("/api/shifted", direction=DARKER, alpha=3, photo=answer["photo"], rule="lighting")
    assert shown.shape == (256, 4 * 256, 3)  # photo, before, after, mask
    assert np.abs(shown[100, 100].astype(int) - [200, 30, 60]).max() < 12
    before, after = shown[:, 256:512].astype(int), shown[:, 512:768].astype(int)
    assert np.abs(before - after).mean() > 5
    strip = browser.picture(f"/api/strip/{DARKER}", reach=3, photo=answer["photo"])
    moved = [strip[:, 32 * i : 32 * (i + 1)].astype(int) for i in (FRAMES_A_SIDE, 2 * FRAMES_A_SIDE)]
    small = [np.asarray(Image.fromarray(one.astype(np.uint8)).resize((32, 32))).astype(int) for one in (before, after)]
    for one, other in zip(moved, small, strict=True):  # its middle is before, its end is after
        assert np.abs(one - other).mean() < 6


def test_a_photo_is_embedded_as_toolkit_embed_does(tmp_path):
    (tmp_path / "photos").mkdir()
    content = (shipped_file("photos") / "flower.jpg").read_bytes()
    (tmp_path / "photos" / "flower.jpg").write_bytes(content)
    ran("embed", tmp_path / "photos", "--out", tmp_path / "z.npy", "--refine", 3, "--device", "cpu")
    encoder, cpu = load_encoder(shipped_file("encoders") / "flowers64.safetensors"), torch.device("cpu")
    embedded = EncodedPhotos(encoder, open_generator("flowers64"), cpu).embed(content, "flower.jpg", 3)
    assert np.array_equal(embedded.z.numpy(), np.load(tmp_path / "z.npy"))


def test_a_photo_refined_is_another_latent_and_each_is_embedded_once(browser, monkeypatch):  # noqa: F811
    embedded: list[tuple[str, int]] = []
    embed = EncodedPhotos.embed

    def counted(self, content, name, steps):
        embedded.append((name, steps))
        return embed(self, content, name, steps)

    monkeypatch.setattr(EncodedPhotos, "embed", counted)
    photo = png_of((90, 60, 200))
    answers = [
        browser.upload(photo, name, f"/api/embed?tab=a&refine={n}")[1] for name, n in (("a", 0), ("b", 8), ("c", 0))
    ]
    plain, refined, again = answers
    assert (again, embedded) == (plain, [("a", 0), ("b", 8)])
    assert refined["photo"] != plain["photo"]
    assert refined["error"] < plain["error"]


def test_only_the_newest_photos_are_remembered(browser):  # noqa: F811
    first = browser.upload(png_of((0, 0, 0)), to="/api/embed?tab=a")[1]["photo"]
    for level in range(1, 17):
        status, newest = browser.upload(png_of((level, 0, 0)), to="/api/embed?tab=a")
        assert status == 200
    assert browser.get("/api/strip/0", reach=2, photo=newest["photo"], tab="a")
    assert "not remembered" in browser.refused(f"/api/strip/0?reach=2&photo={first}&tab=a")


def test_without_an_encoder_a_line_says_so(shipped_browser):  # noqa: F811
    status, answer = shipped_browser.upload(png_of((1, 2, 3)), to="/api/embed?tab=a")
    assert (status, answer["error"]) == (400, "no encoder comes with scene")
    assert json.loads(shipped_browser.get("/api/set"))["no_embedder"] == "no encoder comes with scene"


# ---------------------------------------------------------------- what is saved


def saved(page, kind: str, **query: object) -> tuple[bytes, str]:
    """Return a saved file and its name."""
    status, content, headers = page.ask(f"/api/save/{kind}?{urlencode({'tab': 'a', **query}, doseq=True)}")
    assert status == 200, content
    return content, headers["content-disposition"].removeprefix('attachment; filename="').removesuffix('"')


def test_picture_and_mask_are_saved_pixel_to_pixel(browser):  # noqa: F811
    edit = {"direction": [DARKER, 0], "alpha": [4, -1.5], "seed": 7, "images": 2, "rule": "lighting"}
    picture, name = saved(browser, "picture", **edit)
    mask, mask_name = saved(browser, "mask", **edit)
    assert name == "seed7_direction_2+4_0-1.5_picture.png"
    assert mask_name == "seed7_direction_2+4_0-1.5_mask.png"
    assert picture.startswith(b"\x89PNG")
    picture, mask = pixels(picture), pixels(mask)
    assert picture.shape == mask.shape == (128, 2 * 128, 3)  # images of 32 pixels grow to 128
    assert set(np.unique(mask)) == {0, 255}
    brightness = picture.mean(axis=2)
    assert brightness[mask[..., 0] == 255].mean() > brightness[mask[..., 0] == 0].mean() + 60
    shown = browser.picture("/api/shifted", **edit)
    after = np.asarray(Image.fromarray(shown[160:320]).resize((256, 128))).astype(int)
    assert np.abs(after - picture).mean() < 4  # what the page shows as after


def test_the_animation_goes_from_before_to_after_and_back(browser):  # noqa: F811
    edit = {"direction": DARKER, "alpha": 4, "images": 1}
    content, name = saved(browser, "animation", **edit)
    assert name == "seed0_direction_2+4_animation.gif"
    with Image.open(io.BytesIO(content)) as image:
        shots = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(image)]
        assert (image.format, image.info["loop"], len(shots)) == ("GIF", 0, 30)
    ends = [pixels(saved(browser, "picture", **{**edit, "alpha": alpha})[0]).astype(int) for alpha in (0, 4)]
    for shot, end in zip((shots[0], shots[15]), ends, strict=True):
        assert np.abs(shot - end).mean() < 8  # a GIF has 256 colours
    corners = [shot[:30, -30:].mean() for shot in shots]
    assert corners[0] > corners[7] + 5 > corners[15] + 10
    assert abs(corners[1] - corners[-1]) < 1


def test_what_is_saved_of_a_photo_is_named_so(browser):  # noqa: F811
    photo = browser.upload(png_of((200, 30, 60)), to="/api/embed?tab=a")[1]["photo"]
    picture, name = saved(browser, "picture", direction=1, alpha=2, photo=photo)
    assert (pixels(picture).shape, name) == ((128, 128, 3), "photo_direction_1+2_picture.png")


def test_a_photo_without_an_encoder_is_found_in_steps(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    shape = StyleGAN2Shape((8, 8, 4), style_dim=8, mapping_layers=2, latent_dim=8)
    torch.save({"g_ema": filled(shape)}, tmp_path / "g.pt")
    source = generator_inputs(str(tmp_path / "g.pt"))
    DirectionSet(torch.eye(8)[:2], "stylegan2", "by hand", card={"source": source}).save(tmp_path / "set.safetensors")
    generator = open_generator(str(tmp_path / "g.pt"))
    monkeypatch.setattr("cli.browse.photos.STEPS", 8)
    photos = ProjectedPhotos(generator, source, choose_engine("cpu", "fp32"), SILENT)
    plain, refined = (photos.embed(png_of((200, 90, 60)), "x.png", steps) for steps in (0, 40))
    assert plain.z.shape == (1, 6, 8)
    assert refined.error < plain.error
    page = described_by(monkeypatch, tmp_path / "set.safetensors")
    assert page["no_embedder"] is None
    assert page["embedding_note"] == photos.note
    pictures = Pictures(generator, choose_engine("cpu", "fp32"))
    edit = Edit.along(DirectionSet.load(tmp_path / "set.safetensors"), [(0, 2.0), (1, -1.0)])
    moved = generator(Latents(refined.z + torch.tensor([2.0, -1, 0, 0, 0, 0, 0, 0])))
    expected = grid(to_bytes(resized_to(moved, 128)), columns=1, gap=0)
    np.testing.assert_array_equal(pixels(pictures.picture(edit, Start(photo=refined))), expected)
