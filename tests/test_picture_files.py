"""Which files are opened as pictures, what is said of the others, and which colours they come in."""

import ast
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from cli_runs import ran, refused
from PIL import EpsImagePlugin, Image, ImageCms

from toolkit.errors import UserError
from toolkit.pictures import picture_files
from toolkit.pictures.photo_folder import open_folder
from toolkit.pictures.photos import list_photos, read_gray, read_photo, write_picture
from toolkit.pictures.picture_files import photo_endings, require_side

ROOT = Path(__file__).resolve().parent.parent
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_postscript_starts_no_interpreter_whatever_its_ending(tmp_path, monkeypatch):
    def started(*arguments, **options):
        raise AssertionError("the interpreter was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    path = written(tmp_path / "a.jpg", POSTSCRIPT)
    with pytest.raises(AssertionError), Image.open(path) as image:  # the marker works
        image.load()
    for read in (read_photo, read_gray):
        assert "it is PostScript: convert it to JPEG or PNG" in refusal(read, path)
    assert "it is PostScript" in refused("predict", path, "--out", tmp_path / "o")


def test_pictures_are_opened_in_one_place():
    packages = [ROOT / name for name in ("cli", "discovery", "generators", "segmentation", "toolkit")]
    for path in (path for package in packages for path in package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                assert path.name == "picture_files.py", path
                assert "formats" in [keyword.arg for keyword in node.keywords], path


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"", "the file is empty: copy or download it again"),
        (b"<!DOCTYPE html><title>404</title>", "it is an HTML page; download the photo again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "fetch the photo itself with git lfs pull"),
        (b"%PDF-1.7\n", "it is a PDF: convert it to JPEG or PNG"),
        (b"8BPS\0\1", "it is a Photoshop file: convert it to JPEG or PNG"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "copy or download it again"),
        (b"some words", "convert it to JPEG or PNG, or copy it again"),
    ],
)
def test_the_advice_fits_the_fault(tmp_path, content, advice):
    text = refusal(read_photo, written(tmp_path / "a.jpg", content))
    assert advice in text
    assert "remove" not in text


def test_a_photo_of_too_many_pixels_is_to_be_made_smaller(tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png", np.zeros((30, 30, 3), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    text = refusal(read_photo, tmp_path / "a.png")
    assert "make it smaller" in text
    assert "damaged" not in text


def test_hidden_folders_hold_no_photos_and_what_is_left_out_is_counted(tmp_path):
    names = ("a.jpg", "b/c.JFIF", ".ipynb_checkpoints/a-checkpoint.jpg", "__MACOSX/._a.jpg", "Thumbs.db", "x.HEIC")
    for name in (*names, "notes.txt", "more/notes.txt", "README"):
        written(tmp_path / name, b"x")
    found = open_folder(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found.paths[:2]] == ["a.jpg", "b/c.JFIF"]
    assert found.left_out["hidden"] == 3
    assert found.left_out[".txt"] == 2
    assert found.left_out["without an ending"] == 1


def test_heic_is_left_out_by_name_without_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_files, "find_spec", lambda name: None)
    heic = written(tmp_path / "IMG_1.HEIC", b"\0\0\0\x18ftypheic" + bytes(64))
    written(tmp_path / "a.jpg", b"x")
    found = open_folder(tmp_path)
    assert [path.name for path in found.paths] == ["a.jpg"]
    assert found.note() == (
        f"left out 1 file below {tmp_path} that are no photos: 1 .HEIC; HEIC needs the heif extra: "
        "pip install 'latent-segmentation-toolkit[heif]'"
    )
    assert "latent-segmentation-toolkit[heif]" in refusal(read_photo, heic)
    renamed = heic.rename(tmp_path / "phone.jpg")  # phones name them so too
    assert "latent-segmentation-toolkit[heif]" in refusal(read_photo, renamed)


