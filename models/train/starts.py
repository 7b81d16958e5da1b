"""Where training chains begin that have no source pictures: samples of the density, as pictures like any other."""

from __future__ import annotations

import torch

from models.density import Density
from models.train.data import ImageArray

COUNT, SHOWN = 2048, 64  # samples to learn from, and to look at
_AT_ONCE = 128


def drawn_starts(density: Density, size: int, seed: int = 0) -> tuple[ImageArray, ImageArray]:
    """Samples of `size` px to learn from, and others to show."""
    seeds = range(seed, seed + COUNT + SHOWN)
    parts = [seeds[first : first + _AT_ONCE] for first in range(0, len(seeds), _AT_ONCE)]
    made = torch.cat([_pictures(density, part, size) for part in parts])
    pictures = ((made + 1) * 127.5).round().byte().numpy()
    return ImageArray(pictures[SHOWN:]), ImageArray(pictures[:SHOWN])


def _pictures(density: Density, seeds: range, size: int) -> torch.Tensor:
    latent = density.draw([torch.Generator().manual_seed(seed) for seed in seeds])
    return density.pictures(latent, size).cpu()
