"""Pictures of an evaluation's cases."""

from types import SimpleNamespace

import numpy as np

from segmentation.evaluate.cases import _case_row


def test_a_strip_is_squeezed_into_its_row():
    mask = np.zeros((1, 20_000), bool)
    picture, probability = np.zeros((1, 20_000, 3), np.uint8), np.zeros((1, 20_000), np.float32)
    measured = (picture, probability, SimpleNamespace(mask=mask, ignored=None))
    settings = SimpleNamespace(threshold=0.5, stretch=False)
    row = _case_row(SimpleNamespace(measured=lambda pair: measured, settings=settings), None, 16)
    assert row.shape[1] < 4 * 8 * 16 + 32