def test_heic_is_read_with_its_extra(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    pixels = np.full((64, 64, 3), (200, 30, 30), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.heic", quality=95)
    assert list_photos(tmp_path) == [tmp_path / "a.heic"]
    assert np.abs(read_photo(tmp_path / "a.heic").astype(int) - pixels).max() <= 6


def test_a_folder_without_photos_says_what_it_holds(tmp_path):
    written(tmp_path / "a.heic.txt", b"x")
    assert "left out 1 file" in refusal(list_photos, tmp_path)


def test_commands_say_what_they_left_out(tmp_path):
    write_picture(tmp_path / "in" / "a.png", np.zeros((40, 40, 3), np.uint8))
    written(tmp_path / "in" / "a.txt", b"x")
    line = f"left out 1 file below {tmp_path / 'in'} that are no photos: 1 .txt\n"
    assert line in ran("predict", tmp_path / "in", "--out", tmp_path / "o")
    assert line in ran("embed", tmp_path / "in", "--out", tmp_path / "z.npy")


@pytest.mark.parametrize(("ending", "form"), [("jfif", "JPEG"), ("jp2", "JPEG2000"), ("tga", "TGA"), ("pnm", "PPM")])
def test_less_common_endings_are_photos(tmp_path, ending, form):
    pixels = np.full((16, 16, 3), (200, 30, 30), np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a.{ending}", form)
    assert f".{ending}" in photo_endings()
    assert np.abs(read_photo(tmp_path / f"a.{ending}").astype(int) - pixels).max() <= 3


# Colorants, adapted to D50, of Display P3 (Apple) and of sRGB (IEC 61966-2-1): X, Y, Z of red, green and blue.
P3 = np.array([[0.51512, 0.2412, -0.00105], [0.29198, 0.69225, 0.04189], [0.1571, 0.06657, 0.78407]])
SRGB = np.array([[0.43607, 0.2225, 0.01393], [0.38506, 0.71688, 0.0971], [0.14308, 0.06062, 0.71417]])


def profile(colorants: np.ndarray, gamma: float = 2.2) -> bytes:
    """An ICC profile of version 2: three colorants and one gamma."""

    def fixed(values) -> bytes:
        return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79)
    white = fixed([0.9642, 1, 0.8249])
    tags = {b"desc": text, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": b"XYZ " + bytes(4) + white}
    for name, colorant in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True):
        tags[name] = b"XYZ " + bytes(4) + fixed(colorant)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    body, table, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    head = head + bytes(28) + white + bytes(48)
    return head[:128] + struct.pack(">I", len(tags)) + table + body


def to_srgb(levels: tuple[int, int, int], colorants: np.ndarray, gamma: float = 2.2) -> np.ndarray:
    """What sRGB has for a colour of that space, by the formulas."""
    linear = ((np.array(levels) / 255) ** gamma @ colorants) @ np.linalg.inv(SRGB)
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


@pytest.mark.parametrize("levels", [(128, 200, 100), (200, 60, 60), (90, 90, 90), (20, 40, 220), (0, 255, 0)])
@pytest.mark.parametrize("ending", ["png", "tif", "jpg"])
def test_wide_colours_become_srgb(tmp_path, levels, ending):
    image = Image.new("RGB", (16, 16), levels)
    image.save(tmp_path / f"a.{ending}", icc_profile=profile(P3), **({"quality": 100} if ending == "jpg" else {}))
    found = read_photo(tmp_path / f"a.{ending}")[8, 8]
    assert np.abs(found - to_srgb(levels, P3)).max() <= 4
    assert read_gray(tmp_path / f"a.{ending}")[8, 8] == pytest.approx(levels[0], abs=2)  # a mask has no colours


@pytest.mark.parametrize("icc", ["sRGB", "damaged", "CMYK"])
def test_other_profiles_leave_a_photo_as_it_is(tmp_path, icc):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() if icc == "sRGB" else profile(P3)
    if icc == "damaged":
        content = content[:140] + b"\xff" * 40 + content[180:]
    elif icc == "CMYK":
        content = content[:16] + b"CMYK" + content[20:]
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=content)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), pixels)


def test_a_wide_photo_keeps_its_transparency_and_its_palette_its_colours(tmp_path):
    levels = (128, 200, 100)
    see_through = Image.new("RGBA", (4, 4), (*levels, 255))
    see_through.putpixel((0, 0), (*levels, 0))
    see_through.save(tmp_path / "a.png", icc_profile=profile(P3))
    found = read_photo(tmp_path / "a.png")
    assert found[0, 0].tolist() == [255, 255, 255]
    assert np.abs(found[2, 2] - to_srgb(levels, P3)).max() <= 4
    Image.new("RGB", (4, 4), levels).quantize(4).save(tmp_path / "p.png", icc_profile=profile(P3))
    assert np.abs(read_photo(tmp_path / "p.png")[2, 2] - to_srgb(levels, P3)).max() <= 4


def test_what_a_format_cannot_hold_is_found_before(tmp_path):
    for ending, side in ((".webp", 16_383), (".gif", 65_535), (".jpg", 65_500)):
        require_side(tmp_path / f"a{ending}", side, 1, "")
        with pytest.raises(UserError, match=f"at most {side} a side; less"):
            require_side(tmp_path / f"a{ending}", 1, side + 1, "less")


def test_the_largest_sides_are_those_of_the_encoders(tmp_path):
    for ending, side in ((".webp", 16_383), (".gif", 65_535), (".jpg", 65_500)):
        Image.new("L", (side, 1)).save(tmp_path / f"a{ending}")
        with pytest.raises((OSError, ValueError, OverflowError, struct.error)):
            Image.new("L", (side + 1, 1)).save(io.BytesIO(), {".jpg": "JPEG"}.get(ending, ending[1:].upper()))


def test_animations_are_refused_before_rendering_with_what_would_fit(tmp_path):
    wide = ("render-gif", "flowers64", "--size", "2048", "--frames", "2")
    assert refused(*wide, "--samples", "9", "--columns", "9", "--out", tmp_path / "w.webp") == (
        f"{tmp_path / 'w.webp'} would be 18448 x 2048 pixels, but a .webp has at most 16383 a side; --size 1818 fits, "
        "so does --columns 7"
    )
    text = refused(*wide, "--samples", "33", "--columns", "33", "--out", tmp_path / "w.gif")
    assert "67648 x 2048 pixels, but a .gif has at most 65535 a side; --size 1983 fits, so does --columns 31" in text
    assert "a .npy file" in refused("sample", "--samples", "45000", "--out", tmp_path / "w.png")
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_no_picture_are_named_by_their_number():
    with pytest.raises(UserError, match=r"^cannot read the photo of 5 bytes \(cannot identify image file\); it is"):
        read_photo(io.BytesIO(b"hello"))
