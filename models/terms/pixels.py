"""The energy network from scratch, of CF-EBM (Zhao, Xie, Li, ICLR 2021): the paper's own setting.

A finer resolution enters smoothly: `Expand(x) = beta * Primal(x) + (1 - beta) * Fade(x)`, where Primal is its own layer
from RGB and block, and Fade is the coarser resolution's layer from RGB on the pooled picture, which is the way the
coarser model has always seen it. At beta = 0 the grown network equals the coarser one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.energy import EnergyFn
from models.terms.pooled_conv import PooledConv
from models.terms.spectral import VarianceGain, spectral_norm

HEAD_RESOLUTION = 4  # what the blocks pool a training picture down to
HEAD_CELLS = HEAD_RESOLUTION**2


def silu(x: Tensor) -> Tensor:
    """SiLU, scaled so that it keeps the variance of normal inputs (Karras et al., CVPR 2024)."""
    return F.silu(x) / 0.596


class Block(nn.Module):
    """Residual block that halves the resolution: (B, C, R, R) -> (B, D, R/2, R/2)."""

    def __init__(self, channels: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = PooledConv(channels, channels_out)
        self.skip = nn.Conv2d(channels, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = silu(self.conv2(silu(self.conv1(x))))
        # Pool before the 1x1 convolution: the two commute, and this order costs a quarter.
        return (h + self.skip(F.avg_pool2d(x, 2))) / math.sqrt(2)


class Expand(nn.Module):
    """The entrance of one resolution: a layer from RGB and the block below it."""

    def __init__(self, channels: int, channels_out: int) -> None:
        super().__init__()
        self.from_rgb = nn.Conv2d(3, channels, 1)
        self.block = Block(channels, channels_out)

    def forward(self, x: Tensor, coarser: Expand | None = None, beta: float = 1.0) -> Tensor:
        """Features one octave below `x`: (B, 3, R, R) in [-1, 1] -> (B, channels_out, R/2, R/2).

        `coarser` is the entrance of resolution R/2; it is needed where beta < 1.
        """
        if beta >= 1.0:
            return self.block(self.from_rgb(x))
        if coarser is None:
            raise ValueError("beta < 1 needs the entrance of the coarser resolution to fade from")
        fade = coarser.from_rgb(F.avg_pool2d(x, 2))
        if beta <= 0.0:
            return fade
        return torch.lerp(fade, self.block(self.from_rgb(x)), beta)


@dataclass(frozen=True)
class PixelConfig:
    """Shape of the network.

    `coarsest` and `finest` are the first and the last resolution pictures may enter at, in pixels (powers of two);
    `width` is the number of channels at fine resolutions, which doubles as the resolution halves, up to `max_width`.
    """

    coarsest: int = 16
    finest: int = 128
    width: int = 16
    max_width: int = 64
    kind: Literal["pixels"] = "pixels"

    def __post_init__(self) -> None:
        if not all(type(size) is int for size in (self.coarsest, self.finest, self.width, self.max_width)):
            raise ValueError("the sizes of a network are whole numbers")
        for name in ("coarsest", "finest"):
            size = getattr(self, name)
            if size < 2 * HEAD_RESOLUTION or size & (size - 1):
                raise ValueError(f"{name} must be a power of two of at least {2 * HEAD_RESOLUTION}, not {size}")
        if self.finest < self.coarsest:
            raise ValueError(f"finest ({self.finest}) must not be below coarsest ({self.coarsest})")
        if not 1 <= self.width <= self.max_width <= 1024:
            raise ValueError(f"the widths must rise within 1..1024, not from {self.width} to {self.max_width}")

    def channels(self, resolution: int) -> int:
        """Channels at a resolution: `max_width` at 16 px and below, halving with each octave, never under `width`."""
        return min(self.max_width, max(self.width, self.max_width * 16 // resolution))

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The resolutions that pictures may enter at, coarse to fine."""
        return _octaves(self.coarsest, self.finest)

    def up_to(self, resolution: int) -> PixelConfig:
        """Without what is finer than `resolution` px."""
        return replace(self, finest=resolution)


