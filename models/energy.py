"""What all energies have in common: how they are asked, and how a finer resolution fades in.

Sign, for the whole project: an energy is LOW on pictures of the target domain, and chains go downhill. Pictures are
floats in [-1, 1], (B, 3, H, W).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

EnergyFn = Callable[[Tensor], Tensor]  # (B, 3, H, W) -> (B,)


class MultiscaleEnergy(Protocol):
    """An energy with one function per resolution. PixelEnergy and PerceptualEnergy are of this kind."""

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The resolutions of its levels, coarse to fine, each twice the one before."""

    def at(self, resolution: int, beta: float = 1.0) -> EnergyFn:
        """The energy of one level. beta in [0, 1] fades it in: at 0 it equals the next coarser level's."""

    def embed(self, x: Tensor, resolution: int, beta: float = 1.0) -> list[Tensor]:
        """What the learned part reads of pictures: the pictures themselves and frozen features, without a graph."""

    def from_embedding(self, embedding: list[Tensor], resolution: int, beta: float = 1.0) -> Tensor:
        """Energies (B,) from what `embed` gave."""

    def map(self, x: Tensor, resolution: int) -> Tensor:
        """The energy of each place, (B, h, w). High where a picture does not look like the target domain."""


def energy_and_grad(energy: EnergyFn, x: Tensor) -> tuple[Tensor, Tensor]:
    """E (B,) and dE/dx (B, 3, H, W) of pictures (B, 3, H, W), without graphs."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        energies = energy(x)
        (gradient,) = torch.autograd.grad(energies.sum(), x)
    return energies.detach(), gradient


def pooled(x: Tensor, factor: int) -> Tensor:
    """(B, C, H, W) -> (B, C, H / factor, W / factor), by average pooling."""
    return x if factor == 1 else F.avg_pool2d(x, factor)


def enlarged(x: Tensor, factor: int = 2) -> Tensor:
    """(B, C, H, W) -> (B, C, H * factor, W * factor), bilinear."""
    return x if factor == 1 else F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
