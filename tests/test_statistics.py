"""Statistics of paintings: a bank measures what the whole Gram matrices would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.energy import energy_and_grad, pooled
from models.schedule import Level, Schedule
from models.terms.statistics import Bank, StatisticsConfig, gram
from models.terms.trunk import SHAPES, load_trunk
from models.train.data import ImageArray
from models.train.style import fit_style
from tests.helpers import STATISTICS, paintings, random_pictures, statistics_energy

FULL = replace(STATISTICS, rank=512)


def whole_gram(x: Tensor, tap: int) -> Tensor:
    """(B, C, C), by the book."""
    (h,) = load_trunk()(x, (tap,))
    return torch.einsum("bchw,bdhw->bcd", h, h) / (h.shape[-2] * h.shape[-1])


def test_a_gram_vector_has_the_length_and_the_distances_of_the_whole_matrix() -> None:
    one, other = (torch.randn(1, 6, 5, 7, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    whole = [torch.einsum("bchw,bdhw->bcd", h, h) / 35 for h in (one, other)]
    assert gram(one).shape == (1, 21)
    torch.testing.assert_close((gram(one) - gram(other)).square().sum(), (whole[0] - whole[1]).square().sum())


def test_a_gram_vector_is_the_same_for_a_larger_picture_of_the_same() -> None:
    h = torch.randn(2, 6, 5, 7)
    torch.testing.assert_close(gram(h.repeat(1, 1, 3, 2)), gram(h), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(gram(2 * h), gram(h))


def test_a_full_rank_bank_measures_the_distances_of_the_gram_matrices_themselves() -> None:
    energy, x = statistics_energy(FULL), random_pictures(3, 64, seed=11)
    for resolution in (32, 64):
        theirs, ours = (pooled(pictures, 64 // resolution) for pictures in (paintings(), x))
        total = torch.zeros(3, 5)
        for tap in FULL.taps:
            known = whole_gram(theirs, tap)
            direct = (whole_gram(ours, tap)[:, None] - known[None]).square().sum((2, 3))
            spread = (known - known.mean(0)).square().sum((1, 2)).mean()
            (h,) = load_trunk()(ours, (tap,))
            bank = energy.banks[f"{resolution}_{tap}"]
            assert isinstance(bank, Bank)
            torch.testing.assert_close(bank.distances(gram(h)), direct / spread, rtol=1e-3, atol=1e-3)
            total = total + direct / spread
        torch.testing.assert_close(energy(ours, resolution), -torch.logsumexp(-total, 1), rtol=1e-3, atol=1e-3)


def test_a_low_rank_counts_what_lies_beyond_it_in_full() -> None:
    bank = Bank(4, 1, 3)
    points = torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0], [0.0, 0, 0, 0]])
    bank.fit(points)
    spread = 2 / 3
    x = torch.tensor([[0.5, 2.0, 0.0, -1.0]])
    torch.testing.assert_close(bank.distances(x) * spread, torch.tensor([[5.25, 7.25, 5.25]]))
    bank.fit(points + 7.0)  # the mean is taken away
    torch.testing.assert_close(bank.distances(x + 7.0) * spread, torch.tensor([[5.25, 7.25, 5.25]]))
    # A painting's own part beyond the kept directions counts as well.
    bank.fit(torch.tensor([[9.0, 0.0, 0, 0], [-9.0, 0.0, 0, 0], [0.0, 1.0, 0, 0]]))
    own = bank.distances(torch.tensor([[0.0, 1.0, 0, 0]]))[0, 2] * bank.get_buffer("spread")
    assert own.item() == pytest.approx(4 / 9, rel=1e-3)


def test_paintings_have_a_lower_energy_than_other_pictures() -> None:
    energy = statistics_energy()
    own = energy(paintings(), 64)
    others = energy(torch.cat([random_pictures(5, 64, seed=21) * 0.3, torch.rand(3, 3, 64, 64) * 2 - 1]), 64)
    assert own.max() < others.min()


def test_tau_blends_the_nearest_paintings_and_content_lets_like_scenes_come_first() -> None:
    x = random_pictures(2, 64, seed=12)
    energy = statistics_energy(FULL)
    distances = torch.stack([
        bank.distances(vectors) for tap, vectors in energy._statistics(x).items() if (bank := energy._bank(64, tap))
    ]).sum(0)  # fmt: skip
    cold = statistics_energy(replace(FULL, tau=1e-3))
    torch.testing.assert_close(cold(x, 64), distances.min(1).values, rtol=1e-2, atol=1e-2)
    warm = statistics_energy(replace(FULL, tau=10.0))
    torch.testing.assert_close(warm(x, 64), -10 * torch.logsumexp(-distances / 10, 1))
    (h,) = load_trunk()(x, (10,))
    (known,) = load_trunk()(paintings(), (10,))
    h, known = h.mean((2, 3)), known.mean((2, 3))
    spread = (known - known.mean(0)).square().sum(1).mean()
    content = (h[:, None] - known).square().sum(2) / spread
    for weight in (0.5, 6.0):
        energy = statistics_energy(replace(FULL, content=weight, content_tap=10))
        wanted = -torch.logsumexp(-(distances + weight * content), 1)
        torch.testing.assert_close(energy(x, 64), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("content", [0.0, 2.0])
def test_one_painting_is_enough(content: float) -> None:
    config = replace(STATISTICS, paintings=1, content=content)
    energy, x = statistics_energy(config), random_pictures(2, 64, seed=5).requires_grad_()
    own, others = energy(paintings(config), 64), energy(x, 64)
    assert own.abs().max() < 1e-3
    assert others.min() > 0.05 and others.max() < 100, "one painting has no spread: its size stands in"
    _, gradient = energy_and_grad(energy.at(64), x)
    assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_its_chain_step_lowers_the_energy() -> None:
    energy, x = statistics_energy(), random_pictures(2, 64, seed=5)
    energies, gradient = energy_and_grad(energy.at(64), x)
    moved = x - 1e-3 * gradient / gradient.square().mean().sqrt()
    assert (energy(moved, 64) < energies).all()


def test_a_map_has_the_finest_taps_places_and_sums_to_the_first_order_of_the_energy() -> None:
    """E(G) has the slope dE/dG; the map sums to <G, dE/dG>: here d/dt of E(t G) at t = 1, the features x sqrt(t)."""
    energy, x = statistics_energy(), random_pictures(2, 64, width=96, seed=5)
    places = energy.map(x, 64)
    assert places.shape == (2, 32, 48)
    features = energy.trunk(x, STATISTICS.taps)
    step = 1e-3
    ahead, behind = (
        energy._energies(energy._from_features([h * (1 + sign * step) ** 0.5 for h in features]), 64)
        for sign in (1, -1)
    )
    torch.testing.assert_close(places.sum((1, 2)), (ahead - behind) / (2 * step), rtol=1e-2, atol=1e-2)
    assert places.std() > 0


def test_a_window_leaves_the_margins_out() -> None:
    energy = statistics_energy(replace(STATISTICS, window=0.3))
    x = random_pictures(1, 64).requires_grad_()
    (slope,) = torch.autograd.grad(energy(x, 64).sum(), x)
    size = slope.square().mean(1)[0]
    assert (
        max(size[:4].mean(), size[-4:].mean(), size[:, :4].mean(), size[:, -4:].mean())
        < 0.05 * size[24:40, 24:40].mean()
    )
    alike = torch.autograd.grad(statistics_energy()(x, 64).sum(), x)[0].square().mean(1)[0]
    assert alike[:4].mean() > 0.2 * alike[24:40, 24:40].mean()
    wide = statistics_energy(replace(STATISTICS, window=10.0))
    torch.testing.assert_close(wide(x, 64), statistics_energy()(x, 64), rtol=1e-3, atol=1e-3)


def test_fitting_in_batches_is_fitting_at_once() -> None:
    one, other = statistics_energy(), statistics_energy()
    one.fit([paintings()])
    other.fit(list(paintings().split(1)))
    x = random_pictures(1, 64, seed=5)
    torch.testing.assert_close(one(x, 64), other(x, 64), rtol=1e-4, atol=1e-4)


def test_directions_are_never_more_than_there_are_paintings_or_pairs() -> None:
    assert StatisticsConfig(paintings=5).directions(16) == 5
    assert StatisticsConfig(paintings=500).directions(16) == 48
    assert StatisticsConfig(paintings=500, rank=512).directions(16) == 136
    assert SHAPES[0].outputs == 16


def test_a_style_is_fitted_from_paintings_alone() -> None:
    array = ImageArray(((paintings() + 1) * 127.5).to(torch.uint8).numpy())
    schedule = Schedule((Level(32, 2, step_rms=0.03), Level(64, 2, step_rms=0.03)))
    shape = replace(STATISTICS, paintings=1)
    model = fit_style(array, source="photos", target="discs", config=shape, schedule=schedule)
    assert (model.config.source, model.config.target) == ("photos", "discs")
    assert isinstance(model.config.energy, StatisticsConfig) and model.config.energy.paintings == 5
    assert model.config.trained == {"paintings": 5} and model.probe is None
    own, others = model.energy(paintings(), 64), model.energy(random_pictures(4, 64, seed=21) * 0.3, 64)
    assert own.max() < others.min()
    default = fit_style(ImageArray(np.zeros((1, 3, 256, 256), np.uint8))).config
    assert default.energy.resolutions == (64, 128, 256) == tuple(v.resolution for v in default.schedule.levels)


@pytest.mark.parametrize(
    "wrong",
    [{"resolutions": ()}, {"resolutions": (16,)}, {"resolutions": (64, 64)}, {"resolutions": (128, 64)}, {"taps": ()},
     {"taps": (4, 2)}, {"taps": (16,)}, {"paintings": 0}, {"paintings": 10_001}, {"rank": 0}, {"tau": 0},
     {"tau": float("nan")}, {"content": -1}, {"content_tap": 16}, {"window": 0.01},
     {"window": -1.0}],
)  # fmt: skip
def test_impossible_shapes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        StatisticsConfig(**wrong)  # type: ignore[arg-type]
