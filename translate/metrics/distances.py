"""Distances between sets of pictures: KID and FID on given features, each picture's part in them, and whites."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from translate.metrics.pairs import FEWEST

SUBSETS = 100
WHITE = 240


@dataclass(frozen=True)
class Kid:
    """value: of all pictures. sd: over random halves of both sides, an estimate of the value's standard error."""

    value: float
    sd: float


def kid(judged: Tensor, target: Tensor, unit: float = 1.0, seed: int = 0) -> Kid:
    """KID x100 (Binkowski et al. 2018) between features (N, D) and (M, D).

    The unbiased estimate of MMD^2 with the kernel k(a, b) = (a.b / D + 1)^3.

    unit: what both sides are divided by; the rows of a table share it, and with one seed they share the halves, too. It
    may fall below 0 where the sets agree. Raises ValueError below FEWEST pictures.
    """
    from torchmetrics.image.kid import poly_kernel

    if min(len(judged), len(target)) < FEWEST:
        raise ValueError(f"KID needs at least {FEWEST} pictures on either side")
    x, y = judged.double() / unit, target.double() / unit
    own, other, between = poly_kernel(x, x), poly_kernel(y, y), poly_kernel(x, y)
    draw = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(SUBSETS):
        i, j = (torch.randperm(len(side), generator=draw)[: len(side) // 2] for side in (x, y))
        values.append(_mmd(own[i][:, i], other[j][:, j], between[i][:, j]))
    return Kid(100 * _mmd(own, other, between), 100 * float(np.std(values)))


def fid(judged: Tensor, target: Tensor) -> float:
    """Frechet distance (Heusel et al. 2017) between features (N, D) and (M, D). Call it FID for Inception's alone."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(_Given(judged.shape[1]))
    metric.update(target.double(), real=True)
    metric.update(judged.double(), real=False)
    return float(metric.compute())


def spread(target: Tensor) -> float:
    """The standard deviation over all values of features (M, D); 1 where they are all equal."""
    found = float(target.double().std())
    return found if math.isfinite(found) and found > 0 else 1.0


def parts(judged: Tensor, target: Tensor, unit: float = 1.0) -> Tensor:
    """Each picture's own part in the KID x100 of all: (N, D), (M, D) -> (N,), high where a picture is like the other
    results and unlike the target. Their mean is the KID up to a constant of the target's alone."""
    from torchmetrics.image.kid import poly_kernel

    x, y = judged.double() / unit, target.double() / unit
    own = poly_kernel(x, x)
    within = (own.sum(1) - own.diag()) / max(1, len(x) - 1)
    return 100 * (within - 2 * poly_kernel(x, y).mean(1))


def white_change(sources: np.ndarray, outputs: np.ndarray) -> float | None:
    """Mean |output - source|, in levels of 255, where all three channels of the source are at least 240.

    Both (N, 3, H, W) uint8 or float 0..255; the mean runs over such pixels of the whole set and their channels.
    None if there is no such pixel.
    """
    total, count = 0.0, 0
    for source, output in zip(sources, outputs, strict=True):
        white = (source >= WHITE).all(0)
        count += int(white.sum()) * 3
        total += float(np.abs(output[:, white].astype(np.float64) - source[:, white].astype(np.float64)).sum())
    return total / count if count else None


def _mmd(own: Tensor, other: Tensor, between: Tensor) -> float:
    """From kernels of judged pictures (N, N), of targets (M, M) and between them (N, M)."""
    within = sum(float((k.sum() - k.diag().sum()) / (len(k) * (len(k) - 1))) for k in (own, other))
    return within - 2 * float(between.mean())


class _Given(nn.Module):
    """Stands in for torchmetrics' network: the features are there already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features
