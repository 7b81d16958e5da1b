"""Where in a picture its thing is, and what its ground looks like without it.

Nobody draws outlines for training. But pictures of things that are framed alike show a thing in the middle and ground
along the edges beside and above it: a linear classifier of the trunk's features learns from these two what speaks for
either, and then judges all places. Its verdict is smoothed along the picture's own edges, so that an ear goes with the
head that has its colour.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.detail import means
from models.energy import pooled
from models.guided import GuidedFilter
from models.logistic import fit_logistic
from models.terms.trunk import SHAPES, OnTrunk, Trunk
from models.thinning import thinned

SIDE = 128  # pixels of the copy that is looked at, twice enlarged: that is how fine the trunk then sees
_SEEN = 2 * SIDE
_BEYOND = 64  # pixels of mirror image around it: what a convolution pads with would tell it where an edge is
TAPS = (4, 7, 10)
WIDTHS = tuple(SHAPES[tap].outputs for tap in TAPS)
FEATURES = sum(WIDTHS)
CELLS = _SEEN // 8  # places along a side that are judged
GRID = 64  # pixels along a side of what comes out
WINDOW, EVEN = 16, 0.01  # of the smoothing along edges, in pixels of GRID, see GuidedFilter
FIRM = 6.0  # logits count as no more than this
MAX_PICTURES = 128  # of each domain that the classifier is fitted to
DECAY = 1e-2  # of its weights
_EVERY = 5  # of so many places that training pictures have, one is learned from
AT_ONCE = 4  # more at once take longer each

ANY = 2.5  # logits: what is not clearly ground is taken out with the thing
STEEP = 1.5
GROWN = 5  # pixels of GRID, across: so much around a thing may be tinted by it


class Silhouette(OnTrunk):
    """Fitted in seconds, see `fit`."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        for name, shape in (("mean", (FEATURES,)), ("deviation", (FEATURES,)), ("weight", (FEATURES,)), ("bias", ())):
            self.register_buffer(name, torch.zeros(shape))

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Square pictures (B, 3, S, S) in [-1, 1] -> logits (B, 1, GRID, GRID), above 0 where their thing is."""
        standard = (self.features(x) - self.get_buffer("mean")) / self.get_buffer("deviation")
        told = (standard * self.get_buffer("weight")).sum(-1) + self.get_buffer("bias")
        logits = _resized(told[:, None].clamp(-FIRM, FIRM), GRID)
        return GuidedFilter(_resized(x, GRID), WINDOW, EVEN)(logits)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """What the trunk sees at each place: (B, CELLS, CELLS, FEATURES)."""
        seen = F.pad(_resized(_resized(x, SIDE), _SEEN), (_BEYOND,) * 4, mode="reflect")
        maps = [_resized(h, (_SEEN + 2 * _BEYOND) // 8) for h in self.trunk(seen, TAPS)]
        cut = slice(_BEYOND // 8, _BEYOND // 8 + CELLS)
        return torch.cat(maps, 1)[..., cut, cut].permute(0, 2, 3, 1)

    def fit(self, *domains: Tensor) -> None:
        """To pictures (N, 3, S, S) of one or more domains, framed alike."""
        middle, edge = _middle_and_edge()
        inside, outside = [], []
        for pictures in domains:
            for batch in thinned(pictures, MAX_PICTURES).split(AT_ONCE):
                features = self.features(batch)
                inside.append(features[:, middle].flatten(0, 1)[::_EVERY])
                outside.append(features[:, edge].flatten(0, 1)[::_EVERY])
        things, grounds = torch.cat(inside), torch.cat(outside)
        both = torch.cat([things, grounds])
        mean, deviation = both.mean(0), both.std(0) + 1e-3
        labels = torch.arange(len(both), device=both.device) < len(things)
        weight, bias = fit_logistic((both - mean) / deviation, labels, DECAY)
        for name, value in (("mean", mean), ("deviation", deviation), ("weight", weight), ("bias", bias)):
            self.get_buffer(name).copy_(value)

    @torch.no_grad()
    def thing(self, x: Tensor) -> Tensor:
        """Square pictures (B, 3, S, S) in [-1, 1] -> how much of each place belongs to their thing, with some margin:
        (B, 1, S, S) in [0, 1]."""
        thing = torch.sigmoid(STEEP * (self(x) + ANY))
        thing = F.max_pool2d(thing, GROWN, 1, GROWN // 2)
        return _resized(means(thing, GROWN), x.shape[-1])


def ground(x: Tensor, thing: Tensor) -> Tensor:
    """Square pictures (B, 3, S, S) in [-1, 1] without their thing (B, 1, S, S), the same shape: in its place stand the
    colours around it."""
    around = _filled(_resized(x, GRID), (1 - _resized(thing, GRID)) ** 4)
    return torch.lerp(x, _resized(around, x.shape[-1]), thing)


def _middle_and_edge() -> tuple[Tensor, Tensor]:
    """Places, (CELLS, CELLS), that show things in most pictures, down to where they stand, and such that show ground:
    beside and above."""
    axis = (torch.arange(CELLS) + 0.5) / CELLS * 2 - 1
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    middle = (right / 0.5).square() + ((down - 0.1).clamp(max=0) / 0.6).square() < 1
    edge = ((right.abs() > 0.85) & (down < 0.3)) | (down < -0.88)
    return middle, edge


def _filled(x: Tensor, known: Tensor) -> Tensor:
    """Pictures (B, 3, GRID, GRID) whose colours are carried from where they are known, with the weights (B, 1, GRID,
    GRID), to where they are not: at each place the average over the smallest neighbourhood that knows some."""
    weights = known + 1e-6
    total, reached = torch.zeros_like(x), torch.zeros_like(known)
    side = GRID
    while side:
        sums, count = (_resized(pooled(v, GRID // side), GRID) for v in (x * weights, weights))
        share = (count / 0.15).clamp(0, 1) * (1 - reached) if side > 1 else 1 - reached
        total, reached = total + share * sums / count, reached + share
        side //= 2
    return total


def _resized(x: Tensor, side: int) -> Tensor:
    return F.interpolate(x, (side, side), mode="bilinear", antialias=x.shape[-1] > side, align_corners=False)
