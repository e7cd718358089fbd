"""Photos and masks of every make are read upright, in 8 bits and 3 channels, or refused by name."""

import io
import logging

import numpy as np
import pytest
from PIL import Image

from toolkit.errors import UserError
from toolkit.pictures.photos import PHOTO_ENDINGS, list_photos, read_gray, read_photo, read_square, write_picture

# 4 x 3 pixels, every one different: orientation mistakes cannot hide.
PIXELS = np.arange(36, dtype=np.uint8).reshape(4, 3, 3) * 7
UPRIGHT = {  # what a viewer has to do for each EXIF orientation
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


def saved(path, image, **options):
    image.save(path, **options)
    return path


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def mode_of(path):
    with Image.open(path) as image:
        return image.mode


def refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif"])
def test_what_loses_nothing_reads_back_exactly(tmp_path, ending):
    write_picture(tmp_path / f"a{ending}", PIXELS)
    found = read_photo(tmp_path / f"a{ending}")
    assert found.dtype == np.uint8
    assert np.array_equal(found, PIXELS)


def test_what_is_read_may_be_written_to(tmp_path):
    write_picture(tmp_path / "a.png", PIXELS)
    for read in (read_photo, read_gray):
        pixels = read(tmp_path / "a.png")
        pixels[0, 0] = 5
        assert np.all(pixels[0, 0] == 5)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_photos_are_turned_upright(tmp_path, orientation):
    path = saved(tmp_path / "a.png", Image.fromarray(PIXELS), exif=oriented(orientation))
    assert np.array_equal(read_photo(path), UPRIGHT[orientation](PIXELS))
    assert np.array_equal(read_gray(path), UPRIGHT[orientation](PIXELS)[..., 0])


def test_a_jpeg_from_a_camera_is_turned_upright(tmp_path):
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16] = 255  # bright above; orientation 6 turns it to the right
    path = saved(tmp_path / "a.JPG", Image.fromarray(stored), format="JPEG", exif=oriented(6), quality=95)
    found = read_photo(path)
    assert found.shape == (48, 32, 3)
    assert found[:, 20:].min() > 240
    assert found[:, :12].max() < 15


def test_nonsense_in_exif_is_overlooked(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(PIXELS), exif=oriented(77))
    assert np.array_equal(read_photo(path), PIXELS)


def test_grey(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(PIXELS[..., 0]))
    assert np.array_equal(read_photo(path), np.repeat(PIXELS[..., :1], 3, axis=2))


def test_one_bit(tmp_path):
    bits = np.array([[True, False], [False, True]])
    path = saved(tmp_path / "a.png", Image.fromarray(bits))
    assert mode_of(path) == "1"
    assert np.array_equal(read_gray(path), bits * 255)


def test_sixteen_bit_grey_is_scaled_not_cut_off(tmp_path):
    levels = np.array([[0, 128, 257], [32768, 65407, 65535]], np.uint16)
    path = saved(tmp_path / "a.png", Image.fromarray(levels))
    assert mode_of(path) == "I;16"
    # 65535 / 255 = 257 codes of 16 bits go to one of 8.
    assert read_gray(path).tolist() == [[0, 0, 1], [128, 255, 255]]
    assert np.array_equal(read_photo(path)[..., 2], read_gray(path))


def test_a_mask_of_0_and_255_in_a_wide_type(tmp_path):
    codes = np.array([[0, 255], [255, 0]])
    for name, image in {
        "a.png": Image.fromarray(codes.astype(np.uint16)),
        "a.tif": Image.fromarray(codes.astype(np.int32)),
        "b.tif": Image.fromarray(codes.astype(np.float32)),
        "c.tif": Image.fromarray((codes / 255).astype(np.float32)),
    }.items():
        assert np.array_equal(read_gray(saved(tmp_path / name, image)), codes), name


def test_floats_that_are_no_numbers_read_as_black(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(np.array([[np.nan, 0.5, 1.0]], np.float32)))
    assert read_gray(path).tolist() == [[0, 128, 255]]


def test_transparency_is_laid_over_the_ground(tmp_path):
    pixels = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [0, 0, 0, 51]]], np.uint8)  # 51 = a fifth
    path = saved(tmp_path / "a.png", Image.fromarray(pixels))
    assert read_photo(path).tolist() == [[[200, 100, 0], [255, 255, 255], [204, 204, 204]]]
    assert read_photo(path, ground=(10, 20, 30)).tolist() == [[[200, 100, 0], [10, 20, 30], [8, 16, 24]]]


def test_grey_with_transparency(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(np.array([[[9, 255], [9, 0]]], np.uint8)))
    assert read_photo(path)[0, :, 0].tolist() == [9, 255]


def palette_image():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    return image


def test_a_palette(tmp_path):
    path = saved(tmp_path / "a.png", palette_image())
    assert read_photo(path).tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_a_palette_with_a_transparent_colour(tmp_path, name):
    path = saved(tmp_path / name, palette_image(), transparency=1)
    assert read_photo(path).tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]


