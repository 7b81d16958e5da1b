"""Striped busts before noisy grounds: pictures of things that are framed alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def busts(count: int, size: float = 0.6, seed: int = 0, side: int = 128) -> Tensor:
    """(count, 3, side, side) in [-1, 1]: dark discs on pillars, each a little off. size: of the discs, as a share of
    the side; 0 for grounds alone."""
    generator = torch.Generator().manual_seed(seed)
    down, right = axes(side)
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    ground = 0.2 + 0.4 * F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    shift = 0.05 * torch.randn(count, 2, 1, 1, generator=generator)
    x, y = right - shift[:, 1:], down - shift[:, :1]
    inside = ((x.square() + y.square() < size**2) | ((x.abs() < 0.8 * size) & (y > 0))).float()
    stripes = 0.3 * torch.sin(40 * right + 10 * torch.rand(count, 1, 1, 1, generator=generator))
    colour = -0.5 + 0.2 * torch.randn(count, 3, 1, 1, generator=generator)
    return torch.lerp(ground, colour + stripes, inside).clamp(-1, 1)


def axes(side: int) -> tuple[Tensor, Tensor]:
    """How far each pixel lies below and to the right of the middle, in halves of the side."""
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    return down, right
