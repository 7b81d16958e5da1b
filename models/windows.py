"""Sums over the square windows of a picture, in time that grows with the logarithm of the window."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def touching(x: Tensor, window: int) -> Tensor:
    """(B, C, H, W) -> sums over all windows that touch the picture, zero beyond it: (B, C, H + w - 1, W + w - 1)."""
    pad = window - 1
    return within(F.pad(x, (pad, pad, pad, pad)), window)


def within(x: Tensor, window: int) -> Tensor:
    """(B, C, H, W) -> sums over all windows inside the picture: (B, C, H - w + 1, W - w + 1). The transpose of
    `touching`."""
    return _along(_along(x, window, 2), window, 3)


def _along(x: Tensor, window: int, dim: int) -> Tensor:
    """Sums over all stretches of `window` px, from those of half the length, bit by bit of the window."""
    sums, length = x, 1
    for bit in bin(window)[3:]:
        sums = _added(sums, sums, length, dim)
        length *= 2
        if bit == "1":
            sums = _added(sums, x, length, dim)
            length += 1
    return sums


def _added(sums: Tensor, x: Tensor, length: int, dim: int) -> Tensor:
    """Sums over stretches of `length` px, and what x has behind each of them."""
    count = x.shape[dim] - length
    return sums.narrow(dim, 0, count) + x.narrow(dim, length, count)


class Grid:
    """Places `spacing` px apart on pictures of one size, with a linear interpolation between them.

    like: a picture (..., H, W). `enlarged` is the transpose of `reduced`, times spacing^2.
    """

    def __init__(self, like: Tensor, spacing: int) -> None:
        self._spacing = spacing
        if spacing > 1:
            self._weights = [_linear(size, spacing).to(like) for size in like.shape[-2:]]

    def reduced(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, h, w): averages around the places, zero beyond the border."""
        if self._spacing == 1:
            return x
        down, across = self._weights
        return (down.T @ x @ across) / self._spacing**2

    def enlarged(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, H, W), linear."""
        if self._spacing == 1:
            return x
        down, across = self._weights
        return down @ x @ across.T


def _linear(size: int, spacing: int) -> Tensor:
    """(size, places): the weight of each place at each pixel. Rows sum to 1."""
    places = spacing * torch.arange((size - 1 + spacing - 1) // spacing + 1, dtype=torch.float64)
    return (1 - (torch.arange(size)[:, None] - places).abs() / spacing).clamp(min=0)
