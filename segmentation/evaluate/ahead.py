"""Pictures read and predicted ahead of what is measured: read by a thread, those of one shape predicted together."""

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np

from segmentation.evaluate.pairs import Pair
from segmentation.mask_reading.annotations import Masks
from segmentation.mask_reading.reading import Truth
from segmentation.predict.windows import reading_ahead

Keyed = tuple[tuple[Pair, Truth], np.ndarray]  # a picture (H, W, 3) with what it is to be compared with
Predicted = tuple[tuple[Pair, Truth], np.ndarray, np.ndarray]  # and its probability (H, W)
Many = Callable[[Iterator[Keyed]], Iterator[Predicted]]


def one_by_one(predict: Callable[[np.ndarray], np.ndarray]) -> Many:
    """Return what predicts many pictures by a function of one."""

    def many(pictures: Iterator[Keyed]) -> Iterator[Predicted]:
        for found in pictures:
            yield *found, predict(found[1])
            del found

    return many


def predicted_ahead(
    pairs: Sequence[Pair], read: Callable[[Path], np.ndarray], masks: Masks, many: Many
) -> Generator[Predicted, None, None]:
    """Yield pair and truth, picture, and probability of each pair in order; to be closed where it is left early.

    UserError for what cannot be read, once it is needed.
    """

    def keyed(pair: Pair) -> Keyed:
        picture = read(pair.image)
        return (pair, masks.truth(pair.mask, pair.image, (picture.shape[0], picture.shape[1]))), picture

    with reading_ahead(pairs, keyed) as (pictures, done):
        for found in many(pictures):
            size = found[1].shape
            yield found
            del found
            done(size)
