"""Where chains that make pictures of nothing begin: a simple density of a domain, at a few pixels, sampled exactly.

A mixture of Gaussians with one covariance for all, on the pictures' principal components. Its samples look like blurred
pictures of the domain: the chain is left to find their detail, and to mend what is no such thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.energy import pooled
from models.thinning import thinned

SIDE = 32  # pixels
DIRECTIONS = 128  # principal components; of 696 cats' faces they hold 93 % of the variance
COMPONENTS = 32  # of the mixture, at most
FEWEST = 16  # pictures in a component, at least: the mean of fewer would look like one of them
ROUNDS = 50  # of k-means
MIN_PICTURES = 64  # of fewer a density would know little but these
MAX_PICTURES = 5000  # more are thinned out: what a mixture takes of them is known by then
TRUST = 10.0  # times `rest`, the variance of known pixels: what a density does not know of neighbours goes together
VARIETY = 0.75  # how far samples leave the center of their component; 1 as far as pictures of the domain do
MAX_VARIETY = 1.5


@dataclass(frozen=True, eq=False)
class Latent:
    """What samples are made of: centers and offsets, (B, DIRECTIONS) both, in standard deviations of a component."""

    center: Tensor
    offset: Tensor


class Density(nn.Module):
    """A mixture of Gaussians over pictures (3, SIDE, SIDE), as buffers; `fit_density` makes one.

    mean: of all pictures. basis: one standard deviation within a component, direction by direction. centers: of the
    components, in these. shares: of the pictures, that a component stands for. rest: mean square of what pictures hold
    beside all directions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, SIDE, SIDE))
        self.register_buffer("basis", torch.zeros(DIRECTIONS, 3, SIDE, SIDE))
        self.register_buffer("centers", torch.zeros(COMPONENTS, DIRECTIONS))
        self.register_buffer("shares", torch.zeros(COMPONENTS))
        self.register_buffer("rest", torch.zeros(()))

    def sane(self) -> bool:
        """Whether one can draw from it."""
        shares = self.get_buffer("shares")
        return bool((shares >= 0).all() and shares.sum() > 0)

    def draw(self, generators: Sequence[torch.Generator]) -> Latent:
        """One draw for each generator, on the CPU."""
        shares, centers = self.get_buffer("shares").cpu(), self.get_buffer("centers").cpu()
        drawn = [torch.multinomial(shares, 1, generator=generator) for generator in generators]
        offsets = [torch.randn(DIRECTIONS, generator=generator) for generator in generators]
        return Latent(centers[torch.cat(drawn)], torch.stack(offsets))

    def pictures(self, latent: Latent, size: int, variety: float = VARIETY) -> Tensor:
        """Latents -> pictures (B, 3, size, size) in [-1, 1], smoothly enlarged, on the device of the density."""
        basis = self.get_buffer("basis")
        at = (latent.center + variety * latent.offset).to(basis)
        x = self.get_buffer("mean") + torch.einsum("bd,dchw->bchw", at, basis)
        return F.interpolate(x, (size, size), mode="bicubic", align_corners=False).clamp(-1, 1)

    @torch.no_grad()
    def completed(self, known: Tensor, hole: Tensor) -> Tensor:
        """What is expected in a hole, given the rest: the mean of the density under the condition of known pixels.

        known: (3, SIDE, SIDE) in [-1, 1]. hole: (SIDE, SIDE), True where pixels are not known. Returns a whole picture.
        """
        there = (~hole).expand(3, -1, -1).flatten()
        basis, mean = self.get_buffer("basis").flatten(1), self.get_buffer("mean").flatten()
        shares, centers = self.get_buffer("shares"), self.get_buffer("centers")
        shares, centers = shares[shares > 0], centers[shares > 0]
        noise = TRUST * self.get_buffer("rest").clamp(min=1e-5)
        seen = basis[:, there] / noise.sqrt()  # (D, n)
        residual = (known.flatten() - mean)[there] / noise.sqrt() - centers @ seen  # (K, n)
        within = torch.eye(len(basis), device=basis.device) + seen @ seen.T
        offset = torch.linalg.solve(within, seen @ residual.T).T  # (K, D)
        # The squared length of the residual in its own covariance, by Woodbury's identity.
        far = residual.square().sum(1) - ((seen @ residual.T).T * offset).sum(1)
        likely = torch.softmax(shares.log() - far / 2, 0)
        expected = mean + likely @ (centers + offset) @ basis
        return expected.view(3, SIDE, SIDE).clamp(-1, 1)


@torch.no_grad()
def fit_density(pictures: Tensor, seed: int = 0) -> Density:
    """The density of square pictures (N, 3, S, S) in [-1, 1], S a multiple of SIDE, and of their mirror images.

    Raises ValueError where there are fewer than MIN_PICTURES.
    """
    pictures = thinned(pictures, MAX_PICTURES)
    if len(pictures) < MIN_PICTURES:
        raise ValueError(f"to make pictures takes at least {MIN_PICTURES} of them to learn from, not {len(pictures)}")
    small = pooled(pictures, pictures.shape[-1] // SIDE)
    rows = torch.cat([small, small.flip(3)]).flatten(1)
    mean = rows.mean(0)
    _, _, directions = torch.linalg.svd(rows - mean, full_matrices=False)
    kept = min(DIRECTIONS, len(rows) // 4)
    coordinates = (rows - mean) @ directions[:kept].T
    centers, of = _components(coordinates, torch.Generator().manual_seed(seed))
    within = coordinates - centers[of]
    variances, axes = torch.linalg.eigh(within.T @ within / max(1, len(rows) - len(centers)))
    deviations = variances.clamp(min=1e-8).sqrt()
    density, count = Density(), len(centers)
    basis = deviations[:, None] * (axes.T @ directions[:kept])
    density.get_buffer("mean").copy_(mean.view(3, SIDE, SIDE))
    density.get_buffer("basis")[:kept] = basis.view(kept, 3, SIDE, SIDE)
    density.get_buffer("centers")[:count, :kept] = centers @ axes / deviations
    density.get_buffer("rest").copy_((rows - mean).square().mean() - coordinates.square().sum() / rows.numel())
    density.get_buffer("shares")[:count] = torch.bincount(of, minlength=count) / len(rows)
    return density


def _components(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """k-means: centers (k, D), and which one each row belongs to. Small components are dissolved among the others."""
    count = min(COMPONENTS, max(1, len(x) // (2 * FEWEST)))
    centers = x[torch.randperm(len(x), generator=generator)[:count]]
    while True:
        for _ in range(ROUNDS):
            of = torch.cdist(x, centers).argmin(1)
            sizes = torch.bincount(of, minlength=len(centers))
            centers = torch.stack([x[of == n].mean(0) for n in range(len(centers)) if sizes[n]])
        of = torch.cdist(x, centers).argmin(1)
        sizes = torch.bincount(of, minlength=len(centers))
        if len(centers) == 1 or int(sizes.min()) >= FEWEST:
            return centers, of
        centers = centers[torch.arange(len(centers)) != int(sizes.argmin())]
