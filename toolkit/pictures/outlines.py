"""Masks over pictures as outlines that show on any colour."""

import cv2
import numpy as np

_DIMMED = 0.4  # brightness that is left of the background
_THINNEST = 2  # pixels of either line
_SIDE_A_PIXEL = 120  # pixels of the picture for each pixel of a thicker line


def outlined(pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return uint8 pictures (..., H, W, 3) whose masks (..., H, W) have a white line within and a black one around.

    Whatever the colours, one of the two lines stands out. The background is dimmed, so that foreground and background,
    or a mask of everything and one of nothing, are not mistaken for each other; the foreground keeps its colours. No
    line is drawn along the picture's own edge.
    """
    masks = np.asarray(masks, bool)
    height, width = masks.shape[-2:]
    reach = 2 * max(_THINNEST, round(min(height, width) / _SIDE_A_PIXEL)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    drawn = np.where(masks[..., None], pictures, (pictures * _DIMMED).astype(np.uint8))
    for picture, mask in zip(drawn.reshape(-1, height, width, 3), masks.reshape(-1, height, width), strict=True):
        # OpenCV takes what lies beyond the edge for neither foreground nor background.
        around = cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)
        within = cv2.erode(mask.astype(np.uint8), kernel).astype(bool)
        picture[around & ~mask] = 0
        picture[mask & ~within] = 255
    return drawn
