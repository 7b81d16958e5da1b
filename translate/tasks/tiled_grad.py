"""An energy on pictures of any size, and its gradient."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.energy import EnergyFn, MultiscaleEnergy, energy_and_grad
from models.terms.pixels import HEAD_RESOLUTION

TILE = 512  # side, in pixels, of the pieces that large pictures are worked on in: bounds the memory
MARGIN = 64  # what a piece sees beyond its own pixels on each side


def tiled_grad(energy: MultiscaleEnergy, x: Tensor, resolution: int) -> Tensor:
    """dE/dx of pictures (B, 3, H, W) of any size, in overlapping pieces: padded by reflection where they end.

    A pixel's gradient does not depend on the size of the picture, so that pieces fit together.
    """
    energy_of = on_any_size(energy, resolution)
    height, width = x.shape[-2:]
    found = torch.empty_like(x)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            above, before = max(0, top - MARGIN), max(0, left - MARGIN)
            piece = x[..., above : min(bottom + MARGIN, height), before : min(right + MARGIN, width)]
            part = energy_and_grad(energy_of, piece)[1]
            found[..., top:bottom, left:right] = part[..., top - above : bottom - above, left - before : right - before]
    return found


def on_any_size(energy: MultiscaleEnergy, resolution: int) -> EnergyFn:
    """The energy of one level, of pictures of any size."""
    cell = resolution // HEAD_RESOLUTION
    return lambda x: energy.at(resolution)(_to_cells(x, cell))


def _to_cells(x: Tensor, cell: int) -> Tensor:
    """Padded at the right and the bottom to whole cells, by reflection where the picture is large enough for it."""
    height, width = x.shape[-2:]
    down, right = -height % cell, -width % cell
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(x, (0, right, 0, down), mode=mode)
