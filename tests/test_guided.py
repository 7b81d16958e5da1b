"""The guided filter: symmetric and positive for a guide that stays, and it follows the guide's edges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.guided import GuidedFilter, GuidedScales
from models.preconditioner import precondition
from models.sampling import follow, sample
from models.schedule import Level, Schedule
from models.windows import touching, within


def uniform(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(shape, dtype=torch.float64, generator=generator) - 1


@pytest.mark.parametrize(("size", "window"), [((7, 9), 4), ((5, 6), 3), ((4, 5), 8), ((11, 10), 12)])
def test_it_is_symmetric_and_positive_and_its_rows_sum_to_one(size: tuple[int, int], window: int) -> None:
    """All of its matrix, column by column; windows may be larger than the picture."""
    smooth = GuidedFilter(uniform(1, 3, *size), window, 0.05)
    places = size[0] * size[1]
    points = torch.eye(places, dtype=torch.float64).view(1, places, *size)
    matrix = smooth(points)[0].flatten(1)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12
    torch.testing.assert_close(matrix.sum(1), torch.ones(places, dtype=torch.float64))


def test_colour_stays_on_its_side_of_an_edge_and_spreads_over_what_is_even() -> None:
    guide = torch.full((1, 3, 32, 32), -0.5)
    guide[..., 16:] = 0.5
    point = torch.zeros(1, 1, 32, 32)
    point[..., 12:20, 8:15] = 1.0  # up to one pixel from the edge
    kept = GuidedFilter(guide, 8, 0.01)(point)
    plain = GuidedFilter(torch.zeros_like(guide), 8, 0.01)(point)
    assert kept[..., 16:].abs().sum() < 0.1 * plain[..., 16:].abs().sum()
    assert kept[..., 5].abs().sum() > 0.5 * plain[..., 5].abs().sum()


def test_the_change_of_an_affine_function_of_the_guide_is_left_as_it_is() -> None:
    guide = uniform(2, 3, 24, 17, seed=3)
    x = 0.3 * guide[:, :1] - 0.8 * guide[:, 1:2] + 0.1
    torch.testing.assert_close(GuidedFilter(guide, 9, 1e-9)(x), x, atol=1e-6, rtol=0)


def test_an_even_guide_makes_it_a_plain_average_and_each_picture_has_its_own() -> None:
    x = uniform(2, 2, 20, 20, seed=1)
    even = GuidedFilter(torch.zeros(2, 3, 20, 20, dtype=torch.float64), 5, 0.1)(x)
    tent = torch.tensor([1.0, 2, 3, 4, 5, 4, 3, 2, 1], dtype=torch.float64) / 25
    kernel = torch.outer(tent, tent)[None, None].expand(2, 1, 9, 9)
    torch.testing.assert_close(even[..., 4:-4, 4:-4], F.conv2d(x, kernel, groups=2))
    guides = uniform(2, 3, 20, 20, seed=2)
    both = GuidedFilter(guides, 5, 0.1)(x)
    torch.testing.assert_close(both[1:], GuidedFilter(guides[1:], 5, 0.1)(x[1:]))


@pytest.mark.parametrize("window", [1, 2, 5, 11])
def test_sums_over_windows_equal_those_of_a_convolution_and_are_each_others_transpose(window: int) -> None:
    x, y = uniform(1, 2, 8, 9), uniform(1, 2, 7 + window, 8 + window, seed=1)
    ones = torch.ones(2, 1, window, window, dtype=torch.float64)
    torch.testing.assert_close(touching(x, window), F.conv2d(x, ones, padding=window - 1, groups=2))
    torch.testing.assert_close(within(y, window), F.conv2d(y, ones, groups=2))
    torch.testing.assert_close((touching(x, window) * y).sum(), (x * within(y, window)).sum())


def test_a_guided_level_keeps_colours_within_the_sources_edges() -> None:
    """Half of the energy's slope lies on one side of an edge alone: so does the colour that the chain gives it."""
    source = torch.full((1, 3, 16, 16), -0.5)
    source[..., 8:] = 0.4
    red = torch.zeros(1, 3, 16, 16)
    red[:, 0, :, :8], red[:, 1, :, :8] = 1.0, -1.0

    def spilled(guide: float) -> float:
        level = Level(16, steps=3, step_size=0.05, luma=((1, 1.0),), chroma=((8, 0.2),), guide=guide)
        chain = sample(lambda resolution: lambda x: -(x * red).sum((1, 2, 3)), Schedule((level,)), source, [source])
        change = follow(chain, source) - source
        return float(change[..., 8:].abs().sum() / change[..., :8].abs().sum())

    assert spilled(0.01) < 0.2 * spilled(0.0)


def test_gray_stays_gray_along_edges_too() -> None:
    gray = uniform(1, 1, 12, 12).expand(1, 3, 12, 12)
    guide = uniform(1, 3, 12, 12, seed=5)
    smooth = GuidedFilter(guide, 4, 0.05)
    made = precondition(gray, ((4, 1.0),), ((4, 1.0),), GuidedScales(guide, [4], 0.05))
    torch.testing.assert_close(made, 4 * smooth(gray), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(made[:, 0], made[:, 2], atol=1e-6, rtol=1e-6)


def test_scales_are_the_weighted_sum_of_the_single_filters() -> None:
    guide, x = uniform(2, 3, 20, 14, seed=6), uniform(2, 2, 20, 14, seed=7)
    both = GuidedScales(guide, [4, 9], 0.05)(x, ((4, 0.7), (9, 2.0)))
    torch.testing.assert_close(both, 0.7 * GuidedFilter(guide, 4, 0.05)(x) + 2 * GuidedFilter(guide, 9, 0.05)(x))
