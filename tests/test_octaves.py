"""Pictures brought towards the fine light of a domain's."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from models.octaves import COUNT, MOST, Octaves
from tests.helpers.busts import busts


def sharp(count: int, seed: int = 0) -> torch.Tensor:
    noise = 0.2 * torch.randn(count, 1, 128, 128, generator=torch.Generator().manual_seed(seed))
    return (0.5 * busts(count, seed=seed) + noise).clamp(-1, 1)


def blurred(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def fitted() -> Octaves:
    octaves = Octaves()
    octaves.fit(sharp(24, seed=1))
    return octaves


def test_soft_pictures_get_half_of_what_they_lack() -> None:
    octaves, x = fitted(), blurred(sharp(8, seed=2))
    again = Octaves()
    again.fit(x)
    before = again.get_buffer("strength").clone()
    again.fit(x + octaves(x))
    after, wanted = again.get_buffer("strength"), octaves.get_buffer("strength")
    assert before[0] < after[0] < wanted[0]
    gain = torch.tensor(min(MOST, float((wanted[0] / before[0]) ** 0.5)))
    assert torch.isclose(after[0] / before[0], gain, rtol=0.15)


def test_what_is_sharp_already_stays() -> None:
    octaves, x = fitted(), 2 * sharp(4, seed=3)
    assert torch.allclose(octaves(x), torch.zeros(4, 1, 128, 128), atol=1e-6)


def test_it_changes_no_colour_and_no_large_light() -> None:
    octaves, x = fitted(), blurred(sharp(2, seed=4))
    change = octaves(x)
    assert change.shape == (2, 1, 128, 128)
    assert F.avg_pool2d(change, 2**COUNT).abs().mean() < 0.1 * change.abs().mean()
    assert torch.allclose(octaves(x[:1]), change[:1], atol=1e-6)


def test_an_even_picture_and_an_odd_size_do_no_harm() -> None:
    octaves = fitted()
    assert not octaves(torch.full((1, 3, 64, 64), 0.3)).isnan().any()
    assert octaves(sharp(1)[..., :101, :75]).shape == (1, 1, 101, 75)
    assert octaves.resolution == 128 and Octaves().resolution == 0
