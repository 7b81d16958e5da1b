"""The chain, on energies whose answer is known on paper."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from models.energy import EnergyFunction
from models.langevin import (
    chain,
    climb,
    enlarge,
    focused,
    from_tone,
    light,
    renew,
    to_tone,
    tone_pyramid,
    uniform_start,
)
from models.schedule import Ladder, Stage

FAR = 1e4  # white is so far away that tones are pixels


def bowl(x: Tensor) -> Tensor:
    """E = |x|^2 / 2, whose gradient is x."""
    return x.square().sum(dim=(1, 2, 3)) / 2


def to_the_left(x: Tensor) -> Tensor:
    """E = the sum of all pixels, whose gradient is 1."""
    return x.sum(dim=(1, 2, 3))


def ladder(*stages: Stage, noise: float = 0.0) -> Ladder:
    return Ladder(stages, reach=1.02, noise=noise)


def test_where_tones_are_pixels_a_quadratic_bowl_contracts_by_the_factor_on_paper() -> None:
    """dx = -eta x: every step multiplies x by 1 - eta."""
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64) * 2 - 1
    *_, (z, _) = chain(bowl, to_tone(x, FAR), 7, 0.1, reach=FAR)
    torch.testing.assert_close(from_tone(z, FAR), x * 0.9**7, atol=1e-6, rtol=0)


def test_a_constant_slope_moves_the_tone_evenly_down_to_black() -> None:
    x = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], dtype=torch.float64).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    *_, (z, _) = chain(to_the_left, to_tone(x, 1.02), 5, 0.1, reach=1.02)
    torch.testing.assert_close(z, (to_tone(x, 1.02) - 0.5).clamp(min=-1))
    moved = (x - from_tone(z, 1.02))[0, 0, 0]
    assert moved[4] < moved[3] < moved[2], "white moves less than a light grey, and that less than a mid grey"
    assert moved[2].item() == pytest.approx(0.5), "the dark half moves as it is told"


def test_the_empty_channels_of_a_pure_red_are_free_to_fill() -> None:
    x = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
    *_, (z, _) = chain(lambda x: -to_the_left(x), to_tone(x, 1.02), 5, 0.1, reach=1.02)
    torch.testing.assert_close(from_tone(z, 1.02)[0, 1:, 0, 0], torch.tensor([-0.5, -0.5]))


def test_a_pixel_moves_in_proportion_to_the_light_on_it_up_to_the_shade() -> None:
    """Black, half and all of the shade, and white: by their brightest channel, the other two black."""
    bright = torch.tensor([0.0, 0.2, 0.4, 1.0])
    source = torch.full((1, 3, 1, 4), -1.0)
    source[0, 1] = 2 * bright - 1
    torch.testing.assert_close(light(source, 0.4)[0, 0, 0], torch.tensor([0.0, 0.5, 1.0, 1.0]))
    *_, (z, _) = chain(lambda x: -to_the_left(x), source, 3, 0.1, reach=FAR, lit=light(source, 0.4))
    torch.testing.assert_close((z - source)[0, 0, 0], 0.3 * torch.tensor([0.0, 0.5, 1.0, 1.0]))


def test_the_climb_spares_the_shadows_of_its_sources() -> None:
    source = torch.linspace(-1, 0.5, 16).expand(1, 3, 16, 16).contiguous()
    still = ladder(Stage(16, 3, 0.05))
    lit, unlit = (
        [step.z for step in climb(lambda _: lambda x: -to_the_left(x), shaded, source, [source])][-1] - source
        for shaded in (replace(still, shade=0.5), still)
    )
    torch.testing.assert_close(lit, unlit * light(from_tone(source, 1.02), 0.5))
    assert lit[..., 0].abs().max() == 0


def test_focus_scales_what_is_of_one_colour_by_how_far_it_moved_beside_the_rest() -> None:
    """White things moved by 1, and M = 1; of the ground m = 0.25 = focus^2 M, which halves what moved there."""
    source = torch.full((2, 3, 16, 16), -0.9)
    source[:, :, :8] = 0.9
    change = torch.full_like(source, 0.5**0.5)
    change[:, :, :8] = 1.0
    change[:, :, 8::2] = 0.0  # the ground moved at every other row: what is alike counts together
    kept = focused(source, source + change, 0.5) - source
    torch.testing.assert_close(kept[:, :, :8], torch.full((2, 3, 8, 16), 1 / (1 + 0.5**4)))
    torch.testing.assert_close(kept[:, :, 9::2], torch.full((2, 3, 4, 16), 0.5**0.5 / 2))
    assert not kept[:, :, 8::2].any()
    assert torch.equal(focused(source, source + change, 0.0), source + change)
    assert torch.equal(focused(source, source, 0.5), source)


def test_focus_is_the_same_alone_and_in_company_and_for_any_shape() -> None:
    source = torch.rand(3, 3, 24, 200, generator=torch.Generator().manual_seed(1)) * 2 - 1
    state = (source + 0.3 * source.flip(0)).clamp(-1, 1)
    together = focused(source, state, 0.5)
    for n in range(3):
        torch.testing.assert_close(focused(source[n : n + 1], state[n : n + 1], 0.5), together[n : n + 1])
    assert ((together - source).abs() <= (state - source).abs() + 1e-6).all()


def test_a_chain_never_leaves_the_box_however_steep_the_energy() -> None:
    x = torch.rand(1, 3, 4, 4) * 2 - 1
    for slope in (to_the_left, lambda x: -to_the_left(x)):
        for z, _ in chain(slope, to_tone(x, 1.02), 50, 3.0, reach=1.02):
            assert from_tone(z, 1.02).min() >= -1
            assert from_tone(z, 1.02).max() <= 1.02


def test_the_energy_that_a_step_reports_is_that_of_the_state_before_it_and_falls() -> None:
    x = torch.rand(2, 3, 4, 4) * 2 - 1
    energies = [energy for _, energy in chain(bowl, to_tone(x, 1.02), 10, 0.05, reach=1.02)]
    torch.testing.assert_close(energies[0], bowl(x))
    assert all(bool((late < early).all()) for early, late in pairwise(energies))


def test_zero_steps_leave_the_start_alone() -> None:
    assert list(chain(bowl, torch.zeros(1, 3, 4, 4), 0, 1.0, reach=1.02)) == []


def test_a_chain_does_not_touch_its_start_or_leave_gradients_behind() -> None:
    z = torch.rand(1, 3, 4, 4)
    kept = z.clone()
    weight = torch.ones((), requires_grad=True)
    for state, energy in chain(lambda x: weight * bowl(x), z, 3, 0.1, reach=1.02):
        assert not state.requires_grad
        assert not energy.requires_grad
    assert torch.equal(z, kept)
    assert weight.grad is None


def test_noise_comes_from_the_generator_and_nowhere_else() -> None:
    def run(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        *_, (z, _) = chain(bowl, torch.zeros(1, 3, 4, 4), 3, 0.1, reach=1.02, noise=0.1, generator=generator)
        return z

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_langevin_noise_has_the_spread_on_paper() -> None:
    """z <- (1 - a) z + s N: the variance settles at s^2 / (1 - (1 - a)^2)."""
    a, s = 0.2, 0.01
    generator = torch.Generator().manual_seed(0)
    *_, (z, _) = chain(bowl, torch.zeros(8, 3, 64, 64), 60, a, reach=FAR, noise=s, generator=generator)
    assert z.std().item() == pytest.approx(s / math.sqrt(1 - (1 - a) ** 2), rel=0.02)


def test_laid_noise_is_taken_away_on_a_straight_line_and_each_step_sees_the_clean_picture() -> None:
    """Where the only clean picture is black (0), the slope of E = |x|^2 / 2 is the noise itself, so that walk = 1."""
    spreads: list[float] = []

    def watched(x: Tensor) -> Tensor:
        spreads.append(x.detach().std().item())
        return bowl(x)

    stage = Stage(16, steps=5, step_size=0.5, walk=1.0, noise=0.1)
    generator = torch.Generator().manual_seed(0)
    for clean, _ in renew(watched, torch.zeros(4, 3, 64, 64), stage, reach=FAR, generator=generator):
        torch.testing.assert_close(clean, torch.zeros(4, 3, 64, 64))
    assert spreads == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02], rel=0.02)


def test_only_a_stage_that_steps_lays_noise() -> None:
    resting = ladder(Stage(8, 2, 0.1, walk=1.0, noise=0.5)).with_steps(0)
    assert list(climb(lambda resolution: bowl, resting, torch.zeros(1, 3, 8, 8))) == []


def test_the_change_of_a_coarse_stage_is_carried_up() -> None:
    """With a constant slope on the coarse stage and none on the fine one, the change is the same everywhere."""
    two = ladder(Stage(8, 3, 0.1), Stage(16, 1, 0.1))
    x = torch.rand(1, 3, 16, 16)  # light enough not to meet black
    sources = tone_pyramid(x, two)

    def energy_at(resolution: int) -> EnergyFunction:
        return to_the_left if resolution == 8 else lambda x: 0 * to_the_left(x)

    *_, last = climb(energy_at, two, sources[0], sources)
    torch.testing.assert_close(last.z, sources[1] - 0.3)
    assert (last.resolution, last.index) == (16, 0)


def test_chains_from_noise_carry_the_state_itself() -> None:
    two = ladder(Stage(8, 2, 0.1), Stage(16, 1, 0.1))
    start = uniform_start(2, two, torch.Generator().manual_seed(0))
    assert start.shape == (2, 3, 8, 8)
    steps = list(climb(lambda resolution: lambda x: 0 * to_the_left(x), two, start))
    assert [(s.resolution, s.index) for s in steps] == [(8, 0), (8, 1), (16, 0)]
    torch.testing.assert_close(steps[-1].z, enlarge(start))


def test_tones_lead_back() -> None:
    x = torch.linspace(-1, 1, 101)
    torch.testing.assert_close(from_tone(to_tone(x, 1.02), 1.02), x, atol=1e-6, rtol=0)
