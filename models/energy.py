"""The energy network, one per direction: a picture in, one number out.

Sign, for the whole project: the energy is LOW on pictures of the target domain, and chains go downhill.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from models.expand import Block, Expand, silu

EnergyFunction = Callable[[Tensor], Tensor]  # (B, 3, H, W) -> (B,)

HEAD_RESOLUTION = 4  # what the blocks pool a training picture down to
HEAD_CELLS = HEAD_RESOLUTION**2


@dataclass(frozen=True)
class EnergyConfig:
    """Shape of the network.

    `coarsest` and `finest` are the first and the last resolution pictures may enter at, in pixels (powers of two);
    `width` is the number of channels at fine resolutions, which doubles as the resolution halves, up to `widest`.
    """

    coarsest: int = 16
    finest: int = 128
    width: int = 16
    widest: int = 64

    def __post_init__(self) -> None:
        if not all(type(size) is int for size in (self.coarsest, self.finest, self.width, self.widest)):
            raise ValueError("the sizes of a network are whole numbers")
        for name in ("coarsest", "finest"):
            size = getattr(self, name)
            if size < 2 * HEAD_RESOLUTION or size & (size - 1):
                raise ValueError(f"{name} must be a power of two of at least {2 * HEAD_RESOLUTION}, not {size}")
        if self.finest < self.coarsest:
            raise ValueError(f"finest ({self.finest}) must not be below coarsest ({self.coarsest})")
        if not 1 <= self.width <= self.widest <= 1024:
            raise ValueError(f"the widths must rise within 1..1024, not from {self.width} to {self.widest}")

    def channels(self, resolution: int) -> int:
        """Channels at a resolution: `widest` at 16 px and below, halving with each octave, never under `width`."""
        return min(self.widest, max(self.width, self.widest * 16 // resolution))

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The resolutions that pictures may enter at, coarse to fine."""
        return _octaves(self.coarsest, self.finest)


def _octaves(low: int, high: int) -> tuple[int, ...]:
    return tuple(low << k for k in range((high // low).bit_length()))


class Energy(nn.Module):
    """E(x) at any of its resolutions: (B, 3, H, W) in [-1, 1] -> (B,).

    A picture "at resolution R" has its short side near R pixels; any aspect ratio will do as long as both sides are
    multiples of R / 4. The head is convolutional, its energies are averaged over the 4 x 4 cells of a training
    picture; for other shapes the SUM over cells is divided by the same 16, so that the gradient per pixel does not
    depend on how large the picture is.
    """

    def __init__(self, config: EnergyConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        self.entrances = nn.ModuleDict({str(r): Expand(widths(r), widths(r // 2)) for r in config.resolutions})
        trunk = reversed(_octaves(2 * HEAD_RESOLUTION, config.coarsest // 2)) if config.coarsest > 8 else ()
        self.trunk = nn.Sequential(*(Block(widths(r), widths(r // 2)) for r in trunk))
        self.head = nn.Conv2d(config.widest, config.widest, 3, padding=1)
        self.project = nn.Conv2d(config.widest, 1, 1)

    def map(self, x: Tensor, resolution: int | None = None, beta: float = 1.0) -> Tensor:
        """Energy of each cell: (B, 3, H, W) -> (B, h, w), where a cell covers (resolution / 4) pixels each way.

        `resolution` defaults to the finest; `beta` in [0, 1] fades it in from the next coarser one.
        """
        finest = resolution or self.config.finest
        h = x
        for r in reversed(_octaves(self.config.coarsest, finest)):
            if r == finest:
                coarser = self._entrance(r // 2) if r > self.config.coarsest else None
                h = self._entrance(r)(h, coarser, beta if coarser is not None else 1.0)
            else:
                h = self._entrance(r).block(h)
        h = silu(self.head(self.trunk(h)))
        return self.project(h).squeeze(1)

    def forward(self, x: Tensor, resolution: int | None = None, beta: float = 1.0) -> Tensor:
        return self.map(x, resolution, beta).sum(dim=(1, 2)) / HEAD_CELLS

    def at(self, resolution: int, beta: float = 1.0) -> EnergyFunction:
        """This energy at one resolution, as the plain function that a chain wants."""
        return lambda x: self(x, resolution, beta)

    def _entrance(self, resolution: int) -> Expand:
        entrance = self.entrances[str(resolution)]
        assert isinstance(entrance, Expand)
        return entrance


class Gain(nn.Module):
    """Weights whose largest singular value is 1, scaled so that a random layer keeps the variance of its input.

    A random matrix with that norm shrinks it by 1 + sqrt(outputs / inputs) (Marchenko & Pastur, 1967). Undone on every
    layer, the shrinking adds up: activations grow so small that SiLU is a straight line there and the energy is nearly
    quadratic in the pixels, blind to all but their means and variances.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.gain = 1 + math.sqrt(weight.shape[0] / weight[0].numel())

    def forward(self, weight: Tensor) -> Tensor:
        return self.gain * weight


def with_spectral_norm(energy: Energy) -> Energy:
    """Put spectral norm (Miyato et al., ICLR 2018) and its gain on every convolution but the last one, for training.

    The last, the projection, stays free: it sets the scale of the energy, which the gradient penalty holds.
    """
    for name, module in energy.named_modules():
        if isinstance(module, nn.Conv2d) and name != "project":
            parametrizations.spectral_norm(module)
            parametrize.register_parametrization(module, "weight", Gain(module.weight))
    return energy


@torch.no_grad()
def effective_weights(energy: Energy) -> dict[str, Tensor]:
    """The weights in force, as a state dict of a plain `Energy` without spectral norm.

    Chains, averages (EMA) and shipped files use these. Averaging them is safe; averaging the power-iteration vectors
    of spectral norm is not: they come out shorter than 1, and the chains blow up while the training is healthy.
    """
    weights: dict[str, Tensor] = {}
    for name, module in energy.named_modules():
        if isinstance(module, nn.Conv2d):
            weights[f"{name}.weight"] = module.weight.detach()
            if module.bias is not None:
                weights[f"{name}.bias"] = module.bias.detach()
    return weights
