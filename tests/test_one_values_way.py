"""One value's way through the house: a direction set from its file to masks, seen while it is walked."""

import sys
from pathlib import Path

import torch

from cli.inputs.mask_source import open_source
from segmentation.synthesis.source import MaskSource
from segmentation.synthesis.synthesizer import MaskSynthesizer, latent_source
from segmentation.unet.settings import SegmentationSettings
from toolkit.directions import Choice, DirectionSet
from toolkit.files.shipped import shipped_file
from toolkit.shifts import Shift

ROOT = Path(__file__).resolve().parent.parent
ROOMS = tuple(str(ROOT / name) for name in ("cli", "discovery", "generators", "segmentation", "toolkit"))
LATENT_DIM = 64


def is_the_value(held: object) -> bool:
    """Whether an argument is the set or what became of it: the shift, the vector, what makes masks, masks."""
    if isinstance(held, torch.Tensor):
        return (held.dtype == torch.bool and held.dim() == 3) or held.shape == (LATENT_DIM,)
    return isinstance(held, DirectionSet | Choice | Shift | MaskSource | MaskSynthesizer)


def masks_of_the_shipped_set() -> None:
    settings = SegmentationSettings(batch=2, mask_rule="mean_thr")
    source = open_source(shipped_file("directions") / "flowers64.safetensors", None, None, None, None, None, None)
    latents = latent_source(source.generator, settings, source.latents)
    MaskSynthesizer(source.generator, source.shift, settings, latents).batch(2)


def way(walk) -> list[str]:
    """Return the files whose functions are passed the value, in order, each stay once."""
    files: list[str] = []

    def seen(frame, event, _argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ROOMS):
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            file = Path(code.co_filename).relative_to(ROOT).as_posix()
            if any(is_the_value(frame.f_locals.get(name)) for name in names) and files[-1:] != [file]:
                files.append(file)

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        walk()
    finally:
        sys.setprofile(before)
    return files


def test_a_direction_set_reaches_its_masks_without_running_back_and_forth():
    masks_of_the_shipped_set()  # whatever is imported on the way is
    files = way(masks_of_the_shipped_set)
    assert files[0] == "toolkit/directions.py"
    assert "toolkit/masks/filters.py" in files
    assert len(set(files)) <= 8, files
    assert len(files) - len(set(files)) <= 5, files  # returns to a file that it had left
