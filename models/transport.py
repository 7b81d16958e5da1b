"""Where chains between two kinds of aligned things begin: optimal transport between their Gaussians, at a few pixels.

For Gaussians N(m, A) and N(n, B) the transport that moves pictures least is known in closed form (Olkin & Pukelsheim,
1982; Peyre & Cuturi, "Computational Optimal Transport", 2019, remark 2.31):

    T(x) = n + A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2 (x - m).

It keeps pose, colours and ground and turns one mean face into the other; what a Gaussian cannot know, the chain learns.
The way there is a straight line (McCann's displacement interpolation, 1997), so that each part of it is a picture too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.detail import kept
from models.energy import pooled
from models.framing import Framing, fit_framing
from models.terms.trunk import Trunk, load_trunk

SIDE = 32  # pixels
DIRECTIONS = 128  # principal components of both domains together
_PER_DIRECTION = 8  # pictures, mirror images included, that an axis of a covariance is estimated from, at least
_FLOOR = 0.01  # added to the variance along a direction, summed over pixels: where neither has any, T is 1
LIKENESS = 8.0  # power, see detail.kept: at these few pixels half of a face is alike for both


class Transport(nn.Module):
    """The map, as buffers, and what finds the frame in a photo that it holds for; `fit_transport` makes one.

    source_mean, target_mean: (3, SIDE, SIDE). basis: the directions, (DIRECTIONS, 3, SIDE, SIDE), orthonormal; zeros
    where there are fewer. matrix: T in these.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.framing = Framing(trunk)
        self.register_buffer("source_mean", torch.zeros(3, SIDE, SIDE))
        self.register_buffer("target_mean", torch.zeros(3, SIDE, SIDE))
        self.register_buffer("basis", torch.zeros(DIRECTIONS, 3, SIDE, SIDE))
        self.register_buffer("matrix", torch.zeros(DIRECTIONS, DIRECTIONS))

    def on(self, device: torch.device) -> Transport:
        """A copy on a device."""
        moved = Transport(load_trunk(device=device)).to(device)
        moved.load_state_dict(self.state_dict())
        return moved

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Source pictures (B, 3, h, w) in [-1, 1] -> where their chains begin, the same shape and range.

        Pictures of another shape are moved by what moves their squeezed copy. What the directions do not hold of a
        picture stays where both are alike.
        """
        square = F.interpolate(x, (SIDE, SIDE), mode="area")
        basis = self.get_buffer("basis").flatten(1)
        coordinates = (square - self.get_buffer("source_mean")).flatten(1) @ basis.T
        known = self.get_buffer("source_mean") + (coordinates @ basis).view_as(square)
        moved = self.get_buffer("target_mean") + (coordinates @ self.get_buffer("matrix").T @ basis).view_as(square)
        moved = moved + kept(square, moved, LIKENESS) * (square - known)
        change = F.interpolate(moved - square, x.shape[-2:], mode="bilinear", align_corners=False)
        return (x + change).clamp(-1, 1)


@torch.no_grad()
def fit_transport(source: Tensor, target: Tensor, trunk: Trunk, seed: int = 0) -> Transport:
    """From pictures of both domains, (N, 3, S, S) and (M, 3, S, S) in [-1, 1], S a multiple of SIDE, and their mirror
    images.

    The fewer there are, the fewer directions are moved. seed: of the windows that the framing learns from.
    """
    small = (pooled(x, x.shape[-1] // SIDE) for x in (source, target))
    rows = [torch.cat([x, x.flip(3)]).flatten(1) for x in small]
    means = [x.mean(0) for x in rows]
    centred = [x - mean for x, mean in zip(rows, means, strict=True)]
    # Each domain counts the same, however many pictures it has.
    both = torch.cat([x / len(x) ** 0.5 for x in centred])
    directions = max(1, min(DIRECTIONS, *(len(x) // _PER_DIRECTION for x in rows)))
    basis = torch.linalg.svd(both, full_matrices=False).Vh[:directions]
    coordinates = ((x @ basis.T).double() for x in centred)
    a, b = (x.T @ x / len(x) + _FLOOR * torch.eye(directions) for x in coordinates)
    root, inverse = _power(a, 0.5), _power(a, -0.5)
    matrix = inverse @ _power(root @ b @ root, 0.5) @ inverse
    transport = Transport(trunk)
    transport.framing = fit_framing(source, trunk, seed)
    transport.get_buffer("source_mean").copy_(means[0].view(3, SIDE, SIDE))
    transport.get_buffer("target_mean").copy_(means[1].view(3, SIDE, SIDE))
    transport.get_buffer("basis")[:directions] = basis.view(directions, 3, SIDE, SIDE)
    transport.get_buffer("matrix")[:directions, :directions] = matrix
    return transport


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values**exponent @ vectors.T
