"""A photo whose thing makes way for another one: what a chain with a transport begins with, and what it leaves alone.

The ground stays. In the place of the old thing stands what is around it, and the new one stands before that. Steps are
taken inside the new thing's outline alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.energy import pooled
from models.transport import Transport


@dataclass(frozen=True)
class Scene:
    """start: where chains go first, (B, 3, h, w) at the coarsest level. sources: the photos without their things, at
    each level's resolution. inside: how much of each place the new thing fills, (B, 1, h, w) in [0, 1]. share: how far
    chains go."""

    start: Tensor
    sources: Sequence[Tensor]
    inside: Tensor
    share: float
    transport: Transport

    @classmethod
    def of(cls, sources: Sequence[Tensor], transport: Transport, share: float = 1.0) -> Scene:
        """Of photos at each level's resolution, (B, 3, h, w) in [-1, 1], coarse to fine."""
        ground = transport.silhouette.ground(sources[-1])
        grounds = [pooled(ground, ground.shape[-1] // x.shape[-1]) for x in sources]
        moved = transport(sources[0])
        inside = transport.outline(moved)
        start = torch.lerp(grounds[0], moved, inside)
        bare = [torch.lerp(x, ground, share) for x, ground in zip(sources, grounds, strict=True)]
        return cls(start, bare, inside, share, transport)

    def missing(self, x: Tensor) -> Tensor:
        """What the first level's pictures (B, 3, h, w) lack at the second one: (B, 1, 2h, 2w)."""
        return self.share * self.transport.detail(x)

    def kept(self, step: Tensor) -> Tensor:
        """A step (B, 3, h, w) at any level, none on the ground."""
        return self._inside(step) * step

    def finished(self, x: Tensor, resolution: int) -> Tensor:
        """Pictures at the end of a level: after that of the finest light, with as much of it as photos have."""
        octaves = self.transport.octaves
        return (x + self._inside(x) * octaves(x)).clamp(-1, 1) if resolution == octaves.resolution else x

    def _inside(self, x: Tensor) -> Tensor:
        return F.interpolate(self.inside, x.shape[-2:], mode="bilinear", align_corners=False)
