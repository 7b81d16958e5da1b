"""The colours of a domain's things: on discs of two colours."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.energy import EnergyFn, pooled
from models.gate import DomainProbe
from models.palette import Palette, fit_palette
from models.preconditioner import LUMA_CHROMA
from models.sampling import sample
from models.schedule import Level, Schedule
from tests.helpers import BLUE, RED, disc_probe, discs, random_pictures


@pytest.fixture(scope="module")
def probe() -> DomainProbe:
    return disc_probe()


@pytest.fixture(scope="module")
def palette(probe: DomainProbe) -> Palette:
    """Of blue discs, the target."""
    return fit_palette([discs(12, BLUE, seed=3)[0], discs(12, BLUE, seed=4)[0]], probe)


def plain(color: tuple[float, float, float], side: int = 8) -> Tensor:
    return torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, side, side).clone()


def axes(x: Tensor) -> Tensor:
    return torch.einsum("oc,bchw->bohw", LUMA_CHROMA, x)


def test_colours_near_those_of_the_targets_things_go_to_them_and_light_stays(palette: Palette) -> None:
    near = plain(BLUE) + torch.tensor([0.15, 0.0, -0.15]).view(1, 3, 1, 1)
    moved = palette(near)
    assert (moved - plain(BLUE)).square().mean() < 0.3 * (near - plain(BLUE)).square().mean()
    assert torch.allclose(axes(moved)[:, 0], axes(near)[:, 0], atol=0.01)


@pytest.mark.parametrize("color", [(0.9, 0.9, -0.9), (-0.9, 0.9, -0.9)])
def test_colours_that_no_thing_has_stay(palette: Palette, color: tuple[float, float, float]) -> None:
    assert torch.allclose(palette(plain(color)), plain(color), atol=0.05)


def test_a_picture_gets_the_same_colours_alone_and_in_a_batch(palette: Palette) -> None:
    x = random_pictures(3, 16)
    assert torch.equal(palette(x)[1:2], palette(x[1:2]))


def test_batches_of_pictures_count_alike(probe: DomainProbe) -> None:
    x = discs(8, BLUE, seed=5)[0]
    whole, parts = fit_palette([x], probe), fit_palette(x.split(3), probe)
    assert torch.allclose(whole.get_buffer("chroma"), parts.get_buffer("chroma"), atol=1e-4)


def turned() -> tuple[Tensor, Tensor, Tensor]:
    """Red discs of 64 px, the same turned to a blue that is too red, and where the discs are."""
    x, mask = discs(2, RED, seed=6)
    other = torch.tensor(BLUE) + torch.tensor([0.15, 0, -0.15]) - torch.tensor(RED)
    return x, (x + mask * other.view(3, 1, 1)).clamp(-1, 1), mask


def test_it_reaches_what_a_chain_has_changed_and_nothing_else(palette: Palette) -> None:
    x, changed, mask = turned()
    moved = (palette.toward(1.0, [x], [mask])(changed, 64) - changed).abs().mean(1, keepdim=True)
    inside, outside = (float((moved * m).sum() / m.sum()) for m in (mask, 1 - mask))
    assert inside > 0.03 and outside < 0.1 * inside


def test_without_a_share_or_a_change_nothing_moves(palette: Palette) -> None:
    x, changed, mask = turned()
    assert torch.equal(palette.toward(0.0, [x], [mask])(changed, 64), changed)
    assert torch.allclose(palette.toward(1.0, [x], [mask])(x, 64), x)


def test_a_chain_ends_in_its_colours(palette: Palette) -> None:
    """Steps towards a blue that is too green; each level ends nearer to the discs' own."""
    x, _, mask = turned()
    sources, masks = [pooled(x, 2), x], [pooled(mask, 2), mask]
    aim = (torch.tensor(BLUE) + torch.tensor([0.0, 0.3, -0.1])).view(3, 1, 1)

    def energy_at(resolution: int) -> EnergyFn:
        weight = masks[resolution // 64]
        return lambda y: (weight * (y - aim).square()).mean((1, 2, 3))

    schedule = Schedule((Level(32, 6, 2000.0), Level(64, 3, 8000.0)), white_point=10.0)
    off = []
    for finish in (palette.toward(1.0, sources, masks), None):
        *_, end = sample(energy_at, schedule, sources[0], sources, finish=finish)
        off.append(float((axes(end.x - plain(BLUE, 64))[:, 1:] * mask).square().mean()))
    assert off[0] < 0.5 * off[1]


def test_strength_takes_it_along() -> None:
    schedule = Schedule((Level(32, 4),), palette=1.0)
    assert schedule.scaled(0.4).palette == pytest.approx(0.4) and schedule.scaled(2.0).palette == 1.0
    with pytest.raises(ValueError, match="palette must lie"):
        Schedule((Level(32, 4),), palette=1.5)
