"""Changes that are carried up along edges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.guided import enlarge_along_edges
from models.langevin import climb, enlarge, pooled
from models.schedule import Ladder, Stage


def pictures(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_same_shift_everywhere_stays_that_shift() -> None:
    fine = pictures()
    shift = torch.tensor([0.3, -0.2, 0.1]).view(1, 3, 1, 1)
    carried = enlarge_along_edges(shift.expand(3, 3, 16, 24), pooled(fine, 2), fine)
    torch.testing.assert_close(carried, shift.expand_as(fine))


def test_a_batch_is_its_pictures() -> None:
    fine = pictures()
    coarse = pooled(fine, 2)
    change = coarse.flip(1) - coarse
    together = enlarge_along_edges(change, coarse, fine)
    alone = torch.cat([enlarge_along_edges(change[n : n + 1], coarse[n : n + 1], fine[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(together, alone)


def test_a_recoloured_thing_keeps_its_outline() -> None:
    """A dark disc on white gets another colour: less of it falls on the white, and more on the rim, than bilinearly."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = ((x - 31) ** 2 + (y - 31) ** 2 < 20**2).float()[None, None]
    fine = 1 - disc * torch.tensor([0.5, 1.6, 1.6]).view(1, 3, 1, 1)
    wanted = disc * torch.tensor([0.2, 0.8, 0.0]).view(1, 3, 1, 1)
    change = pooled(wanted, 2)
    guided, plain = enlarge_along_edges(change, pooled(fine, 2), fine), enlarge(change)
    assert (guided - wanted).abs().mean() < 0.5 * (plain - wanted).abs().mean()


@pytest.mark.parametrize("guided", [False, True])
def test_a_ladder_says_which_way_its_changes_go_up(guided: bool) -> None:
    ladder = Ladder((Stage(8, 1, 0.5), Stage(16, 1, 0.5)), reach=10.0, guided=guided)
    fine = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) / 100
    sources = [pooled(fine, 2), fine]
    weights = pictures(1)[..., :8, :8]

    def energy_at(resolution: int):
        return lambda x: (x * weights).sum((1, 2, 3)) if resolution == 8 else 0 * x.sum((1, 2, 3))

    *_, last = climb(energy_at, ladder, sources[0], sources)
    change = -0.5 * weights
    carried = enlarge_along_edges(change, *sources) if guided else enlarge(change)
    torch.testing.assert_close(last.z - fine, carried, atol=1e-3, rtol=0)
