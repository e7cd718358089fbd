"""Charts against the original's frames, and pages one can check by eye."""

import numpy as np
import pytest
import torch
from golden_fill import fill_state_dict
from PIL import Image
from rounding import close
from toy import ToyGenerator

from discovery.charts import (
    centre_marked,
    chart_label,
    chart_page,
    frames,
    offsets,
    strip,
    walk,
    write_charts,
)
from discovery.methods.deformator.deformators import make_deformator
from generators.protocol import Latents, every_shift, rendered

MATRIX = 16  # sums of products in the exponential of a small matrix: see test_deformators.exponential


def test_frames_match_the_original(golden):
    arrays = golden("charts")
    deformator = fill_state_dict(make_deformator("ortho", 8, 8), 0)
    latents = Latents(torch.from_numpy(arrays["z"]))
    lengths = offsets(8, 5)
    close(lengths, arrays["shifts"], depth=1)
    found = frames(ToyGenerator(), latents, deformator.walks(lengths)[3])
    assert (found - torch.from_numpy(arrays["frames"]).float()).abs().max() <= 1e-3
    along_vector = frames(ToyGenerator(), latents, walk(deformator.directions(), 8, 5)[3])
    close(along_vector, found, depth=MATRIX + 1, scale=8.0)  # lengths up to 8 in front of the toy's tanh
    marked = centre_marked(frames(ToyGenerator(), latents, walk(torch.eye(8), 8, 2)[3]))
    assert (marked - torch.from_numpy(arrays["frames_border"]).float()).abs().max() <= 1e-3


def test_strip_is_bytes_with_the_unmoved_image_in_the_middle():
    generator = ToyGenerator()
    latents = Latents(torch.zeros(1, 8))
    plain = strip(generator, latents, walk(torch.eye(8), 6, 3)[2])
    marked = strip(generator, latents, walk(torch.eye(8), 6, 3)[2], mark_centre=True)
    assert plain.shape == (7, 32, 32, 3)
    assert plain.dtype == np.uint8
    assert (plain[3] == 128).all()
    assert (marked[3, :3] == (255, 0, 0)).all()
    assert (marked[3, 3:-3, 3:-3] == 128).all()
    assert np.array_equal(np.delete(marked, 3, axis=0), np.delete(plain, 3, axis=0))


def test_offsets_are_even_with_an_exact_zero():
    assert offsets(6.0, 3).tolist() == [-6, -4, -2, 0, 2, 4, 6]
    assert offsets(0.7, 7)[7] == 0


def test_page_puts_every_frame_in_its_place():
    generator = ToyGenerator(image_size=16)
    latents = Latents(torch.randn(2, 8))
    vectors = torch.eye(8)[:3]
    page = chart_page(generator, latents, walk(vectors, 4, 1), ["0", "1 zoom", "2"], mark_centre=False)
    assert page.dtype == np.uint8
    height, width, _ = page.shape
    assert height == 8 + 3 * 16 + 2 * 2 + 8
    frames_left = width - 8 - (2 * (3 * 16 + 2) + 8)
    for row in range(3):
        top = 8 + row * 18
        assert (page[top : top + 16, :frames_left] < 128).any()  # a text is there
        for which in range(2):
            for frame in range(3):
                left = frames_left + which * 58 + frame * 17
                expected = strip(generator, latents[which : which + 1], walk(vectors[row : row + 1], 4, 1)[0])
                assert np.array_equal(page[top : top + 16, left : left + 16], expected[frame])


def test_large_frames_are_shrunk_and_the_centre_is_marked():
    generator = ToyGenerator(image_size=64)
    page = chart_page(generator, Latents(torch.zeros(1, 8)), walk(torch.eye(8)[:1], 4, 1), ["0"], frame_side=16)
    assert page.shape[0] == 16 + 16
    centre = page[8:24, -8 - 2 * 16 - 1 : -8 - 16 - 1]
    assert (centre[:3] == (255, 0, 0)).all()
    assert (centre[:, -3:] == (255, 0, 0)).all()
    assert (centre[3:-3, 3:-3] == 128).all()


@pytest.mark.parametrize(("number", "names"), [(5, ["000_001", "002_003", "004_004"]), (4, ["000_001", "002_003"])])
def test_pages_hold_every_direction_the_last_one_too(tmp_path, number, names):
    vectors = torch.eye(8)[:number]
    labels = [f"direction_{i}" for i in range(number)]
    shifts = walk(vectors, 3, 1)
    paths = write_charts(tmp_path, ToyGenerator(), shifts, labels, seed=1, num_latents=2, per_page=2)
    assert [path.stem for path in paths] == names
    last = np.asarray(Image.open(paths[-1]))
    again = write_charts(tmp_path / "b", ToyGenerator(), shifts, labels, 1, 2, 2)
    assert np.array_equal(last, np.asarray(Image.open(again[-1])))
    assert len(list(tmp_path.glob("*.png"))) == len(names)


def test_labels_show_the_index_and_a_given_name():
    assert chart_label(3, "direction_3") == "3"
    assert chart_label(3, "zoom") == "3 zoom"


def test_batched_rendering_gives_each_latent_its_image_and_class():
    generator = ToyGenerator(image_size=256)  # 4 images a batch
    latents = Latents(torch.randn(3, 8), torch.tensor([0, 1, 2]))
    moved = every_shift(latents, torch.eye(8)[:2])
    assert moved.y.tolist() == [0, 1, 2, 0, 1, 2]
    assert torch.equal(moved.z[4], latents.z[1] + torch.eye(8)[1])
    parts = list(rendered(generator, moved))
    assert [(rows.start, rows.stop) for rows, _ in parts] == [(0, 3), (3, 6)]
    close(torch.cat([images for _, images in parts]), generator(moved), depth=1, scale=5.0)  # in front of the tanh
