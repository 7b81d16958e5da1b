"""Any size: bend the full-size picture by the flow that a chain has found on its small copy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from translate.detail import enlargement

BAND = 128  # rows of the full size worked on at a time: bounds the memory, changes nothing else


def bend(picture: NDArray[np.uint8], flow: Tensor) -> NDArray[np.uint8]:
    """As models.shape.warped, for a picture (H, W, 3) uint8 of any size and a flow (1, 2, h, w), which is enlarged.

    Takes some 30 bytes a pixel at worst, where a band is made of rows from all over the picture, and a third of that
    for flows as chains find them.
    """
    height, width = picture.shape[:2]
    looks = flow[0].float().cpu() * (min(height, width) / 2)  # in pixels, across and down
    rows, columns = enlargement(looks.shape[1], height), enlargement(looks.shape[2], width)
    bent = np.empty_like(picture)
    for top in range(0, height, BAND):
        band = rows[top : top + BAND]
        across, down = band @ looks @ columns.T
        across = _inside(across + torch.arange(width), width)
        down = _inside(down + torch.arange(top, top + len(band))[:, None], height)
        first, last = int(down.min()), int(down.max()) + 1  # all rows that the band looks at
        looked_at = torch.from_numpy(picture[first : last + 1].astype(np.float32)).permute(2, 0, 1)[None]
        # To the sampler, the middles of the first and the last pixel are -1 and 1.
        places = torch.stack([across / max(1, width - 1), (down - first) / max(1, looked_at.shape[2] - 1)], -1) * 2 - 1
        made = F.grid_sample(looked_at, places[None], mode="bilinear", padding_mode="border", align_corners=True)
        bent[top : top + len(band)] = made[0].round_().byte().permute(1, 2, 0).numpy()
    return bent


def _inside(places: Tensor, side: int) -> Tensor:
    """Places along an axis of `side` pixels, those beyond its ends reflected there as often as it takes."""
    turned = (places + 0.5).remainder(2 * side)
    return (torch.minimum(turned, 2 * side - turned) - 0.5).clamp(0, side - 1)
