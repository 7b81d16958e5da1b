"""Any size: carry a change that was computed on a small copy over to the full-size picture, keeping all its detail.

The change is explained, in small windows, by a local affine transform of the source (a guided filter with the source as
its guide: He & Sun, "Fast Guided Filter", 2015, here with a colour guide and regularised towards the identity). Its
coefficients are smooth, so they enlarge well, and applied to the full-size picture they follow its every edge. What the
transform cannot express, which is new texture, is enlarged and added: all of it, or its luma alone where colours would
mottle.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.config import Upsampling
from models.detail import kept
from models.guided import GuidedFilter

REFERENCE = 128  # short side, in pixels, that the radius of Upsampling is meant for
TILE = 128, 256  # rows and columns of the full size worked on at a time: bounds the memory, changes nothing else


def enlargement(size: int, enlarged: int) -> Tensor:
    """The (enlarged, size) matrix of bicubic enlargement along one axis.

    As a matrix product it is twice as fast here as interpolating, and some of its rows make an exact tile.
    """
    eye = torch.eye(size)[None, None]
    return F.interpolate(eye, (enlarged, size), mode="bicubic", antialias=enlarged < size)[0, 0]


def _pieces(matrix: Tensor, length: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """An enlarged axis in pieces: which part of it, made of which part of the small axis, by which matrix."""
    for start in range(0, len(matrix), length):
        piece = matrix[start : start + length]
        used = piece.any(0).nonzero()  # a few of the small axis; all others would be multiplied by 0
        needed = slice(int(used[0]), int(used[-1]) + 1)
        yield slice(start, start + len(piece)), needed, piece[:, needed]


def guided_upsample(
    picture: NDArray[np.uint8], source: Tensor, result: Tensor, upsampling: Upsampling, likeness: float = 0.0
) -> NDArray[np.uint8]:
    """Give `picture` the change that leads from `source`, its small copy, to `result`.

    picture: (H, W, 3) uint8. source, result: (1, 3, h, w) floats in [-1, 1], the same field of view at any scale.
    likeness: see Schedule.
    Returns (H, W, 3) uint8. Works in tiles, each exactly what the whole picture would give there.
    """
    before = source.float().cpu()
    change = result.float().cpu() - before
    radius = max(1, round(upsampling.radius * min(source.shape[-2:]) / REFERENCE))
    affine = GuidedFilter(before, 2 * radius + 1, upsampling.epsilon).affine(change)
    slopes, offsets = (part[0] for part in affine)  # (out, in, h, w) and (out, h, w)
    explained = torch.einsum("oihw,ihw->ohw", slopes, before[0]) + offsets
    remainder = change[0] - explained
    gray = remainder.mean(0, keepdim=True)
    remainder = upsampling.luma * gray + upsampling.chroma * (remainder - gray)
    # Where the picture has become another one, the photo's own detail would lie over it like a second exposure.
    own = kept(before, result.float().cpu(), likeness)[0] * (torch.eye(3)[..., None, None] + slopes)
    added = before[0] + explained + remainder - torch.einsum("oihw,ihw->ohw", own, before[0])
    # For levels of 0..255 in place of [-1, 1]. Enlarging is linear, so all that is added goes together.
    added = 127.5 * (added + 1 - own.sum(1))
    fields = torch.cat([own.flatten(0, 1), added])  # (12, h, w)
    changed = picture.copy()
    rows, columns = enlargement(fields.shape[1], len(picture)), enlargement(fields.shape[2], picture.shape[1])
    for down, used_rows, enlarge_down in _pieces(rows, TILE[0]):
        band = enlarge_down @ fields[:, used_rows]
        for across, used_columns, enlarge_across in _pieces(columns, TILE[1]):
            local = band[..., used_columns] @ enlarge_across.T
            tile = torch.from_numpy(changed[down, across]).permute(2, 0, 1).float()
            moved = local[9:]
            for colour in range(3):
                moved.addcmul_(local[colour:9:3], tile[colour])
            changed[down, across] = moved.round_().clamp_(0, 255).byte().permute(1, 2, 0).numpy()
    return changed