def _octaves(low: int, high: int) -> tuple[int, ...]:
    return tuple(low << k for k in range((high // low).bit_length()))


class PixelEnergy(nn.Module):
    """E(x) at any of its resolutions: (B, 3, H, W) in [-1, 1] -> (B,).

    A picture "at resolution R" has its short side near R pixels; any aspect ratio will do as long as both sides are
    multiples of R / 4. The head is convolutional, its energies are averaged over the 4 x 4 cells of a training
    picture; for other shapes the SUM over cells is divided by the same 16, so that the gradient per pixel does not
    depend on how large the picture is.
    """

    def __init__(self, config: PixelConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        self.inputs = nn.ModuleDict({str(r): Expand(widths(r), widths(r // 2)) for r in config.resolutions})
        trunk = reversed(_octaves(2 * HEAD_RESOLUTION, config.coarsest // 2)) if config.coarsest > 8 else ()
        self.trunk = nn.Sequential(*(Block(widths(r), widths(r // 2)) for r in trunk))
        self.head = nn.Conv2d(config.max_width, config.max_width, 3, padding=1)
        self.project = nn.Conv2d(config.max_width, 1, 1)

    def map(self, x: Tensor, resolution: int) -> Tensor:
        """Energy of each cell: (B, 3, H, W) of any size -> (B, h, w), where a cell covers (resolution / 4) pixels."""
        cell = resolution // HEAD_RESOLUTION
        return self._cells(F.pad(x, (0, -x.shape[-1] % cell, 0, -x.shape[-2] % cell), mode="replicate"), resolution)

    def _cells(self, x: Tensor, resolution: int | None = None, beta: float = 1.0) -> Tensor:
        """Energy of each cell, (B, h, w), of pictures whose sides are whole cells.

        `resolution` defaults to the finest; `beta` in [0, 1] fades it in from the next coarser one.
        """
        finest = resolution or self.config.finest
        h = x
        for r in reversed(_octaves(self.config.coarsest, finest)):
            if r == finest:
                coarser = self._input(r // 2) if r > self.config.coarsest else None
                h = self._input(r)(h, coarser, beta if coarser is not None else 1.0)
            else:
                h = self._input(r).block(h)
        h = silu(self.head(self.trunk(h)))
        return self.project(h).squeeze(1)

    def forward(self, x: Tensor, resolution: int | None = None, beta: float = 1.0) -> Tensor:
        return self._cells(x, resolution, beta).sum(dim=(1, 2)) / HEAD_CELLS

    def at(self, resolution: int, beta: float = 1.0) -> EnergyFn:
        return lambda x: self(x, resolution, beta)

    def _input(self, resolution: int) -> Expand:
        input = self.inputs[str(resolution)]
        assert isinstance(input, Expand)
        return input

    @property
    def resolutions(self) -> tuple[int, ...]:
        return self.config.resolutions

    @torch.no_grad()
    def embed(self, x: Tensor, resolution: int, beta: float = 1.0) -> list[Tensor]:
        """It reads pixels alone."""
        return [x]

    def from_embedding(self, embedding: list[Tensor], resolution: int, beta: float = 1.0) -> Tensor:
        return self(embedding[0], resolution, beta)

    def start_level(self, resolution: int) -> None:
        """A finer level starts from random weights; see Expand for how it enters."""

    def measure(self, batches: Sequence[Tensor]) -> None:
        """It has nothing to measure on training pictures."""

    def spectral_normalised(self) -> PixelEnergy:
        """Put spectral norm and its gain on every convolution but the last one, for training.

        The last, the projection, stays free: it sets the scale of the energy, which the gradient penalty holds.
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and name != "project":
                spectral_norm(module, VarianceGain(module.weight))
        return self
