"""Masks without their small 8-connected components: mask by mask on the CPU, or a whole batch at once on the device.

Both ways take masks (B, H, W) bool and return new ones without the components of at most `ratio` times the area of the
mask's largest; an empty mask stays empty.
"""

import cv2
import numpy as np
import torch

_SHORT_LABELS = 2**16


def large_by_mask(masks: torch.Tensor, ratio: float) -> torch.Tensor:
    """Return the large components of masks (B, H, W) on the CPU, labelled one mask after the other."""
    if masks.numel() == 0:
        return masks.clone()
    pixels = np.ascontiguousarray(masks.numpy()).view(np.uint8)
    kept = pixels.copy()
    most = 1 + ((pixels.shape[1] + 1) // 2) * ((pixels.shape[2] + 1) // 2)  # labels that isolated pixels would need
    kind = cv2.CV_16U if most <= _SHORT_LABELS else cv2.CV_32S
    for mask, out in zip(pixels, kept, strict=True):
        count, labels, figures, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=kind)
        if count > 2 or (count == 2 and ratio >= 1):  # the ground and components of which one may go
            areas = figures[:, cv2.CC_STAT_AREA].astype(np.float64)
            areas[0] = 0  # the ground
            stays = (areas / areas.max() > ratio).view(np.uint8)
            np.take(stays, labels, out=out, mode="clip")  # nothing to clip, but the default copies `out`
    return torch.from_numpy(kept.view(np.bool_))


def large_by_runs(masks: torch.Tensor, ratio: float) -> torch.Tensor:
    """Return the large components of masks (B, H, W), below 2^31 pixels in all, on any device that has float64.

    Rows are cut into runs of foreground, and the runs of all masks are labelled, measured and painted again together.
    The host waits for the device once to learn how many runs there are, and once a round of `_components`.
    """
    count, height, width = masks.shape
    rows, columns = height + 1, width + 1  # an empty row above and an empty column to the right part rows and masks
    padded = masks.new_zeros(count, rows, columns)
    padded[:, 1:, :-1] = masks
    flat = padded.flatten()
    changes = torch.nonzero(flat[1:] != flat[:-1]).flatten() + 1
    starts, stops = changes.int().view(len(changes) // 2, 2).T.contiguous()
    labels = _components(_links(starts, stops, columns), most=height * ((width + 1) // 2))
    areas = torch.zeros_like(labels).scatter_add(0, labels.long(), stops - starts).index_select(0, labels)
    owner = starts.long() // (rows * columns)
    largest = areas.new_zeros(count).scatter_reduce(0, owner, areas, "amax").index_select(0, owner)
    stays = (areas.double() / largest > ratio).int()
    steps = torch.zeros_like(flat, dtype=torch.int32).scatter(0, changes, torch.stack([stays, -stays], dim=1).flatten())
    return steps.cumsum(0, dtype=torch.int32).view(count, rows, columns)[:, 1:, :-1].bool()


def _links(starts: torch.Tensor, stops: torch.Tensor, columns: int) -> torch.Tensor:
    """Return (2, R) int32: the first run above and the first below that each run touches, or the run itself.

    Runs (R,) are in order, each from its start to before its stop, in rows `columns` apart. These links suffice: of two
    runs that touch, the one that starts further right touches nothing left of the other, which so is its first.
    """
    links = []
    for row in (-columns, columns):
        first = torch.searchsorted(stops, starts + (row - 1), right=True, out_int32=True)  # a corner is enough
        beyond = torch.searchsorted(starts, stops + (row + 1), out_int32=True)
        links.append(torch.where(first < beyond, first, torch.arange(len(starts), device=starts.device)).int())
    return torch.stack(links)


def _components(links: torch.Tensor, most: int) -> torch.Tensor:
    """Return labels (R,) int32 of the graph in which each node has two `links` (2, R): its component's lowest node.

    `most` is the number of nodes that a component has at most. Each round hooks every root to the lowest root next to
    its tree, then points all nodes to their roots by pointer jumping (after Shiloach & Vishkin 1982; see Liu & Tarjan
    2019, arXiv 1812.06177). A root that two rounds leave a root has swallowed a neighbour: that one hooked to it, or
    to a lower root, to which both then hook. So the trees of an unfinished component halve in two rounds, and
    2 log2(`most`) rounds suffice; masks of noise, spirals and blobs need two to five.
    """
    labels = torch.arange(links.shape[1], dtype=torch.int32, device=links.device)
    depth = most.bit_length()  # above log2(most): a step doubled so often reaches any root
    for _ in range(2 * depth):
        here, there = labels.repeat(2), labels.index_select(0, links.flatten())
        if torch.equal(here, there):
            break
        labels = labels.scatter_reduce(0, torch.maximum(here, there).long(), torch.minimum(here, there), "amin")
        for _ in range(depth):
            labels = labels.index_select(0, labels)
    return labels
