"""Schedules, curricula and presets: what they refuse, and where an iteration stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise

import pytest

from models.schedule import Level, Schedule
from models.terms.pixels import PixelConfig
from models.terms.votes import VotesConfig
from models.train.curriculum import Curriculum, Phase, TrainingConfig, config_from_dict
from models.train.presets import denoiser, from_scratch, generator, things

SCHEDULE = Schedule((Level(16, step_rms=0.03), Level(32), Level(64)))


def test_strength_scales_the_steps_of_every_level() -> None:
    assert [v.steps for v in SCHEDULE.scaled(0.5).levels] == [5, 5, 5]
    assert [v.steps for v in SCHEDULE.scaled(2.0, steps=7).levels] == [14, 14, 14]
    assert all(v.steps == 0 for v in SCHEDULE.scaled(0.0).levels)
    assert SCHEDULE.scaled(1.0) == SCHEDULE


@pytest.mark.parametrize("strength", [-0.1, 2.1, 9.0, float("nan")])
def test_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="strength"):
        SCHEDULE.scaled(strength)


@pytest.mark.parametrize("strength", [0.01, 0.3, 1.0, 1.37, 2.0])
def test_strength_is_the_length_of_the_chain_whatever_the_steps_round_to(strength: float) -> None:
    for level, wanted in zip(SCHEDULE.scaled(strength).levels, SCHEDULE.levels, strict=True):
        assert level.steps * level.step_size == pytest.approx(strength * wanted.steps * wanted.step_size)
        assert level.steps * level.step_rms == pytest.approx(strength * wanted.steps * wanted.step_rms)
        assert level.steps == max(1, round(strength * wanted.steps))


def test_levels_that_take_no_step_take_none_whatever_the_steps() -> None:
    schedule = Schedule((Level(16, 4), Level(32, 6), Level(64, 0)))
    assert [level.steps for level in schedule.scaled(0.5, 10).levels] == [5, 5, 0]
    assert schedule.steps == 10


@pytest.mark.parametrize("what", [{"smoothing": 0.1}, {"jitter": 1}, {"temperature": 0.1}])
def test_a_schedule_says_whether_a_seed_matters(what: dict[str, float]) -> None:
    assert not SCHEDULE.random
    assert Schedule((Level(16), Level(32, **what))).random  # type: ignore[arg-type]


def test_the_levels_up_to_a_resolution() -> None:
    assert [v.resolution for v in SCHEDULE.up_to(32).levels] == [16, 32]
    assert (SCHEDULE.coarsest, SCHEDULE.finest, SCHEDULE.up_to(32).finest) == (16, 64, 32)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Schedule(()),
        lambda: Schedule((Level(16), Level(64))),
        lambda: Schedule((Level(32), Level(16))),
        lambda: Schedule((Level(16),), white_point=1.0),
        lambda: Schedule((Level(16),), white_point=float("nan")),
        lambda: Schedule((Level(16),), gate=1.1),
        lambda: Level(4),
        lambda: Level(16.0),  # type: ignore[arg-type]
        lambda: Level(16, steps=-1),
        lambda: Level(16, steps=True),
        lambda: Level(16, step_size=-1),
        lambda: Level(16, step_size=float("inf")),
        lambda: Level(16, smoothing=float("nan")),
        lambda: Level(16, jitter=17),
        lambda: Level(16, momentum=0.9),
        lambda: Level(16, momentum=1.0, step_rms=0.1),
        lambda: Level(16, luma=((0, 1.0),)),
        lambda: Level(16, chroma=((2, float("nan")),)),
        lambda: Level(16, chroma=((2.5, 1.0),)),  # type: ignore[arg-type]
        lambda: Phase(0, 1),
        lambda: Phase(1, 0),
        lambda: Curriculum(SCHEDULE, (Phase(1, 1),)),
        lambda: replace(things(64), loss="denoising"),
        lambda: replace(things(64), steps_at_use=(9, 9)),
    ],
)
def test_impossible_settings_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_beta_rises_over_the_first_half_of_a_phase_and_the_first_phase_has_none() -> None:
    curriculum = Curriculum(SCHEDULE, (Phase(10, 1), Phase(20, 1), Phase(4, 1)))
    assert [(curriculum.at(i).level, curriculum.at(i).beta) for i in (0, 9)] == [(0, 1.0), (0, 1.0)]
    assert [curriculum.at(i).beta for i in (10, 15, 20, 29)] == [0.0, 0.5, 1.0, 1.0]
    assert (curriculum.at(30).level, curriculum.at(30).beta) == (2, 0.0)
    assert (curriculum.at(1000).level, curriculum.at(1000).beta) == (2, 1.0)
    assert curriculum.iterations == 34


def test_the_learning_rate_falls_only_at_the_very_end() -> None:
    curriculum = Curriculum(SCHEDULE, (Phase(10, 4, 1e-3), Phase(10, 4, 8e-4), Phase(20, 2, 4e-4)))
    assert [curriculum.learning_rate(i) for i in (0, 9, 10, 20, 30)] == pytest.approx([1e-3, 1e-3, 8e-4, 4e-4, 4e-4])
    assert curriculum.learning_rate(35) == pytest.approx(4e-4 * (0.05 + 0.95 / 2))
    assert curriculum.learning_rate(40) == pytest.approx(4e-4 * 0.05)


@pytest.mark.parametrize("made", [things, generator, from_scratch, denoiser])
@pytest.mark.parametrize("finest", [64, 128, 256])
def test_presets_end_at_their_size_and_come_back_from_their_dictionary(
    made: Callable[..., TrainingConfig], finest: int
) -> None:
    config = made(finest, seed=3)
    assert config.at_use(config.curriculum.schedule).finest == config.sample_size == finest
    assert config.energy.resolutions == tuple(v.resolution for v in config.curriculum.schedule.levels)
    assert config.picture_size == max(finest * 9 // 8, 128), "the probe looks at 128 px"
    assert config.seed == 3
    assert config_from_dict(asdict(config)) == config


@pytest.mark.parametrize("made", [things, generator, from_scratch, denoiser])
def test_an_unknown_preset_is_refused(made: Callable[..., TrainingConfig]) -> None:
    with pytest.raises(ValueError, match="64, 128 and 256"):
        made(100)


@pytest.mark.parametrize("shapes", [False, True])
def test_things_are_learned_on_the_trunk_with_steps_that_training_measures(shapes: bool) -> None:
    config = things(256, shapes=shapes)
    schedule = config.curriculum.schedule
    assert isinstance(config.energy, VotesConfig) and config.loss == "logistic"
    assert all(level.step_size == 0 and level.step_rms > 0 for level in schedule.levels)
    assert all(phase.r1_weight > 0 for phase in config.curriculum.phases)
    assert (0 < schedule.gate < 0.5) == (not shapes), "a shape has an outline in the place of a gate"
    assert (schedule.levels[0].guide > 0) == (not shapes), "a shape may grow beyond the source's edges"
    assert shapes or all(use > v.steps for use, v in zip(config.steps_at_use, schedule.levels, strict=True))
    assert config.texture is not None and config.sample_size == 256
    assert [config.energy.magnification(v.resolution) for v in schedule.levels] == ([4, 2, 1] if shapes else [2, 1])
    assert (schedule.likeness > 0) == shapes, "detail of the source stays where its shape does"
    assert (schedule.palette > 0) == (not shapes), "a fruit's colours are those of its kind, a face's its own"
    assert config.white_point > schedule.white_point, "training chains are softer"
    chroma = [sum(window * weight for window, weight in level.chroma) for level in schedule.levels]
    luma = [sum(window * weight for window, weight in level.luma) for level in schedule.levels]
    assert all((c < 0.2 * y) if shapes else (c > 0.5 * y) for c, y in zip(chroma, luma, strict=True))
    assert all(max(fine.chroma) > max(coarse.chroma) for coarse, fine in pairwise(schedule.levels))


@pytest.mark.parametrize("shapes", [False, True])
def test_a_textures_level_stands_behind_all_that_are_learned(shapes: bool) -> None:
    config = things(256, shapes=shapes)
    assert config.texture is not None and things(128, shapes=shapes).texture is None
    learned = config.curriculum.schedule
    whole = config.at_use(learned)
    assert whole.levels[-1] == config.texture and whole.finest == 256
    assert tuple(level.steps for level in whole.levels[:-1]) == config.steps_at_use
    assert config.at_use(learned.up_to(64)).finest == 64, "not behind a part of them"
    with pytest.raises(ValueError, match="twice as fine"):
        replace(config, texture=replace(config.texture, resolution=128))


def test_pictures_of_nothing_are_learned_on_the_trunk_and_keep_nothing_of_their_start() -> None:
    config = generator(256)
    schedule = config.curriculum.schedule
    assert isinstance(config.energy, VotesConfig) and config.loss == "logistic"
    assert all(level.step_size == 0 and level.step_rms > 0 and not level.guide for level in schedule.levels)
    assert schedule.gate == 0 and config.curriculum.phases[0].r1_weight > 0
    assert all(min(level.luma)[0] == 1 for level in schedule.levels), "a blurred start lacks the finest detail"


def test_presets_from_scratch_need_no_trunk_and_denoisers_know_the_way_back() -> None:
    scratch, noise = from_scratch(64), denoiser(64)
    assert isinstance(scratch.energy, PixelConfig) and isinstance(noise.energy, PixelConfig)
    assert (scratch.loss, noise.loss) == ("contrastive", "denoising")
    assert not scratch.curriculum.schedule.random
    levels = noise.curriculum.schedule.levels
    assert [v.denoise_scale for v in levels] == [v.steps * v.step_size / 2 for v in levels]
    assert all(v.denoise_scale == 0 for v in scratch.curriculum.schedule.levels)
    assert all(p.r1_weight == 0 for p in noise.curriculum.phases)


@pytest.mark.parametrize(
    "wrong", [{}, {"energy": 3}, {**asdict(things(64)), "loss": "hinge"}, {**asdict(things(64)), "curriculum": []}]
)
def test_settings_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        config_from_dict(wrong)
