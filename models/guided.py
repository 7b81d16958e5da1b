"""The guided filter (He, Sun, Tang: "Guided image filtering", ECCV 2010) as a smoothing that follows a picture's edges.

For a guide I that stays, the filter is a linear map of what is smoothed,

    W = sum over windows k of a_k a_k^T / |a_k| * (1 + (I - m_k)^T (C_k + epsilon)^-1 (I - m_k)),

with a_k the weights of a window's pixels, m_k and C_k the guide's mean and covariance in it: a sum of squares, so it is
symmetric and never uphill. Wide windows stand on a grid of a quarter of their width, see windows.Grid (the fast guided
filter: He & Sun, 2015).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from models.preconditioner import Scales
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
        weights = self._sums(torch.ones_like(guide[:1, :1]))
        self._share = 1 / (weights * self._across**2)  # of a window in the average of those around a pixel
        self._mean = self._sums(guide) / weights
        square = (self._sums((guide[:, :, None] * guide[:, None]).flatten(1, 2)) / weights).unflatten(1, (3, 3))
        covariance = square - self._mean[:, :, None] * self._mean[:, None]
        regular = covariance + epsilon * torch.eye(3, device=guide.device).view(1, 3, 3, 1, 1)
        self._inverse = torch.linalg.inv(regular.permute(0, 3, 4, 1, 2)).permute(0, 3, 4, 1, 2).contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        return applied(self.coefficients(with_products(x, self.guide)), self.guide)

    def affine(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is smoothed as a function of the guide: slopes (B, C, 3, H, W) and offsets (B, C, H, W)."""
        both = self.coefficients(with_products(x, self.guide))
        return both[:, :, 1:], both[:, :, 0]

    def coefficients(self, products: Tensor) -> Tensor:
        """Offset and slopes, (B, C, 4, H, W), of what `with_products` gave."""
        means = self._sums(products.flatten(1, 2)).mul_(self._share).unflatten(1, products.shape[1:3])
        mean, guide = means[:, :, :1], self._mean[:, None]
        covariance = means[:, :, 1:].addcmul_(mean, guide, value=-1)
        both = torch.empty_like(means)
        slope = torch.mul(self._inverse[:, None, 0], covariance[:, :, :1], out=both[:, :, 1:])
        for colour in (1, 2):
            slope.addcmul_(self._inverse[:, None, colour], covariance[:, :, colour : colour + 1])
        torch.sub(mean, (slope * guide).sum(2, keepdim=True), out=both[:, :, :1])
        return self._grid.enlarged(within(both.flatten(1, 2), self._across)).unflatten(1, products.shape[1:3])

    def _sums(self, x: Tensor) -> Tensor:
        """Over each window's part of the picture, one place for each window that touches it."""
        return touching(self._grid.reduced(x), self._across)


class GuidedScales:
    """Guided filters of several windows over one guide. What they share is reckoned once."""

    def __init__(self, guide: Tensor, windows: Iterable[int], epsilon: float) -> None:
        self._guide = guide
        self._filters = {window: GuidedFilter(guide, window, epsilon) for window in windows}

    def __call__(self, x: Tensor, scales: Scales) -> Tensor:
        """The sum over scales of weight * smoothed x, (B, C, H, W)."""
        products = with_products(x, self._guide)
        total = torch.zeros_like(products)
        for window, weight in scales:
            total.add_(self._filters[window].coefficients(products), alpha=weight)
        return applied(total, self._guide)


def with_products(x: Tensor, guide: Tensor) -> Tensor:
    """(B, C, H, W) -> x and its products with the guide, (B, C, 4, H, W)."""
    return torch.cat([x[:, :, None], x[:, :, None] * guide[:, None]], 2)


def applied(coefficients: Tensor, guide: Tensor) -> Tensor:
    """Offset and slopes (B, C, 4, H, W) at the guide's pixels: (B, C, H, W)."""
    return coefficients[:, :, 0] + (coefficients[:, :, 1:] * guide[:, None]).sum(2)