def test_a_transparent_colour_without_palette(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(PIXELS), transparency=tuple(int(v) for v in PIXELS[0, 0]))
    found = read_photo(path)
    assert found[0, 0].tolist() == [255, 255, 255]
    assert np.array_equal(found[1:], PIXELS[1:])


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk(tmp_path, name):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0] = 255  # all cyan: no red
    path = saved(tmp_path / name, Image.frombytes("CMYK", (16, 16), ink))
    red, green, blue = read_photo(path)[8, 8].astype(int)
    assert red < 10
    assert min(green, blue) > 245


def test_animations_give_their_first_frame(tmp_path):
    first, second = Image.new("RGB", (4, 4), (255, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 255))
    path = saved(tmp_path / "a.gif", first, save_all=True, append_images=[second])
    assert read_photo(path)[0, 0].tolist() == [255, 0, 0]


def jpeg() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_truncated_jpeg_is_named(tmp_path):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(jpeg()[:2000])
    text = refusal(read_photo, path)
    assert text.startswith(f"cannot read the photo {path} (")
    assert text.endswith("); it is cut off or damaged: copy or download it again")


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0", b"II*\x00"]
)
@pytest.mark.parametrize("read", [read_photo, read_gray])
def test_what_is_no_picture_is_named(tmp_path, content, read):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert f"cannot read the photo {path} (" in refusal(read, path)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "GIF", "WEBP", "AVIF", "JPEG"])
def test_damaged_pictures_are_refused_or_read_but_never_break_the_program(tmp_path, form):
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    buffer = io.BytesIO()
    Image.fromarray(np.tile(PIXELS, (4, 4, 1))).save(buffer, form, exif=oriented(6))
    rng = np.random.default_rng(1)
    path = tmp_path / f"a.{form.lower()}"
    refusals = []
    for _ in range(80):
        damaged = bytearray(buffer.getvalue())
        for position in rng.integers(0, min(len(damaged), 400), 3):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert read_photo(path).dtype == np.uint8
        except UserError as error:
            refusals.append(str(error))
    assert refusals
    assert all(str(path) in text for text in refusals)


def test_lab_colours(tmp_path):
    white = np.full((4, 4, 3), (255, 0, 0), np.uint8)  # L full, a and b in the middle
    path = saved(tmp_path / "a.tif", Image.frombytes("LAB", (4, 4), white.tobytes()))
    assert mode_of(path) == "LAB"
    assert read_photo(path).min() >= 250


def test_a_photo_that_is_not_there(tmp_path):
    assert refusal(read_photo, tmp_path / "a.jpg") == f"no photo at {tmp_path / 'a.jpg'}; check the path"
    assert "cannot read the photo" in refusal(read_photo, tmp_path)


def test_photos_are_found_below_the_folder_in_order(tmp_path):
    names = ["b.JPG", "a/z.Png", "a/y.jpeg", "c.WEBP", "d.tiff", "e/f/g.bmp"]
    for name in [*names, "notes.txt", "a/list.csv", "jpg", ".hidden.jpg", "a/._y.jpeg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    assert [str(path.relative_to(tmp_path)) for path in list_photos(tmp_path)] == sorted(names)


def test_upper_case_endings_are_read(tmp_path):
    path = saved(tmp_path / "A.PNG", Image.fromarray(PIXELS))
    assert list_photos(tmp_path) == [path]
    assert np.array_equal(read_photo(path), PIXELS)


def test_folders_without_photos(tmp_path):
    assert refusal(list_photos, tmp_path).startswith(f"no photos below {tmp_path}; it should hold files ending in .jpg")
    assert refusal(list_photos, tmp_path / "none").startswith(f"no folder at {tmp_path / 'none'}; name a folder")
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert "no folder at" in refusal(list_photos, tmp_path / "a.jpg")


@pytest.mark.parametrize("ending", PHOTO_ENDINGS)
def test_every_listed_ending_can_be_written_and_read(tmp_path, ending):
    if ending == ".avif":
        pytest.importorskip("PIL._avif")
    flat = np.full((16, 16, 3), 120, np.uint8)
    write_picture(tmp_path / f"a{ending}", flat)
    assert np.abs(read_photo(tmp_path / f"a{ending}").astype(int) - 120).max() <= 3


def test_the_centre_square(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200  # the centre square, and nothing else
    write_picture(tmp_path / "w.png", wide)
    write_picture(tmp_path / "h.png", wide.transpose(1, 0, 2))
    for name in ("w.png", "h.png"):
        assert (read_square(tmp_path / name, 10) == 200).all()
        for size in (5, 20):
            found = read_square(tmp_path / name, size)
            assert found.shape == (size, size, 3)
            assert np.abs(found.astype(int) - 200).max() <= 50  # Lanczos looks a little beyond the edge


def test_a_square_of_the_right_size_stays_as_it_is(tmp_path):
    square = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    write_picture(tmp_path / "s.png", square)
    assert np.array_equal(read_square(tmp_path / "s.png", 8), square)


def test_jpegs_keep_fine_grain(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("a.jpg", "a.JPEG"):
        write_picture(tmp_path / name, noise)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "a.JPEG").read_bytes()
