"""Ladders and curricula: what they refuse, and where an iteration stands."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from models.presets import preset
from models.schedule import Curriculum, Ladder, Phase, Stage, ladder_from_dict

LADDER = Ladder((Stage(16), Stage(32), Stage(64)))


def test_strength_scales_the_steps_of_every_stage() -> None:
    assert [s.steps for s in LADDER.with_steps(0.5).stages] == [5, 5, 5]
    assert [s.steps for s in LADDER.with_steps(2.0, steps=7).stages] == [14, 14, 14]
    assert all(s.steps == 0 for s in LADDER.with_steps(0.0).stages)


@pytest.mark.parametrize("strength", [-0.1, 2.1, 9.0, float("nan")])
def test_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="strength"):
        LADDER.with_steps(strength)


def test_beta_rises_over_the_first_half_of_a_phase_and_the_first_phase_has_none() -> None:
    curriculum = Curriculum(LADDER, (Phase(10, 1), Phase(20, 1), Phase(4, 1)))
    assert [(curriculum.at(i).stage, curriculum.at(i).beta) for i in (0, 9)] == [(0, 1.0), (0, 1.0)]
    assert [curriculum.at(i).beta for i in (10, 15, 20, 29)] == [0.0, 0.5, 1.0, 1.0]
    assert (curriculum.at(30).stage, curriculum.at(30).beta) == (2, 0.0)
    assert (curriculum.at(1000).stage, curriculum.at(1000).beta) == (2, 1.0)
    assert curriculum.iterations == 34


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Ladder(()),
        lambda: Ladder((Stage(16), Stage(64))),
        lambda: Ladder((Stage(16),), reach=1.0),
        lambda: Ladder((Stage(16),), noise=-1),
        lambda: Ladder((Stage(16),), shade=1.1),
        lambda: Ladder((Stage(16),), focus=-0.1),
        lambda: Ladder((Stage(16),), bend=-0.1),
        lambda: Ladder((Stage(16),), bend=10.1),
        lambda: Stage(4),
        lambda: Stage(16, steps=-1),
        lambda: Stage(16, step_size=0),
        lambda: Stage(16, noise=0.1),
        lambda: Stage(16, walk=8.0, noise=2),
        lambda: Phase(0, 1),
        lambda: Curriculum(LADDER, (Phase(1, 1),)),
    ],
)
def test_impossible_settings_are_refused(wrong) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_a_ladder_survives_its_dictionary() -> None:
    assert ladder_from_dict(asdict(LADDER)) == LADDER


@pytest.mark.parametrize("finest", [64, 128, 256])
def test_presets_end_at_their_size(finest: int) -> None:
    config = preset(finest)
    assert config.curriculum.ladder.finest == config.network.finest == finest


@pytest.mark.parametrize("strength", [0.01, 0.3, 1.0, 1.37, 2.0])
def test_strength_is_the_length_of_the_chain_whatever_the_steps_round_to(strength: float) -> None:
    for stage, wanted in zip(LADDER.with_steps(strength).stages, LADDER.stages, strict=True):
        assert stage.steps * stage.step_size == pytest.approx(strength * wanted.steps * wanted.step_size)
        assert stage.steps == max(1, round(strength * wanted.steps))


def test_stages_that_take_no_step_take_none_whatever_the_steps() -> None:
    ladder = Ladder((Stage(16, 4), Stage(32, 6), Stage(64, 0)))
    assert [stage.steps for stage in ladder.with_steps(0.5, 10).stages] == [5, 5, 0]


def test_strength_is_the_noise_that_is_laid_too() -> None:
    noisy = Ladder((Stage(16, 4, 2.0, walk=4.0, noise=0.2), Stage(32, 4)))
    assert [noisy.random, LADDER.random, replace(LADDER, noise=0.1).random] == [True, False, True]
    assert [(s.steps, s.noise) for s in noisy.with_steps(0.5).stages] == [(2, 0.1), (2, 0.0)]
    assert not noisy.with_steps(0).random


@pytest.mark.parametrize("zoom", [1, 4])
def test_presets_from_noise_say_how_far_the_way_back_is(zoom: int) -> None:
    stages = preset(64, zoom=zoom, from_noise=True, with_source=False).curriculum.ladder.stages
    assert [s.walk for s in stages] == [s.steps * s.step_size / 2 for s in stages]
    with pytest.raises(ValueError, match="walk"):
        replace(preset(64), from_noise=True)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match="64, 128 and 256"):
        preset(100)


def test_the_learning_rate_falls_only_at_the_very_end() -> None:
    curriculum = Curriculum(LADDER, (Phase(10, 4, 1e-3), Phase(10, 4, 8e-4), Phase(20, 2, 4e-4)))
    assert [curriculum.learning_rate(i) for i in (0, 9, 10, 20, 30)] == pytest.approx([1e-3, 1e-3, 8e-4, 4e-4, 4e-4])
    assert curriculum.learning_rate(35) == pytest.approx(4e-4 * (0.05 + 0.95 / 2))
    assert curriculum.learning_rate(40) == pytest.approx(4e-4 * 0.05)
