"""The guided filter (He, Sun, Tang: "Guided image filtering", ECCV 2010) as a smoothing that follows a picture's edges.

For a guide I that stays, the filter is a linear map of what is smoothed,

    W = sum over windows k of a_k a_k^T / |a_k| * (1 + (I - m_k)^T (C_k + epsilon)^-1 (I - m_k)),

with a_k the weights of a window's pixels, m_k and C_k the guide's mean and covariance in it: a sum of squares, so it is
symmetric and never uphill. Wide windows stand on a grid of a quarter of their width, see windows.Grid (the fast guided
filter: He & Sun, 2015).
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.windows import Grid, touching, within

ACROSS = 4  # places of the grid that a wide window spans


class GuidedFilter:
    """Smooths (B, C, H, W) over windows of some `window` px along the edges of a guide (B, 3, H, W) in [-1, 1].

    epsilon: variance of the guide below which a window counts as even, and is averaged as a whole.
    """

    def __init__(self, guide: Tensor, window: int, epsilon: float) -> None:
        self.guide = guide
        spacing = max(1, window // ACROSS)
        self._grid, self._across = Grid(guide, spacing), window // spacing
        self._weights = touching(self._grid.reduced(torch.ones_like(guide[:1, :1])), self._across)
        self._mean = self._means(guide)
        square = self._means((guide[:, :, None] * guide[:, None]).flatten(1, 2)).unflatten(1, (3, 3))
        covariance = square - self._mean[:, :, None] * self._mean[:, None]
        regular = covariance + epsilon * torch.eye(3, device=guide.device).view(1, 3, 3, 1, 1)
        self._inverse = torch.linalg.inv(regular.permute(0, 3, 4, 1, 2)).permute(0, 3, 4, 1, 2).contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        slope, offset = self.affine(x)
        return (slope * self.guide[:, None]).sum(2) + offset

    def affine(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is smoothed as a function of the guide: slopes (B, C, 3, H, W) and offsets (B, C, H, W)."""
        channels = x.shape[1]
        products = (x[:, :, None] * self.guide[:, None]).flatten(1, 2)
        means = self._means(torch.cat([x, products], 1))
        mean, product = means[:, :channels], means[:, channels:].unflatten(1, (channels, 3))
        covariance = product - mean[:, :, None] * self._mean[:, None]
        slope = (self._inverse[:, None] * covariance[:, :, None]).sum(3)
        offset = mean - (slope * self._mean[:, None]).sum(2)
        both = within(torch.cat([slope.flatten(1, 2), offset], 1), self._across) / self._across**2
        both = self._grid.enlarged(both)
        return both[:, : 3 * channels].unflatten(1, (channels, 3)), both[:, 3 * channels :]

    def _means(self, x: Tensor) -> Tensor:
        """Over each window's part of the picture, one place for each window that touches it."""
        return touching(self._grid.reduced(x), self._across) / self._weights
