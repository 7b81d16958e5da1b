"""Where training chains begin: what is fitted to the domains before anything is learned.

Without source pictures at samples of a density, as pictures like any other; with them where a transport leads.
"""

from __future__ import annotations

import torch

from models.density import SIDE, Density, fit_density
from models.energy import pooled
from models.octaves import PICTURES
from models.terms.trunk import load_trunk
from models.train.data import ImageArray
from models.transport import Transport, fit_transport

COUNT, SHOWN = 2048, 64  # samples to learn from, and to look at
_FROM = 128  # pixels of the pictures that a density or a transport is fitted to
_MOST = 2000  # pictures of a domain that a transport is fitted to: its covariance is known by then
_AT_ONCE = 128


def density_of(target: ImageArray, seed: int = 0) -> Density:
    """The density of a domain. Raises ValueError where its pictures are too few."""
    return fit_density(torch.cat([pooled(batch, _FROM // SIDE) for batch in target.whole(_FROM)]), seed)


def transport_of(source: ImageArray, target: ImageArray, finest: int, seed: int = 0) -> Transport:
    """The optimal transport between two domains, for chains that end at `finest` px."""
    x, y = (torch.cat(list(domain.thinned(_MOST).whole(_FROM))) for domain in (source, target))
    transport = fit_transport(x, y, load_trunk(), seed)
    transport.octaves.fit(torch.cat(list(target.thinned(PICTURES).whole(finest))))
    return transport


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
