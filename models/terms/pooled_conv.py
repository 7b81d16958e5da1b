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
        pooled = F.conv2d(x, F.avg_pool2d(self.weight, 2, 1, padding=1), self.bias, 2, 1)
        if width % 2:
            column = super().forward(x[..., -2:])[..., -1:]
            column = F.avg_pool2d(column[..., : height - height % 2, :], (2, 1))
            pooled = torch.cat([pooled, column], 3)
        if height % 2:
            row = super().forward(x[:, :, -2:])[:, :, -1:]
            pooled = torch.cat([pooled, F.avg_pool2d(row, (1, 2), ceil_mode=True)], 2)
        return pooled
