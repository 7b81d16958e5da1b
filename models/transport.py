"""Where chains between two kinds of aligned things begin: optimal transport between them, at a few pixels.

For Gaussians N(m, A) and N(n, B) the transport that moves pictures least is known in closed form (Olkin & Pukelsheim,
1982; Peyre & Cuturi, "Computational Optimal Transport", 2019, remark 2.31):

    T(x) = n + A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2 (x - m).

It keeps pose, colours and ground and turns one mean face into the other. What it makes of a turned head or of odd marks
is a picture that the Gaussian allows and the domain does not: one eye, or three. So its large colours and light stay,
and its shapes become what the target's pictures like it have in common, by kernel regression (Nadaraya, 1964; Watson,
1964). The way there is a straight line (McCann's displacement interpolation, 1997), so that each part of it is a
picture too. What is finer than SIDE px comes later, at the next level: see example_detail.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.detail import kept
from models.energy import pooled
from models.example_detail import ExampleDetail
from models.framing import Framing, fit_framing
from models.octaves import Octaves
from models.silhouette import AT_ONCE, GRID, Silhouette
from models.terms.trunk import Trunk, load_trunk
from models.thinning import thinned

SIDE = 32  # pixels
DIRECTIONS = 128  # principal components of both domains together
_PER_DIRECTION = 8  # pictures, mirror images included, that an axis of a covariance is estimated from, at least
_FLOOR = 0.01  # added to the variance along a direction, summed over pixels: where neither has any, T is 1
EXAMPLES = 1024  # pictures of the target and their mirror images, at most, that shapes are made from
KEPT = 8  # axes of the target along which pictures vary most, in colour and light, that the Gaussian alone decides
NEIGHBORS = 8  # the kernel is as wide as the distance to the neighbour of this rank
WIDTH = 0.15  # times that, in squares
RIDGE = 0.02  # weight decay of the regression of outlines, as a share of the mean square along a direction
OUTLINES = 256  # pictures of the target and their mirror images, at most, that outlines are learned from
_INSIDE, _STEEP = 1.0, 2.0  # logits of an outline's middle, and its steepness
LIKENESS = 8.0  # power, see detail.kept: at these few pixels half of a face is alike for both


class Transport(nn.Module):
    """The map, as buffers, and what finds the frame in a photo that it holds for; `fit_transport` makes one.

    source_mean, target_mean: (3, SIDE, SIDE). basis: the directions, (DIRECTIONS, 3, SIDE, SIDE), orthonormal, along
    the target's axes by falling variance. matrix: T in these. deviations: of the target along them, (DIRECTIONS,).
    examples: pictures of the target in these, (EXAMPLES, DIRECTIONS). Zeros stand where there are fewer. outline_mean,
    outlines: logits of the target's outlines, (SIDE, SIDE), and their slopes along the directions, (DIRECTIONS, SIDE,
    SIDE). detail, octaves: what is finer, and how strong it is. silhouette: where the source's own things are.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.framing = Framing(trunk)
        self.detail = ExampleDetail()
        self.silhouette = Silhouette(trunk)
        self.octaves = Octaves()
        self.register_buffer("source_mean", torch.zeros(3, SIDE, SIDE))
        self.register_buffer("target_mean", torch.zeros(3, SIDE, SIDE))
        self.register_buffer("basis", torch.zeros(DIRECTIONS, 3, SIDE, SIDE))
        self.register_buffer("matrix", torch.zeros(DIRECTIONS, DIRECTIONS))
        self.register_buffer("deviations", torch.zeros(DIRECTIONS))
        self.register_buffer("examples", torch.zeros(EXAMPLES, DIRECTIONS))
        self.register_buffer("outline_mean", torch.zeros(SIDE, SIDE))
        self.register_buffer("outlines", torch.zeros(DIRECTIONS, SIDE, SIDE))

    def on(self, device: torch.device) -> Transport:
        """A copy on a device."""
        moved = Transport(load_trunk(device=device)).to(device)
        moved.load_state_dict(self.state_dict())
        return moved

    @torch.no_grad()
    def forward(self, x: Tensor, typical: bool = True) -> Tensor:
        """Source pictures (B, 3, h, w) in [-1, 1] -> where their chains begin, the same shape and range.

        typical: with the shapes that the target's pictures have in common; otherwise the Gaussians' transport alone.
        Pictures of another shape are moved as their squeezed copy. What the directions do not hold of a picture, and
        what is finer, stays where both are alike.
        """
        square = F.interpolate(x, (SIDE, SIDE), mode="area")
        basis = self.get_buffer("basis").flatten(1)
        centred = (square - self.get_buffer("source_mean")).flatten(1)
        rest = (centred - centred @ basis.T @ basis).view_as(square)
        coordinates = self.coordinates(square)
        moved = self.pictures(self.typical(coordinates) if typical else coordinates)
        alike = kept(square, moved, LIKENESS)
        moved = moved + alike * rest
        moved, square, alike = (_to(y, x) for y in (moved, square, alike))
        return (moved + alike * (x - square)).clamp(-1, 1)

    @torch.no_grad()
    def outline(self, x: Tensor) -> Tensor:
        """Pictures of the target (B, 3, h, w) -> how much of each place their thing fills: (B, 1, h, w) in [0, 1]."""
        centred = (F.interpolate(x, (SIDE, SIDE), mode="area") - self.get_buffer("target_mean")).flatten(1)
        own = centred @ self.get_buffer("basis").flatten(1).T @ self.get_buffer("outlines").flatten(1)
        logits = (own.view(-1, SIDE, SIDE) + self.get_buffer("outline_mean"))[:, None]
        share = torch.sigmoid(_STEEP * (logits + _INSIDE))
        return _to(share, x)

    def coordinates(self, x: Tensor) -> Tensor:
        """Source pictures (B, 3, SIDE, SIDE) -> where the Gaussians' transport takes them: (B, DIRECTIONS)."""
        centred = (x - self.get_buffer("source_mean")).flatten(1)
        return centred @ self.get_buffer("basis").flatten(1).T @ self.get_buffer("matrix").T

    def typical(self, coordinates: Tensor) -> Tensor:
        """The same colours, with the shapes that the target's pictures like these have in common: (B, DIRECTIONS)."""
        deviations, examples = self.get_buffer("deviations"), self.get_buffer("examples")
        examples = examples[examples.any(1)]
        if not len(examples):
            return coordinates
        scale = torch.where(deviations > 0, 1 / deviations, 0)
        # Pair by pair: by matrix products, a distance would depend on what else is in the batch.
        mode = "donot_use_mm_for_euclid_dist"
        far = torch.cdist(coordinates * scale, examples * scale, compute_mode=mode).square()
        rank = min(NEIGHBORS, len(examples))
        width = WIDTH * far.kthvalue(rank, dim=1, keepdim=True).values.clamp(min=1e-6)
        shapes, own = (torch.softmax(-far / width, 1) @ examples)[:, KEPT:], coordinates[:, KEPT:]
        # An average is flatter than what it is of.
        longer = own.norm(dim=1, keepdim=True) / shapes.norm(dim=1, keepdim=True).clamp(min=1e-6)
        return torch.cat([coordinates[:, :KEPT], longer * shapes], 1)

    def pictures(self, coordinates: Tensor) -> Tensor:
        """Coordinates (B, DIRECTIONS) -> pictures of the target (B, 3, SIDE, SIDE)."""
        x = coordinates @ self.get_buffer("basis").flatten(1)
        return self.get_buffer("target_mean") + x.view(-1, 3, SIDE, SIDE)


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
    # The directions are turned to the target's axes.
    target_own = (centred[1] @ basis.T).double()
    axes = torch.linalg.eigh(target_own.T @ target_own).eigenvectors.flip(1)
    basis = (axes.T @ basis.double()).float()
    coordinates = [(x @ basis.T).double() for x in centred]
    a, b = (x.T @ x / len(x) + _FLOOR * torch.eye(directions) for x in coordinates)
    root, inverse = _power(a, 0.5), _power(a, -0.5)
    examples = thinned(coordinates[1], EXAMPLES)
    transport = Transport(trunk)
    transport.framing = fit_framing(source, trunk, seed)
    transport.detail.fit(target)
    transport.get_buffer("source_mean").copy_(means[0].view(3, SIDE, SIDE))
    transport.get_buffer("target_mean").copy_(means[1].view(3, SIDE, SIDE))
    transport.get_buffer("basis")[:directions] = basis.view(directions, 3, SIDE, SIDE)
    transport.get_buffer("matrix")[:directions, :directions] = inverse @ _power(root @ b @ root, 0.5) @ inverse
    transport.get_buffer("deviations")[:directions] = b.diagonal().sqrt()
    transport.get_buffer("examples")[: len(examples), :directions] = examples
    transport.silhouette.fit(source, target)
    shown = [transport.silhouette(x) for x in thinned(target, OUTLINES).split(AT_ONCE)]
    outlines = pooled(torch.cat(shown), GRID // SIDE)
    own = torch.cat([thinned(half, OUTLINES) for half in coordinates[1].chunk(2)])
    mean, slopes = _regressed(own, torch.cat([outlines, outlines.flip(3)]).flatten(1).double())
    transport.get_buffer("outline_mean").copy_(mean.view(SIDE, SIDE))
    transport.get_buffer("outlines")[:directions] = slopes.view(directions, SIDE, SIDE).float()
    return transport


def _regressed(inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression of outputs (N, K) on inputs (N, F) of mean zero: their mean (K,) and slopes (F, K)."""
    mean = outputs.mean(0)
    square = inputs.T @ inputs
    decay = RIDGE * square.diagonal().mean() + _FLOOR
    return mean, torch.linalg.solve(square + decay * torch.eye(len(square)), inputs.T @ (outputs - mean))


def _to(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values**exponent @ vectors.T
