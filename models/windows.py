"""Sums over the square windows of a picture, in time that does not grow with the window."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def touching(x: Tensor, window: int) -> Tensor:
    """(B, C, H, W) -> sums over all windows that touch the picture, zero beyond it: (B, C, H + w - 1, W + w - 1)."""
    pad = window - 1
    return within(F.pad(x, (pad, pad, pad, pad)), window)


def within(x: Tensor, window: int) -> Tensor:
    """(B, C, H, W) -> sums over all windows inside the picture: (B, C, H - w + 1, W - w + 1). The transpose of
    `touching`."""
    for dim in (2, 3):
        total = F.pad(x.cumsum(dim), (0, 0, 1, 0) if dim == 2 else (1, 0))
        x = total.narrow(dim, window, total.shape[dim] - window) - total.narrow(dim, 0, total.shape[dim] - window)
    return x
