"""Smooth growth: how a finer resolution enters the network without disturbing what it has learned.

`Expand(x) = beta * Primal(x) + (1 - beta) * Fade(x)` of CF-EBM (Zhao, Xie, Li, ICLR 2021): Primal is the new
resolution's own colour layer and block, Fade is the coarser resolution's colour layer on the pooled picture, which
is the way the coarser model has always seen it. At beta = 0 the grown network equals the coarser one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def silu(x: Tensor) -> Tensor:
    """SiLU, scaled so that it keeps the variance of normal inputs (Karras et al., CVPR 2024)."""
    return F.silu(x) / 0.596


class Block(nn.Module):
    """Residual block that halves the resolution: (B, C, R, R) -> (B, D, R/2, R/2)."""

    def __init__(self, channels: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels_out, 3, padding=1)
        self.skip = nn.Conv2d(channels, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = silu(F.avg_pool2d(self.conv2(silu(self.conv1(x))), 2))
        # Pool before the 1x1 convolution: the two commute, and this order costs a quarter.
        return (h + self.skip(F.avg_pool2d(x, 2))) / math.sqrt(2)


class Expand(nn.Module):
    """The entrance of one resolution: a colour layer and the block below it."""

    def __init__(self, channels: int, channels_out: int) -> None:
        super().__init__()
        self.colour = nn.Conv2d(3, channels, 1)
        self.block = Block(channels, channels_out)

    def forward(self, x: Tensor, coarser: Expand | None = None, beta: float = 1.0) -> Tensor:
        """Features one octave below `x`: (B, 3, R, R) in [-1, 1] -> (B, channels_out, R/2, R/2).

        `coarser` is the entrance of resolution R/2; it is needed where beta < 1.
        """
        if beta >= 1.0:
            return self.block(self.colour(x))
        if coarser is None:
            raise ValueError("beta < 1 needs the entrance of the coarser resolution to fade from")
        fade = coarser.colour(F.avg_pool2d(x, 2))
        if beta <= 0.0:
            return fade
        return torch.lerp(fade, self.block(self.colour(x)), beta)
