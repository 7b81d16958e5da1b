"""Where a thing is, learned without outlines, and the ground without it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.silhouette import GRID, Silhouette, ground
from models.terms.trunk import load_trunk
from tests.helpers.busts import axes, busts


@pytest.fixture(scope="module")
def silhouette() -> Silhouette:
    made = Silhouette(load_trunk())
    made.fit(busts(24, seed=1), busts(24, seed=2))
    return made


def places(size: float) -> Tensor:
    """Where the head of a bust is, (GRID, GRID)."""
    down, right = axes(GRID)
    return down.square() + right.square() < size**2


def test_things_are_told_from_grounds_to_their_edges(silhouette: Silhouette) -> None:
    logits = silhouette(busts(6, seed=3))[:, 0]
    surely, outside = places(0.35), ~places(0.9) & (axes(GRID)[0] < 0)
    assert (logits[:, surely] > 0).float().mean() > 0.95
    assert (logits[:, outside] < 0).float().mean() > 0.95


def test_the_position_alone_tells_nothing(silhouette: Silhouette) -> None:
    """A picture of ground alone has no thing in its middle, whatever training pictures had there."""
    x = busts(4, size=0.0, seed=4)
    middle = places(0.35)
    assert (silhouette(x)[:, 0][:, middle] > 0).float().mean() < 0.3


def test_the_ground_is_the_photos_own_and_has_no_thing(silhouette: Silhouette) -> None:
    x, bare = busts(6, seed=5, side=256), busts(6, size=0.0, seed=5, side=256)
    left = ground(x, silhouette.thing(x))
    assert left.shape == x.shape and float(left.abs().max()) <= 1.001
    corner = (slice(None), slice(None), slice(0, 24), slice(0, 24))
    assert (left - x)[corner].abs().mean() < 0.1 * (x - x.mean((2, 3), keepdim=True))[corner].abs().mean()
    inside = F.interpolate(places(0.5)[None, None].float(), (256, 256))
    stripes = [(y.diff(dim=3).abs() * inside[..., 1:]).mean() for y in (x, left, bare)]
    assert stripes[1] < 2 * stripes[2] < 0.5 * stripes[0]


def test_pictures_do_not_depend_on_their_neighbours(silhouette: Silhouette) -> None:
    x = busts(3, seed=6)
    together, alone = silhouette.thing(x), torch.cat([silhouette.thing(one[None]) for one in x])
    assert torch.allclose(together, alone, atol=1e-4)
