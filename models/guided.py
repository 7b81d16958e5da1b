"""The guided filter (He, Sun, Tang: "Guided image filtering", ECCV 2010) as a smoothing that follows a picture's edges.

For a guide I that stays, the filter is a linear map of what is smoothed,

    W = sum over windows k of 1 / (|k| N) * (1 1^T + (I - m_k)^T (C_k + epsilon)^-1 (I - m_k)),

with m_k and C_k the guide's mean and covariance in window k: a sum of squares, so it is symmetric and positive.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.windows import touching, within


class GuidedFilter:
    """Smooths (B, C, H, W) over window x window squares along the edges of a guide (B, 3, H, W) in [-1, 1].

    epsilon: variance of the guide below which a window counts as even, and is averaged as a whole.
    """

    def __init__(self, guide: Tensor, window: int, epsilon: float) -> None:
        self.guide, self.window = guide, window
        self._count = touching(torch.ones_like(guide[:1, :1]), window)
        self._mean = self._means(guide)
        square = self._means((guide[:, :, None] * guide[:, None]).flatten(1, 2)).unflatten(1, (3, 3))
        covariance = square - self._mean[:, :, None] * self._mean[:, None]
        regular = covariance + epsilon * torch.eye(3, device=guide.device).view(1, 3, 3, 1, 1)
        self._inverse = torch.linalg.inv(regular.permute(0, 3, 4, 1, 2)).permute(0, 3, 4, 1, 2)

    def __call__(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        products = (x[:, :, None] * self.guide[:, None]).flatten(1, 2)  # (B, C * 3, H, W)
        means = self._means(torch.cat([x, products], 1))
        mean, product = means[:, :channels], means[:, channels:].unflatten(1, (channels, 3))
        covariance = product - mean[:, :, None] * self._mean[:, None]
        slope = torch.einsum("bijhw,bcjhw->bcihw", self._inverse, covariance)
        offset = mean - torch.einsum("bcihw,bihw->bchw", slope, self._mean)
        back = within(torch.cat([slope.flatten(1, 2), offset], 1), self.window) / self.window**2
        slope, offset = back[:, : 3 * channels].unflatten(1, (channels, 3)), back[:, 3 * channels :]
        return torch.einsum("bcihw,bihw->bchw", slope, self.guide) + offset

    def _means(self, x: Tensor) -> Tensor:
        """Over each window's part of the picture, one place for each window that touches it."""
        return touching(x, self.window) / self._count
