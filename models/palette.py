"""The colours of a domain's things: which chroma they have at each light, and pictures brought towards it.

Energies know which way colours lie, not where they end: a chain goes on past orange to yellow, and dark skins turn to
colours that no orange has. The things of the target's training pictures show which colours there are. One step of the
mean shift (Fukunaga & Hostetler, 1975) on their density moves each colour to the mean of those around it, the nearest
ones the most; the light stays, and the shading with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.gate import DomainProbe, strong
from models.preconditioner import LUMA_CHROMA
from models.sampling import Hook

BINS = 24  # a side of the table of colours
RANGE = 3**0.5  # luma and chroma, on orthonormal axes, lie between -RANGE and RANGE
LUMA_WIDTH, CHROMA_WIDTH = 0.15, 0.2  # of the kernel, on the [-1, 1] scale
THING = 0.2  # the share of a picture's places, those that tell the two domains apart the most, that show its thing
FIRMNESS = 0.5  # how strong a change must be for its place to take colours, see gate.strong
FEW = 1e-5  # of the largest density: colours that are rarer are left as they are


class Palette(nn.Module):
    """chroma: where colours go, (2, BINS, BINS, BINS), by luma and both axes of chroma; `fit` makes it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("chroma", torch.zeros(2, BINS, BINS, BINS))

    @torch.no_grad()
    def fit(self, pictures: Iterable[Tensor], probe: DomainProbe) -> None:
        """To batches of the target's pictures, (B, 3, H, W) in [-1, 1]. probe: tells where their things are."""
        counts = torch.zeros(BINS**3)
        for x in pictures:
            told = probe.evidence(x)
            thing = told * (told > told.flatten(1).quantile(1 - THING, 1).view(-1, 1, 1, 1))
            weights = thing / thing.sum((1, 2, 3), keepdim=True).clamp(min=1e-6)
            places = ((_colors(x) / RANGE + 1) / 2 * BINS).long().clamp(0, BINS - 1)
            index = (places[:, 0] * BINS + places[:, 1]) * BINS + places[:, 2]
            counts.index_add_(0, index.flatten().cpu(), weights.flatten().cpu())
        density = counts.view(BINS, BINS, BINS)
        middles = RANGE * ((2 * torch.arange(BINS) + 1) / BINS - 1)
        axes = torch.stack(torch.meshgrid(middles, middles, middles, indexing="ij"))[1:]
        around = _blurred(density)
        few = FEW * around.max()
        means = torch.stack([_blurred(density * axis) for axis in axes])
        self.get_buffer("chroma").copy_((means + few * axes) / (around + few))

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] -> the same with the colours of the target's things."""
        colors = _colors(x)
        # grid_sample names the last axis of its table first.
        places = (colors / RANGE).flip(1).permute(0, 2, 3, 1)[:, None]
        table = self.get_buffer("chroma").expand(len(x), -1, -1, -1, -1)
        chroma = F.grid_sample(table, places, mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]
        moved = torch.cat([colors[:, :1], chroma], 1)
        return torch.einsum("oc,bohw->bchw", LUMA_CHROMA.to(x), moved).clamp(-1, 1)

    def toward(self, share: float, sources: Sequence[Tensor], evidence: Sequence[Tensor]) -> Hook:
        """A hook that brings pictures towards these colours by `share`, 0..1, where a chain has changed its sources.

        sources, evidence: at each level's resolution, (B, 3, h, w) in [-1, 1] and (B, 1, h, w), see gate.strong.
        """
        levels = {x.shape: (x, told) for x, told in zip(sources, evidence, strict=True)}

        def brought(x: Tensor, _: int) -> Tensor:
            source, told = levels[x.shape]
            return x + share * strong(source, x, FIRMNESS, told) * (self(x) - x)

        return brought


def fit_palette(pictures: Iterable[Tensor], probe: DomainProbe) -> Palette:
    """From batches of the target's pictures (B, 3, H, W) in [-1, 1]."""
    palette = Palette()
    palette.fit(pictures, probe)
    return palette


def _colors(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> luma and chroma on orthonormal axes."""
    return torch.einsum("oc,bchw->bohw", LUMA_CHROMA.to(x), x)


def _blurred(table: Tensor) -> Tensor:
    """A table by luma and chroma, averaged by a Gaussian along each axis."""
    steps = 2 * RANGE / BINS * torch.arange(BINS)
    far = (steps[:, None] - steps).square()
    luma, chroma = (torch.exp(-far / (2 * width**2)) for width in (LUMA_WIDTH, CHROMA_WIDTH))
    by_light = torch.einsum("ai,ijk->ajk", luma, table)
    return torch.einsum("bj,ajk->abk", chroma, by_light) @ chroma
