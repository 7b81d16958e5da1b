"""The preconditioner: what makes its steps lead downhill, and colours smooth."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.preconditioner import Scales, multiscale, precondition, tent

LUMA: Scales = ((1, 0.5), (2, 0.15), (5, 1.0))
CHROMA: Scales = ((4, 1.0), (9, 0.3))
SIZES = [(16, 16), (17, 23), (8, 31), (5, 3)]


def normal(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", SIZES)
def test_it_is_symmetric_and_positive_whatever_the_size(size: tuple[int, int]) -> None:
    """<u, P v> = <P u, v>, and <u, P u> > 0: its steps lead downhill. Windows may be larger than the picture."""
    u, v = normal(*size, seed=1), normal(*size, seed=2)
    one, other = (u * precondition(v, LUMA, CHROMA)).sum(), (precondition(u, LUMA, CHROMA) * v).sum()
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert (u * precondition(u, LUMA, CHROMA)).sum((1, 2, 3)).min() > 0
    checkers = ((torch.arange(size[0])[:, None] + torch.arange(size[1])) % 2 * 2.0 - 1).expand(1, 3, *size).double()
    assert (checkers * precondition(checkers, CHROMA, CHROMA)).sum() > 0, "also along what it smooths most"


def test_gray_stays_gray_and_colour_without_light_stays_without() -> None:
    gray = normal(12, 15).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    made = precondition(gray, LUMA, CHROMA)
    torch.testing.assert_close(made, multiscale(gray, LUMA), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(made[:, 0], made[:, 2], rtol=1e-6, atol=1e-6)
    color = normal(12, 15) - normal(12, 15).mean(1, keepdim=True)
    made = precondition(color, LUMA, CHROMA)
    torch.testing.assert_close(made, multiscale(color, CHROMA), rtol=1e-6, atol=1e-6)
    assert made.sum(1).abs().max() < 1e-6


def test_without_scales_it_is_the_identity_and_with_one_sort_alone_the_other_is_gone() -> None:
    x = normal(9, 9)
    assert torch.equal(precondition(x, (), ()), x)
    torch.testing.assert_close(
        precondition(x, ((1, 1.0),), ()), x.mean(1, keepdim=True).expand_as(x), rtol=1e-6, atol=1e-6
    )


def test_inside_a_constant_is_multiplied_by_weights_times_windows() -> None:
    x = torch.full((1, 3, 32, 32), 0.5)
    made = precondition(x, ((1, 2.0), (3, 0.5), (8, 0.25)), ((2, 1.0),))[:, :, 8:-8, 8:-8]
    torch.testing.assert_close(made, torch.full_like(made, 0.5 * (2.0 + 3 * 0.5 + 8 * 0.25)))


@pytest.mark.parametrize("window", [2, 3, 6])
def test_a_point_becomes_a_tent(window: int) -> None:
    point = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    point[..., 10, 10] = 1
    sides = (window - (torch.arange(21, dtype=torch.float64) - 10).abs()).clamp(min=0) / window**2
    torch.testing.assert_close(tent(point, window)[0, 0], torch.outer(sides, sides))
