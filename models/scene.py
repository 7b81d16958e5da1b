"""A photo whose thing makes way for another one: what a chain with a transport begins with, and what it leaves alone.

The ground stays. In the place of the old thing stands what is around it, and the new one stands before that. Steps are
taken inside the new thing's outline alone. Of the old one its faintest and finest detail stays, where both are: fur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.energy import pooled
from models.octaves import octaves_of
from models.silhouette import ground
from models.transport import Transport

FAINT = 0.04  # on the [-1, 1] scale: detail of the finest octave that is stronger draws shapes, of eyes or whiskers


@dataclass(frozen=True)
class Scene:
    """start: where chains go first, (B, 3, h, w) at the coarsest level. sources: the photos without their things, at
    each level's resolution. inside: how much of each place the new thing fills, (B, 1, h, w) in [0, 1]. fur: of the old
    things, (B, 1, H, W) at the finest level. share: how far chains go."""

    start: Tensor
    sources: Sequence[Tensor]
    inside: Tensor
    fur: Tensor
    share: float
    transport: Transport

    @classmethod
    def of(cls, sources: Sequence[Tensor], transport: Transport, share: float = 1.0) -> Scene:
        """Of photos at each level's resolution, (B, 3, h, w) in [-1, 1], coarse to fine."""
        finest = sources[-1]
        thing = transport.silhouette.thing(finest)
        bare = ground(finest, thing)
        grounds = [pooled(bare, bare.shape[-1] // x.shape[-1]) for x in sources]
        moved = transport(sources[0])
        inside = transport.outline(moved)
        start = torch.lerp(grounds[0], moved, inside)
        left = [torch.lerp(x, y, share) for x, y in zip(sources, grounds, strict=True)]
        fur = thing * octaves_of(finest, 1)[0].clamp(-FAINT, FAINT)
        return cls(start, left, inside, fur, share, transport)

    def missing(self, x: Tensor) -> Tensor:
        """What the first level's pictures (B, 3, h, w) lack at the second one: (B, 1, 2h, 2w)."""
        return self.share * self.transport.detail(x)

    def kept(self, step: Tensor) -> Tensor:
        """A step (B, 3, h, w) at any level, none on the ground."""
        return self._inside(step) * step

    def finished(self, x: Tensor, resolution: int) -> Tensor:
        """Pictures at the end of a level: after that of the finest light, with fur, and light as strong as photos'."""
        octaves = self.transport.octaves
        if resolution != octaves.resolution:
            return x
        inside = self._inside(x)
        x = x + inside * self.fur
        return (x + inside * octaves(x)).clamp(-1, 1)

    def _inside(self, x: Tensor) -> Tensor:
        return F.interpolate(self.inside, x.shape[-2:], mode="bilinear", align_corners=False)
