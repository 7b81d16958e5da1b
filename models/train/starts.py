"""Where training chains begin that have no source pictures: samples of the density, as pictures like any other."""

from __future__ import annotations

import torch

from models.density import SIDE, Density, fit_density
from models.energy import pooled
from models.train.data import ImageArray

COUNT, SHOWN = 2048, 64  # samples to learn from, and to look at
_FROM = 128  # pixels of the pictures that a density is fitted to
_AT_ONCE = 128


def density_of(target: ImageArray, seed: int = 0) -> Density:
    """The density of a domain. Raises ValueError where its pictures are too few."""
    return fit_density(torch.cat([pooled(batch, _FROM // SIDE) for batch in target.whole(_FROM)]), seed)


def drawn_starts(density: Density, size: int, seed: int) -> tuple[ImageArray, ImageArray]:
    """Samples of `size` px to learn from, and others to show."""
    seeds = range(seed, seed + COUNT + SHOWN)
    parts = [seeds[first : first + _AT_ONCE] for first in range(0, len(seeds), _AT_ONCE)]
    made = torch.cat([_pictures(density, part, size) for part in parts])
    pictures = ((made + 1) * 127.5).round().byte().numpy()
    return ImageArray(pictures[SHOWN:]), ImageArray(pictures[:SHOWN])


def _pictures(density: Density, seeds: range, size: int) -> torch.Tensor:
    latent = density.draw([torch.Generator().manual_seed(seed) for seed in seeds])
    return density.pictures(latent, size).cpu()
