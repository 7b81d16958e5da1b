"""Where in a photo the thing lies that training pictures show framed alike: a linear regression on the trunk.

Training pictures are looked at through windows that are shifted and scaled at random; ridge regression learns the way
back from what the trunk sees there. A few looks, each through a better window, find the frame. (The regression of
supervised descent: Xiong & De la Torre, CVPR 2013.)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.terms.trunk import SHAPES, OnTrunk, Trunk
from models.thinning import thinned

SIDE = 128  # pixels of what the trunk looks at
TAP, GRID = 10, 4  # features of this block, averaged in GRID x GRID parts
FEATURES = SHAPES[TAP].outputs * GRID**2
MAX_PICTURES, VIEWS = 512, 12  # to learn from, and windows into each
SHIFT, ZOOM = 0.4, 0.5  # how far windows are off: of half a picture, and as a logarithm of their size
RIDGE = 1.0  # weight decay, times the number of windows
_AT_ONCE = 32


class Framing(OnTrunk):
    """Fitted in seconds, see `fit_framing`."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        for name, shape in (
            ("mean", (FEATURES,)), ("deviation", (FEATURES,)), ("weight", (FEATURES, 3)), ("bias", (3,)),
        ):  # fmt: skip
            self.register_buffer(name, torch.zeros(shape))

    @torch.no_grad()
    def offsets(self, x: Tensor) -> Tensor:
        """Square pictures (B, 3, S, S) in [-1, 1] -> where the frame lies in them, (B, 3): how far its middle lies to
        the right and below theirs, in halves of their side, and the logarithm of its size, theirs being 1."""
        standard = (self.features(x) - self.get_buffer("mean")) / self.get_buffer("deviation")
        return standard @ self.get_buffer("weight") + self.get_buffer("bias")

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """What the trunk sees in each part of the pictures: (B, FEATURES)."""
        seen = F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        return F.adaptive_avg_pool2d(self.trunk(seen, (TAP,))[0], GRID).flatten(1)


@torch.no_grad()
def fit_framing(pictures: Tensor, trunk: Trunk, seed: int = 0) -> Framing:
    """From pictures (N, 3, S, S) in [-1, 1] that are framed alike, and their mirror images."""
    pictures = thinned(pictures, MAX_PICTURES)
    generator = torch.Generator().manual_seed(seed)
    framing = Framing(trunk).to(pictures.device)
    features, offsets = [], []
    for view in range(VIEWS):
        drawn = 2 * torch.rand(len(pictures), 3, generator=generator).to(pictures) - 1
        windows = drawn * torch.tensor([SHIFT, SHIFT, ZOOM]).to(pictures)
        for x, window in zip(pictures.split(_AT_ONCE), windows.split(_AT_ONCE), strict=True):
            # Two kinds of edges, for the way back not to be read from what one kind looks like: photos have neither.
            beyond = "reflection" if view % 4 < 2 else "border"
            features.append(framing.features(_seen_through(x if view % 2 else x.flip(3), window, beyond)))
        sizes = windows[:, 2:].exp()
        offsets.append(torch.cat([-windows[:, :2] / sizes, -windows[:, 2:]], 1))
    x, y = torch.cat(features), torch.cat(offsets)
    mean, deviation, bias = x.mean(0), x.std(0) + 1e-3, y.mean(0)
    standard = ((x - mean) / deviation).double()
    damped = standard.T @ standard + RIDGE * len(x) * torch.eye(FEATURES).to(standard)
    weight = torch.linalg.solve(damped, standard.T @ (y - bias).double())
    for name, value in (("mean", mean), ("deviation", deviation), ("weight", weight), ("bias", bias)):
        framing.get_buffer(name).copy_(value)
    return framing


def _seen_through(x: Tensor, windows: Tensor, beyond: str) -> Tensor:
    """Pictures through windows (B, 3), as offsets give them. beyond: what stands there, see grid_sample."""
    size, zero = windows[:, 2].exp(), torch.zeros_like(windows[:, 2])
    rows = [torch.stack([size, zero, windows[:, 0]], 1), torch.stack([zero, size, windows[:, 1]], 1)]
    places = F.affine_grid(torch.stack(rows, 1), [len(x), 3, SIDE, SIDE], align_corners=False)
    return F.grid_sample(x, places, mode="bilinear", padding_mode=beyond, align_corners=False)
