"""The window of a photo that a chain works in, for models whose training pictures are framed alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.framing import SIDE, Framing

LOOKS = 8  # each through the window that the one before found
AS_IT_IS = 0.4  # a square photo whose frame lies no farther off, and is no smaller than e^-0.4 of it, is left whole;
TOO_CLOSE = 0.12  # unless the frame is larger by e^0.12: then it lacks what training pictures show around the thing
MARGIN = 1.1  # around a frame within the photo, for what stands out from it, such as ears
SMALLEST, LARGEST = 0.25, 1.4  # side of a window, of the photo's short side
BAND = 256  # rows that are blended at a time
FADE = 0.06  # share of the window over which the change fades at an edge within the photo


@dataclass(frozen=True)
class Window:
    """A square part of a photo, in pixels of one with sides `width` and `height`. It may reach beyond the photo."""

    left: float
    top: float
    side: float
    width: int
    height: int

    def cut(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of a copy of the photo, (H, W, 3) of any size; beyond the edges it is mirrored."""
        left, top, side = self._pixels(picture.shape[1])
        bottom, right = top + side - picture.shape[0], left + side - picture.shape[1]
        pads = ((max(0, -top), max(0, bottom)), (max(0, -left), max(0, right)), (0, 0))
        inside = picture[_within(top, side, picture.shape[0]), _within(left, side, picture.shape[1])]
        return np.pad(inside, pads, mode="symmetric") if any(map(any, pads)) else inside

    def put(self, picture: NDArray[np.uint8], part: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of the picture with a changed part; the change fades towards edges of the window in the photo."""
        left, top, side = self._pixels(picture.shape[1])
        rows, columns = _within(top, side, picture.shape[0]), _within(left, side, picture.shape[1])
        down, across = _fading(top, side, picture.shape[0]), _fading(left, side, picture.shape[1])
        result = picture.copy()
        for first in range(rows.start, rows.stop, BAND):  # the floats of 24 megapixels would take .4 GB
            band = slice(first, min(first + BAND, rows.stop))
            share = np.minimum.outer(down[band.start - rows.start : band.stop - rows.start], across)[..., None]
            before = picture[band, columns]
            after = part[band.start - top : band.stop - top, columns.start - left : columns.stop - left]
            result[band, columns] = np.rint(before + share * (after.astype(np.float32) - before)).astype(np.uint8)
        return result

    def spread(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map over the window, (s, s), as one over the photo, 0 outside."""
        scale = len(found) / self.side
        whole = np.zeros((max(1, round(self.height * scale)), max(1, round(self.width * scale))), np.float32)
        left, top = round(self.left * scale), round(self.top * scale)
        rows, columns = _within(top, len(found), len(whole)), _within(left, len(found), whole.shape[1])
        whole[rows, columns] = found[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        return whole

    def _pixels(self, width: int) -> tuple[int, int, int]:
        scale = width / self.width
        return round(self.left * scale), round(self.top * scale), max(1, round(self.side * scale))


def find_window(framing: Framing, rgb: Image.Image) -> Window | None:
    """Where the thing lies that the model changes; None for a photo that is framed as the training pictures are."""
    short = min(rgb.size)
    small = rgb.copy()
    small.thumbnail((max(1, round(2 * SIDE * rgb.width / short)), max(1, round(2 * SIDE * rgb.height / short))))
    pixels = np.asarray(small)
    half, x, y = short / 2, rgb.width / 2, rgb.height / 2
    for _ in range(LOOKS):
        seen = np.array(Window(x - half, y - half, 2 * half, *rgb.size).cut(pixels))
        picture = torch.from_numpy(seen).permute(2, 0, 1)[None].float() / 127.5 - 1
        right, down, zoom = framing.offsets(picture.to(framing.get_buffer("bias").device))[0].tolist()
        x, y = min(max(x + right * half, 0), rgb.width), min(max(y + down * half, 0), rgb.height)
        half = min(max(half * float(np.exp(zoom)), SMALLEST * short / 2), LARGEST * short / 2)
    size = float(np.log(2 * half / short))
    off = max(abs(2 * x / short - 1), abs(2 * y / short - 1), -size)
    if rgb.width == rgb.height and off < AS_IT_IS and size < TOO_CLOSE:
        return None
    half = max(half, min(MARGIN * half, short / 2))
    return Window(x - half, y - half, 2 * half, *rgb.size)


def _within(start: int, side: int, length: int) -> slice:
    """What of one axis of the window lies in the photo."""
    return slice(max(0, start), min(length, start + side))


def _fading(start: int, side: int, length: int) -> NDArray[np.float32]:
    """Of each pixel of one axis of the window that lies in the photo: 1, but near edges that lie in the photo."""
    inside = _within(start, side, length)
    places = np.arange(inside.start, inside.stop) - start + 0.5
    share = np.ones(len(places), np.float32)
    if start > 0:
        share = np.minimum(share, places / (FADE * side))
    if start + side < length:
        share = np.minimum(share, (side - places) / (FADE * side))
    return (share * share * (3 - 2 * share)).astype(np.float32)
