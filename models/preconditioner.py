"""The preconditioner of a chain: which changes of a picture come easily.

A network's gradient by the pixels is rough: followed as it is, it paints speckle. Multiplied by a symmetric positive
operator P it still leads downhill, and smoothly (Sobolev gradients: Neuberger, 1997). P acts in luma and chroma apart,
each as a sum over scales,

    P g = sum over (s, w) of w * s * B_s^T B_s g,

where B_s averages over s x s windows: B_s^T B_s is a convolution with a tent. Colours of real things change slowly over
a picture: coarse chroma leaves no rainbow noise. In the place of tents, any other symmetric positive
operator may average, such as a guided filter.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from models.windows import touching, within

Scales = tuple[tuple[int, float], ...]  # (window in pixels, weight)

# Rows: luma and two directions of chroma, orthonormal.
LUMA_CHROMA = torch.tensor([[3**-0.5] * 3, [2**-0.5, -(2**-0.5), 0.0], [6**-0.5, 6**-0.5, -2 * 6**-0.5]])


# (B, C, H, W) and windows above 1 -> the sum of weight * averages over the window
Smoothing = Callable[[Tensor, Scales], Tensor]


def precondition(gradient: Tensor, luma: Scales, chroma: Scales, smooth: Smoothing | None = None) -> Tensor:
    """P times a gradient (B, 3, H, W). Without scales for either, the gradient itself. smooth: tents by default."""
    if not luma and not chroma:
        return gradient
    axes = LUMA_CHROMA.to(gradient)
    parts = torch.einsum("oc,bchw->bohw", axes, gradient)
    smoothed = torch.cat([multiscale(parts[:, :1], luma, smooth), multiscale(parts[:, 1:], chroma, smooth)], 1)
    return torch.einsum("oc,bohw->bchw", axes, smoothed)


def multiscale(x: Tensor, scales: Scales, smooth: Smoothing | None = None) -> Tensor:
    """The sum over scales of weight * window * smoothed x, (B, C, H, W). Zero without scales."""
    total = x * sum(weight for window, weight in scales if window == 1)
    wide = tuple((window, weight * window) for window, weight in scales if window > 1)
    return total + (smooth or tents)(x, wide) if wide else total


def tents(x: Tensor, scales: Scales) -> Tensor:
    """The sum over scales of weight * tent, (B, C, H, W)."""
    return torch.stack([weight * tent(x, window) for window, weight in scales]).sum(0)


def tent(x: Tensor, window: int) -> Tensor:
    """B^T B x: means over window x window squares, zero beyond the border, averaged over those around each pixel."""
    return within(touching(x, window), window) / window**4
