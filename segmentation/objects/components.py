"""The 8-connected components of a mask, from its runs; numpy alone, which predicting without torch has."""

import numpy as np

from segmentation.objects.runs import Runs


def components(runs: Runs) -> tuple[np.ndarray, int]:
    """Return the component (R,) of each run, numbered from 0 by their first runs, and how many there are."""
    if not len(runs.starts):
        return np.zeros(0, np.int64), 0
    lowest = _lowest(_links(runs.starts, runs.stops, runs.shape[0] + 1))
    roots, found = np.unique(lowest, return_inverse=True)
    return found, len(roots)


def _links(starts: np.ndarray, stops: np.ndarray, column: int) -> np.ndarray:
    """Return (2, R): the first run in the column before and the first after that each run touches, or the run itself.

    These links suffice: of two runs that touch, the one that starts further down touches nothing above the other,
    which so is its first.
    """
    own = np.arange(len(starts))
    links = []
    for step in (-column, column):
        first = np.searchsorted(stops, starts + (step - 1), side="right")  # a corner is enough
        beyond = np.searchsorted(starts, stops + (step + 1))
        links.append(np.where(first < beyond, first, own))
    return np.stack(links)


def _lowest(links: np.ndarray) -> np.ndarray:
    """Return the lowest run (R,) of each run's component, of a graph in which each has two `links` (2, R).

    Each round hooks every root to the lowest root next to its tree, then points all runs to their roots by pointer
    jumping, as toolkit.masks.connected does.
    """
    labels = np.arange(links.shape[1])
    while True:
        here, there = np.tile(labels, 2), labels[links.ravel()]
        if np.array_equal(here, there):
            return labels
        labels = labels.copy()
        np.minimum.at(labels, np.maximum(here, there), np.minimum(here, there))
        while not np.array_equal(labels, labels[labels]):
            labels = labels[labels]
