"""A convolution and the pooling behind it in one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PooledConv(nn.Conv2d):
    """A 3x3 convolution, then 2x2 average pooling: (B, C, H, W) -> (B, D, ceil(H / 2), ceil(W / 2)).

    The two are one 4x4 convolution of stride 2, which multiplies less than half as often. At an odd side the last row
    or column is pooled alone, as with ceil_mode.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if min(height, width) < 2:
            return F.avg_pool2d(super().forward(x), 2, ceil_mode=True)
        pooled = F.conv2d(x, self._pooling_weight(), self.bias, 2, 1)
        if width % 2:
            column = super().forward(x[..., -2:])[..., -1:]
            column = F.avg_pool2d(column[..., : height - height % 2, :], (2, 1))
            pooled = torch.cat([pooled, column], 3)
        if height % 2:
            row = super().forward(x[:, :, -2:])[:, :, -1:]
            pooled = torch.cat([pooled, F.avg_pool2d(row, (1, 2), ceil_mode=True)], 2)
        return pooled

    def _pooling_weight(self) -> Tensor:
        """(D, C, 4, 4): the mean of the weight at the four places of a window."""
        weight = self.weight
        spread = weight.flatten(0, 1).flatten(1) @ _SPREAD.to(weight)
        return spread.view(*weight.shape[:2], 4, 4)


def _spread() -> Tensor:
    """(9, 16): each place of a 3x3 kernel at the four places of a 4x4 one that it comes to lie on, a quarter each."""
    points = torch.eye(9).view(9, 1, 3, 3)
    return sum(F.pad(points, (x, 1 - x, y, 1 - y)) for x in (0, 1) for y in (0, 1)).view(9, 16) / 4  # type: ignore[union-attr]


_SPREAD = _spread()
