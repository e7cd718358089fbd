"""Time of predicting photos of 300 x 400 pixels against the published wrapper written out plainly, in one run.

    OMP_NUM_THREADS=1 python -m benchmarks.photos [--rounds 5] [--count 32]

The network of the published width 64 at 128 pixels, with drawn weights, and the shipped flowers64: pixels to
probability, then the whole command's work: read the JPEG, predict, write mask, soft map and overlay. "original" is the
8-bit protocol that the plain way follows, "fp32" and "bf16" the toolkit's own. The ways take turns; prints milliseconds
a photo (median of the rounds, after one to warm up), photos a second and ratios. Threads write pictures: bind the
process to one core (taskset) to count the work alone.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import record
from benchmarks.timing import Times, Work, by_turns, figures, in_a_line
from segmentation.predict.photos import Pictures, predict_photos
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.pictures.outlines import overlay
from toolkit.pictures.photos import read_photo

KINDS = ("mask", "soft", "overlay")
SHAPES = [(300, 400)] * 3 + [(400, 300)]


class PlainWrapper:
    """The published inference wrapper from its specification: photo by photo, float32, batch norm, 8-bit resizing."""

    def __init__(self, network: UNet, size: int) -> None:
        self.network = network
        self.size = size

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Return the foreground probability (H, W) of a photo uint8 (H, W, 3)."""
        height, width = photo.shape[:2]
        image = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255 * 2 - 1
        shorter = min(height, width)
        small = (int(self.size * height / shorter), int(self.size * width / shorter))
        with torch.no_grad():
            logits = self.network(_resized((image[0] + 1) / 2, small)[None] * 2 - 1)
        probability = 1 - logits.softmax(dim=1)[:, 0]
        return (probability if small == (height, width) else _resized(probability, (height, width)))[0].numpy()


def _resized(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return values (C, H, W) in [0, 1] resized by Pillow as 8-bit pictures."""
    levels = (values * 255).to(torch.uint8).movedim(0, -1).squeeze(-1).numpy()
    resized = np.array(Image.fromarray(levels).resize(size[::-1], Image.Resampling.BILINEAR))
    return torch.from_numpy(resized).view(*size, -1).movedim(-1, 0).float() / 255


def write_plainly(wrapper: PlainWrapper, targets: dict[Path, Path]) -> None:
    """Read, predict and write photo after photo, as Pillow does it unasked."""
    for path, target in targets.items():
        photo = np.array(Image.open(path).convert("RGB"))
        soft = wrapper(photo)
        mask = soft >= 0.5
        pictures = (mask.astype(np.uint8) * 255, (soft * 255).round().astype(np.uint8), overlay(photo, mask))
        for kind, pixels in zip(KINDS, pictures, strict=True):
            Image.fromarray(pixels).save(f"{target}_{kind}.png")


def network_works(segmenter: Segmenter, plain: PlainWrapper, paths: list[Path]) -> dict[str, Work]:
    photos = [read_photo(path) for path in paths]

    def quick(protocol: str, bf16: bool) -> Work:
        return lambda: list(segmenter.predictions(enumerate(photos), protocol, bf16=bf16))

    return {
        "plain": lambda: [plain(photo) for photo in photos],
        "original": quick("original", False),
        "fp32": quick("float", False),
        "bf16": quick("float", True),
    }


def command_works(segmenter: Segmenter, plain: PlainWrapper, paths: list[Path]) -> dict[str, Work]:
    targets = {path: path.with_suffix("") for path in paths}

    def quick(bf16: bool) -> Work:
        # In one workplace, as the command has it: one for each file takes a millisecond.
        return lambda: list(predict_photos(segmenter, targets, Pictures(KINDS, place=paths[0].parent), bf16=bf16))

    return {"plain": lambda: write_plainly(plain, targets), "fp32": quick(False), "bf16": quick(True)}


def drawn_photos(folder: Path, count: int) -> list[Path]:
    """Write `count` JPEG photos, every fourth upright: crops of the shipped flower."""
    flower = Image.open(Path(__file__).parent.parent / "assets" / "photos" / "flower.jpg").convert("RGB")
    paths = []
    for index in range(count):
        height, width = SHAPES[index % len(SHAPES)]
        left, top = index * 7 % (flower.width // 4), index * 5 % (flower.height // 4)
        box = (left, top, left + flower.width * 3 // 4, top + flower.height * 3 // 4)
        paths.append(folder / f"{index}.jpg")
        flower.resize((width, height), Image.Resampling.BICUBIC, box=box).save(paths[-1], quality=92)
    return paths


def rows(rounds: int, count: int) -> dict[str, dict[str, Times]]:
    """Return the times of a photo of "plain", "fp32" and "bf16", by what was measured."""
    torch.manual_seed(0)
    segmenters = {"width 64, 128 px": Segmenter(UNet(), 128), "flowers64": Segmenter.load("flowers64")}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = drawn_photos(Path(folder), count)
        for name, segmenter in segmenters.items():
            network = UNet(width=segmenter.network.width)
            network.load_state_dict(segmenter.network.state_dict())
            plain = PlainWrapper(network.eval().requires_grad_(False), segmenter.image_size)
            for title, make in {"network": network_works, "predict": command_works}.items():
                took = by_turns(make(segmenter, plain, paths), rounds)
                found[f"{title}, {name}"] = {way: value.each(count) for way, value in took.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=32, help="photos")
    record.add_flag(parser)
    given = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    measured = rows(given.rounds, given.count)
    for title, found in measured.items():
        print(f"{title:<26} {in_a_line(found)}", flush=True)
    record.write(given.json, "photos", figures(measured), given.rounds)


if __name__ == "__main__":
    main()
