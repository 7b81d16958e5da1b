"""How strong the fine light of a domain's pictures is, octave by octave, and pictures brought half of the way there.

A short chain leaves pictures softer than the target's: an energy on features hardly minds a picture that is a little
out of focus. Photographs have much the same spectrum (Field, JOSA A 1987), so that what is missing in an octave is
known, and is made up for by what stands there already.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.detail import luma

COUNT = 4  # octaves, the finest first
PICTURES = 128  # of a domain, at most, that the octaves are measured on
SHARE = 0.5  # of the way to the domain's strength, as a logarithm: all of it shows each flaw of a chain
MOST = 2.0  # times that an octave is made stronger
_MIDDLE = 0.6  # of a picture's side: around it there is ground


class Octaves(nn.Module):
    """strength: root mean square of the light in each octave, (COUNT,). side: of the pictures it was measured on, in
    pixels; 0 before `fit`."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("strength", torch.zeros(COUNT))
        self.register_buffer("side", torch.zeros(()))

    @property
    def resolution(self) -> int:
        """Of the pictures that it was measured on, in pixels; 0 before `fit`."""
        return int(self.get_buffer("side"))

    @torch.no_grad()
    def fit(self, pictures: Tensor) -> None:
        """To pictures (N, 3, S, S) in [-1, 1]."""
        each = [torch.stack([_strength(band).flatten() for band in octaves_of(x)]) for x in pictures.split(16)]
        self.get_buffer("strength").copy_(torch.cat(each, 1).mean(1))
        self.get_buffer("side").fill_(pictures.shape[-1])

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] -> the change that brings their octaves up, (B, 1, H, W), for all channels
        alike; none is made weaker."""
        change = x.new_zeros(())
        for band, wanted in reversed(list(zip(octaves_of(x), self.get_buffer("strength"), strict=True))):
            gain = (wanted / _strength(band).clamp(min=1e-6)).pow(SHARE).clamp(1, MOST)
            change = (_to(change, band) if change.dim() else change) + (gain - 1) * band
        return change


def octaves_of(x: Tensor, count: int = COUNT) -> list[Tensor]:
    """What each halving of the light takes away, the finest first: `count` times (B, 1, h, w)."""
    light = luma(x)
    bands = []
    for _ in range(count):
        half = F.interpolate(light, scale_factor=0.5, mode="bilinear", antialias=True, align_corners=False)
        bands.append(light - _to(half, light))
        light = half
    return bands


def _strength(band: Tensor) -> Tensor:
    """Root mean square in the middle, (B, 1, 1, 1)."""
    edges = [round((1 - _MIDDLE) / 2 * side) for side in band.shape[-2:]]
    middle = band[..., edges[0] : band.shape[-2] - edges[0], edges[1] : band.shape[-1] - edges[1]]
    return middle.square().mean((1, 2, 3), keepdim=True).sqrt()


def _to(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bicubic", align_corners=False)
