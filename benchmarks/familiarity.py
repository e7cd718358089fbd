"""Statistics of training photos made anew, and how many photos of other folders look unlike them: no mask is read.

    python -m benchmarks.familiarity SEGMENTER TRAINING_PHOTOS --out FILE [--look-at FOLDER ...] [--json FILE]

The segmenter's weights stay; `--out` gets them with the new statistics. Of each folder the share of photos is printed
that are unlike (segmentation.predict.unlike), as they are and cut to other shapes, which should change little.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks import record
from segmentation.predict.aspects import cut_to
from segmentation.predict.segmenter import Segmenter
from segmentation.predict.unlike import is_unlike
from toolkit.files.artefacts import load_artefact
from toolkit.files.shipped import file_named
from toolkit.pictures.photos import list_photos, read_photo
from toolkit.screen import watch_of


def unlike_share(segmenter: Segmenter, photos: list[np.ndarray]) -> float:
    """Return the share of photos that look unlike the training photos."""
    found = segmenter.judged_predictions(enumerate(photos))
    return float(np.mean([familiarity is not None and is_unlike(familiarity) for *_, familiarity in found]))


def stored_in_half(name: str) -> bool:
    """Return whether a segmenter's file holds its convolutions in 16 bits."""
    tensors, _ = load_artefact(file_named(name, "segmenters", "segmenter"), "segmenter")
    return any(tensor.element_size() == 2 for tensor in tensors.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("segmenter")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--look-at", type=Path, nargs="*", default=[])
    record.add_flag(parser)
    given = parser.parse_args()
    segmenter = Segmenter.load(given.segmenter)
    if given.out is not None:
        half = stored_in_half(given.segmenter)
        segmenter = segmenter.familiar_with([read_photo(path) for path in list_photos(given.photos)], watch_of(True))
        segmenter.save(given.out, half)
    rows: record.Rows = {}
    for folder in given.look_at:
        photos = [read_photo(path) for path in list_photos(folder)]
        shares = {"as they are": unlike_share(segmenter, photos)}
        for name, aspect in (("4:3", 4 / 3), ("2:3", 2 / 3), ("7:5", 7 / 5)):
            shares[name] = unlike_share(segmenter, [np.ascontiguousarray(cut_to(photo, aspect)) for photo in photos])
        print(folder, ", ".join(f"{name} {share:.1%}" for name, share in shares.items()), flush=True)
        rows[str(folder)] = {name: {"unlike": [share]} for name, share in shares.items()}
    record.write(given.json, "familiarity", rows)


if __name__ == "__main__":
    main()
