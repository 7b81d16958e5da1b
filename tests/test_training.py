"""The trainer: exact resume, the guard, all kinds of chain, what a run folder holds."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.density import MIN_PICTURES
from models.energy import pooled
from models.errors import BadModel, Diverged
from models.gate import gate_change
from models.model import Model, load_config, load_state, save_state
from models.sampling import follow, pyramid, rms, sample
from models.schedule import Level, Schedule
from models.terms.perceptual import PerceptualEnergy
from models.terms.pixels import PixelConfig, PixelEnergy
from models.terms.textured import TexturedEnergy
from models.terms.trunk import load_trunk
from models.terms.votes import VotesConfig
from models.train.curriculum import Curriculum, Phase, TrainingConfig
from models.train.data import ImageArray
from models.train.run_dir import Checkpoints, Measured, Progress, best, read_config
from models.train.trainer import Trainer
from tests.helpers import tinted

SCHEDULE = Schedule((Level(8, 2), Level(16, 2)))
CONFIG = TrainingConfig(
    PixelConfig(coarsest=8, finest=16, width=4, max_width=8),
    Curriculum(SCHEDULE, (Phase(6, 4), Phase(8, 4))),
    loss="contrastive",
    sheet_every=5,
)
LEVEL = Level(32, 1, step_size=0.0, step_rms=0.03, luma=((2, 1.0),), chroma=((4, 1.0),), smoothing=0.05, jitter=2)
THINGS = TrainingConfig(
    VotesConfig((32, 64), taps=(2, 10), width=8, pixel_width=4),
    Curriculum(
        Schedule((LEVEL, replace(LEVEL, resolution=64, steps=2)), gate=0.25),
        (Phase(4, 4, 1e-3, 0.3), Phase(6, 4, 1e-3, 0.3)),
    ),
    sheet_every=4,
    r1_every=2,
)
RED, ORANGE = tinted(0, (180, 20, 20)), tinted(1, (190, 120, 20))
LARGE_RED, LARGE_ORANGE = (tinted(n, tint, count=16, side=72) for n, tint in ((2, (180, 20, 20)), (3, (190, 120, 20))))


@pytest.fixture(autouse=True)
def few_pictures_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.train.trainer.MEASURED", (1, 8))


def trainer(
    run: Path, *, config: TrainingConfig = CONFIG, source: ImageArray | None = RED, resume: bool = False
) -> Trainer:
    return Trainer(run, config, ORANGE, source, names=("red", "orange"), resume=resume)


def things(run: Path, *, config: TrainingConfig = THINGS, resume: bool = False) -> Trainer:
    return Trainer(run, config, LARGE_ORANGE, LARGE_RED, names=("red", "orange"), resume=resume)


def assert_same_state(one: Trainer, other: Trainer) -> None:
    expected, found = one.state(), other.state()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("source", [RED, None], ids=["source", "noise"])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, source: ImageArray | None) -> None:
    """However often it was saved, and whoever looked at its pictures and drew random numbers for it."""
    whole = trainer(tmp_path / "whole", source=source)
    whole.train()

    def measure(pictures: Tensor) -> Measured:
        return Measured(torch.rand(5).sum().item())

    for stop_at in (3, 9, 14):  # inside the first phase, while the second fades in, to the end
        torch.rand(7)  # what others drew before must not matter
        broken = trainer(tmp_path / "broken", source=source, resume=stop_at > 3)
        broken.train(minutes=0.0)  # leaves a sheet
        broken.train(iterations=stop_at, save_every=0.0, measure=measure)
    assert_same_state(whole, broken)


def test_looking_at_samples_does_not_change_the_training(tmp_path: Path) -> None:
    seldom = trainer(tmp_path / "seldom")
    seldom.train(iterations=9)
    often = trainer(tmp_path / "often", config=replace(CONFIG, sheet_every=1))
    often.train(iterations=9, measure=lambda pictures: Measured(torch.rand(5).sum().item()))
    assert len(list((tmp_path / "often" / "samples").iterdir())) == 9
    assert_same_state(seldom, often)


def test_a_run_folder_holds_what_it_promises(tmp_path: Path) -> None:
    trainer(tmp_path).train()
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["0", "8"]
    assert [row["resolution"] for row in rows] == ["8", "16"]
    sheets = sorted((tmp_path / "samples").iterdir())
    assert [sheet.name for sheet in sheets] == ["000005.png", "000010.png", "000014.png"]
    with Image.open(sheets[-1]) as sheet:
        assert sheet.size == (8 * 18 + 2, 2 * 18 + 2)
    assert read_config(tmp_path) == CONFIG
    model = Model.load(tmp_path / "model.safetensors")
    config = model.config
    assert (config.source, config.target, config.schedule) == ("red", "orange", SCHEDULE)
    assert config.trained["iterations"] == 14
    assert model.probe is not None
    assert not list(tmp_path.rglob("*.part"))


def test_figures_are_asked_at_each_sheet_and_stays_in_the_log_of_a_resumed_run(tmp_path: Path) -> None:
    asked: list[torch.Size] = []

    def measure(pictures: Tensor) -> Measured:
        assert pictures.abs().max() <= 1
        asked.append(pictures.shape)
        return Measured(90.0 - len(asked), 4.0, len(asked) / 8)

    trainer(tmp_path).train(iterations=11, measure=measure)
    assert asked == [(12, 3, 16, 16)] * 3, "at the finest size, whatever the stage"
    heard: list[Progress] = []
    run = trainer(tmp_path, resume=True)
    run.train(measure=measure, report=heard.append)
    assert run.log.measured() == {n: Measured(90.0 - k, 4.0, k / 8) for k, n in enumerate((5, 10, 11, 14), 1)}
    assert (heard[-1].kid, heard[-1].kid_sd, heard[-1].rate) == (86.0, 4.0, 0.5)
    assert heard[-1].sheet == tmp_path / "samples" / "000014.png"
    with (tmp_path / "log.csv").open(newline="") as file:
        assert [row["kid"] for row in csv.DictReader(file)] == ["", "89.0000", "", "88.0000", "87.0000", "86.0000"]


def test_the_last_checkpoints_and_the_best_by_both_figures_are_kept_and_are_models(tmp_path: Path) -> None:
    told = [(90.0, 0.1), (40.0, 0.9), (80.0, 0.2), (39.0, 0.2), None, (50.0, 0.3), (60.0, 0.2)]
    figures = iter([None if each is None else Measured(each[0], 3.0, each[1]) for each in told])
    run = trainer(tmp_path, config=replace(CONFIG, sheet_every=2))
    run.train(measure=lambda pictures: next(figures))
    kept = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in kept] == [f"{n:06d}.safetensors" for n in (4, 10, 12, 14)]
    configs = [Model.load(path).config for path in kept]
    assert [config.schedule.finest for config in configs] == [8, 8, 16, 16]
    assert (configs[0].trained["kid_x100"], configs[0].trained["rate"]) == (40.0, 0.9)
    best = run.checkpoints.best(run.log.measured())
    assert best == 4
    assert kept[-1].read_bytes() != kept[-2].read_bytes()


@pytest.mark.parametrize(
    ("measured", "chosen"),
    [
        ({}, None),
        ({5: (80.0, 0.0, 0.0), 10: (70.0, 0.0, 0.0)}, 10),
        ({5: (40.0, 3.0, 0.1), 10: (41.0, 3.0, 0.9), 15: (90.0, 3.0, 1.0)}, 10),  # as good by KID, better by rate
        ({5: (40.0, 3.0, 0.1), 10: (44.0, 9.0, 0.9)}, 5),  # beyond the standard error of the lowest
        ({5: (41.0, 3.0, 0.5), 10: (40.0, 3.0, 0.5)}, 10),
    ],
)
def test_the_best_model_is_best_by_both_figures(
    measured: dict[int, tuple[float, float, float]], chosen: int | None
) -> None:
    assert best({number: Measured(*figures) for number, figures in measured.items()}) == chosen


def test_sheets_and_figures_are_of_held_out_sources(tmp_path: Path) -> None:
    blue = tinted(5, (20, 20, 180))
    shown: list[Tensor] = []

    def measure(pictures: Tensor) -> None:
        shown.append(pictures)

    run = Trainer(tmp_path, CONFIG, ORANGE, RED, held_out=blue, names=("red", "orange"))
    run.train(iterations=5, measure=measure)
    red, _, blue_level = shown[0].mean((0, 2, 3)).tolist()
    assert blue_level > red + 0.5, "they started at the blue ones"
    resumed = Trainer(tmp_path, CONFIG, ORANGE, RED, held_out=None, names=("red", "orange"), resume=True)
    assert resumed.iteration == 5, "what is looked at is no part of the training's state"


def test_checkpoints_from_beyond_the_state_that_was_resumed_go_first(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for number in (100, 200, 300, 400, 500, 900):
        checkpoints.path(number).touch()
    checkpoints.drop(400, {100: Measured(3.0, 0.0, 0.5), 900: Measured(1.0, 0.0, 0.9)})
    left = sorted(path.stem for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["000100", "000200", "000300", "000400"]


def test_a_model_saved_while_a_level_fades_in_stops_at_the_level_below(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.train(iterations=8)
    config = load_config(tmp_path / "model.safetensors")
    assert config.schedule.finest == config.energy.resolutions[-1] == 8
    run.train()
    config = load_config(tmp_path / "model.safetensors")
    assert config.schedule.finest == config.energy.resolutions[-1] == 16


def test_chains_from_noise_are_trained_by_the_same_trainer(tmp_path: Path) -> None:
    run = Trainer(tmp_path, CONFIG, ORANGE, None, names=(None, "orange"))
    run.train()
    model = Model.load(tmp_path / "model.safetensors")
    assert model.config.source is None and model.probe is None
    assert len(list((tmp_path / "samples").iterdir())) == 3


def test_training_pulls_chains_towards_the_target(tmp_path: Path) -> None:
    """Red noise and orange noise differ by their mean green: after a short training the chain raises it."""
    config = replace(CONFIG, curriculum=Curriculum(Schedule((Level(8, 5),)), (Phase(60, 8, 3e-3),)))
    run = trainer(tmp_path, config=config)
    run.train()
    source, schedule = RED.first(8, 8), config.curriculum.schedule
    *_, last = sample(run.average.at, schedule, source, [source])
    moved = (last.x - source).mean(dim=(0, 2, 3))
    assert moved[1] > 0.1, "green must rise"
    assert moved[1] > 3 * moved[2].abs(), "blue is the same in both domains"


def _last_layer(run: Trainer) -> Tensor:
    assert isinstance(run.energy, PixelEnergy)
    return run.energy.project.weight


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e5])
def test_the_guard_rolls_back_from_an_injected_blow_up_and_says_so(tmp_path: Path, wrong: float) -> None:
    run = trainer(tmp_path)
    heard: list[Progress] = []

    def sabotage(progress: Progress) -> None:
        heard.append(progress)
        if progress.iteration == 7 and not any(p.event for p in heard):
            with torch.no_grad():
                _last_layer(run).fill_(wrong)

    run.train(report=sabotage)
    events = [p.event for p in heard if p.event]
    assert events == ["blew up at iteration 8, rolled back to 0"]
    assert run.iteration == CONFIG.curriculum.iterations
    assert all(bool(torch.isfinite(p).all()) for p in run.energy.parameters())
    with (tmp_path / "log.csv").open(newline="") as file:
        assert [row["event"] for row in csv.DictReader(file) if row["event"]] == events


def test_a_blow_up_just_before_a_snapshot_does_not_become_the_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.train.guard.SNAPSHOT_EVERY", 4)
    run = trainer(tmp_path)
    heard: list[str] = []

    def sabotage(progress: Progress) -> None:
        heard.append(progress.event)
        if progress.iteration == 7 and not any(heard):
            with torch.no_grad():
                _last_layer(run).fill_(float("nan"))
            run.save()
            Model.load(tmp_path / "model.safetensors")

    run.train(report=sabotage)
    assert [event for event in heard if event] == ["blew up at iteration 8, rolled back to 4"]


def test_a_blow_up_in_the_average_does_not_reach_the_model(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.train(iterations=3)
    with torch.no_grad():
        for value in run.average.parameters():
            value.fill_(float("nan"))
    run.save()
    assert Model.load(tmp_path / "model.safetensors").energy.at(8)(RED.first(2, 8)).isfinite().all()


def test_blow_ups_in_a_row_lead_further_back_each_time_and_on_more_carefully(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then good states make up for them, one by one. All of it survives an interruption."""
    monkeypatch.setattr("models.train.guard.SNAPSHOT_EVERY", 2)
    run = trainer(tmp_path)
    heard: list[tuple[str, float]] = []

    def sabotage(progress: Progress) -> None:
        if progress.event or progress.iteration > 6:
            heard.append((progress.event, run.guard.caution))
        blown = sum(bool(event) for event, _ in heard)
        if blown < 3 and progress.iteration == (6, 6, 4)[blown]:
            with torch.no_grad():
                _last_layer(run).fill_(float("nan"))

    run.train(report=sabotage, iterations=8)
    assert [event for event, _ in heard if event] == [
        "blew up at iteration 7, rolled back to 6",
        "blew up at iteration 7, rolled back to 4",
        "blew up at iteration 5, rolled back to 2",
    ]
    assert [caution for event, caution in heard if event] == [1 / 2, 1 / 4, 1 / 8]
    assert run.guard.caution == 1 / 2, "the states at 4 and 6 were good ones"
    rate = run.optimiser.param_groups[0]["lr"]
    assert rate == pytest.approx(CONFIG.curriculum.learning_rate(7) / 2)
    again = trainer(tmp_path, resume=True)
    assert again.guard.caution == 1 / 2
    assert again.guard.counts == run.guard.counts
    assert [int(state["iteration"]) for state in again.guard.states] == [2, 4, 6]
    assert all(
        torch.equal(value, kept[name])
        for state, kept in zip(run.guard.states, again.guard.states, strict=True)
        for name, value in state.items()
    )
    run.train()
    assert run.guard.caution == 1


def test_a_training_that_blows_up_at_the_same_place_whenever_it_comes_there_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good states that it passes again on the way there do not count as progress."""
    monkeypatch.setattr("models.train.guard.SNAPSHOT_EVERY", 2)
    run = trainer(tmp_path)
    heard: list[str] = []

    def sabotage(progress: Progress) -> None:
        heard.append(progress.event)
        assert sum(map(bool, heard)) < 20, "it goes on for ever"
        if progress.iteration == 6:
            with torch.no_grad():
                _last_layer(run).fill_(float("nan"))

    with pytest.raises(Diverged, match="keeps blowing up"):
        run.train(report=sabotage)
    assert sum(map(bool, heard)) == 5
    Model.load(tmp_path / "model.safetensors")


def test_a_training_that_blows_up_for_ever_gives_up_with_a_sentence_and_a_sane_model(tmp_path: Path) -> None:
    run = trainer(tmp_path)

    def sabotage(progress: Progress) -> None:
        with torch.no_grad():
            _last_layer(run).fill_(float("inf"))

    with pytest.raises(Diverged, match="smaller learning rate"):
        run.train(report=sabotage)
    Model.load(tmp_path / "model.safetensors")


def test_minutes_and_stop_end_a_run_with_a_usable_model(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.train(minutes=0.0)
    assert run.iteration == 0
    assert not (tmp_path / "samples").exists()
    run.train(stop=lambda: run.iteration >= 2)
    assert run.iteration == 2
    assert [sheet.name for sheet in (tmp_path / "samples").iterdir()] == ["000002.png"]
    Model.load(tmp_path / "model.safetensors")


def test_a_run_is_neither_overwritten_nor_made_up(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        trainer(tmp_path / "none", resume=True)
    trainer(tmp_path / "run").train(iterations=1)
    with pytest.raises(FileExistsError, match="already holds a run"):
        trainer(tmp_path / "run")
    with pytest.raises(ValueError, match="other settings"):
        trainer(tmp_path / "run", config=replace(CONFIG, seed=3), resume=True)
    with pytest.raises(ValueError, match="other pictures"):
        trainer(tmp_path / "run", source=None, resume=True)


def test_batches_are_augmented_in_range_and_repeatable() -> None:
    torch.manual_seed(0)
    first = RED.batch(5, 16)
    torch.manual_seed(0)
    assert torch.equal(first, RED.batch(5, 16))
    assert first.shape == (5, 3, 16, 16)
    assert first.abs().max() <= 1


@pytest.mark.parametrize(
    "wrong", [np.zeros((0, 3, 8, 8), np.uint8), np.zeros((2, 3, 8, 8)), np.zeros((3, 8, 8), np.uint8)]
)
def test_arrays_that_are_no_pictures_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        ImageArray(wrong)


def test_trained_to_denoise_a_step_down_the_slope_cleans_a_picture(tmp_path: Path) -> None:
    config = replace(
        CONFIG, loss="denoising",
        curriculum=Curriculum(Schedule((Level(8, 2, denoise_scale=4.0),)), (Phase(60, 8, 3e-3),)),
        energy=PixelConfig(coarsest=8, finest=8, width=4, max_width=8),
    )  # fmt: skip
    learner = trainer(tmp_path, config=config, source=None)
    learner.train()
    clean = learner.target.first(12, 8)
    noisy = (clean + 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    x = noisy.clone().requires_grad_()
    (slope,) = torch.autograd.grad(learner.average.at(8)(x).sum(), x)
    cleaned = noisy - 4.0 * slope
    assert (cleaned - clean).square().mean() < 0.8 * (noisy - clean).square().mean()


def test_noisy_targets_of_finer_levels_are_half_of_them_blurred_first(tmp_path: Path) -> None:
    levels = (Level(8, 2, denoise_scale=4.0), Level(16, 2, denoise_scale=4.0))
    curriculum = Curriculum(Schedule(levels), (Phase(2, 64), Phase(2, 64)))
    run = trainer(tmp_path, config=replace(CONFIG, loss="denoising", curriculum=curriculum), source=None)
    drawn, moved = run.batches.noisy_targets(curriculum.at(3))
    assert [batch.target.shape[-1] for batch in drawn] == [8, 16]
    for batch in drawn:
        assert batch.sigma is not None
        quiet = batch.sigma.flatten() < 0.02
        lost = (batch.end - batch.target).square().mean((1, 2, 3))[quiet].sqrt()
        assert quiet.sum() > 3
        assert bool((lost > 0.05).any()) == (batch.target.shape[-1] == 16)
    torch.testing.assert_close(torch.as_tensor(moved), (drawn[-1].end - drawn[-1].target).square().mean())


# Things, on the trunk ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A whole training on the trunk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.train.trainer.MEASURED", (1, 8))
        run = things(tmp_path_factory.mktemp("things") / "whole")
        run.train()
    return run


def test_an_energy_on_the_trunk_resumes_bit_for_bit(trained: Trainer, tmp_path: Path) -> None:
    for stop_at in (3, 5, 10):
        torch.rand(7)
        broken = things(tmp_path, resume=stop_at > 3)
        broken.train(iterations=stop_at)
        assert broken.iteration == stop_at
    assert_same_state(trained, broken)
    assert broken.batches.step_sizes == trained.batches.step_sizes
    for ours, theirs in ((broken.model(), trained.model()), (broken, trained)):
        assert ours.probe is not None and theirs.probe is not None
        x = LARGE_RED.first(2, 64)
        assert torch.equal(ours.probe.votes(x), theirs.probe.votes(x))


def test_an_energy_on_the_trunk_leaves_a_whole_model(trained: Trainer) -> None:
    model = Model.load(trained.run_dir / "model.safetensors")
    assert model.probe is not None
    assert model.config.schedule.gate == 0.25
    assert [level.step_size for level in model.config.schedule.levels] == list(trained.batches.step_sizes.values())
    x = LARGE_ORANGE.first(2, 64)
    torch.testing.assert_close(model.energy.at(64)(x), trained.average.at(64)(x), rtol=1e-2, atol=1e-2)
    assert not torch.equal(trained.average.at(64)(x), trained.energy.at(64)(x)), "an average is not the last state"


def test_step_sizes_are_measured_once_and_saved(trained: Trainer) -> None:
    """So that a new level's first step has its RMS; later levels do not change those before."""
    assert set(trained.batches.step_sizes) == {32, 64}
    meta = load_state(trained.run_dir / "state.safetensors")[1]
    assert meta["step_sizes"] == {str(key): value for key, value in trained.batches.step_sizes.items()}
    again = things(trained.run_dir, resume=True)
    assert again.batches.step_sizes == trained.batches.step_sizes


def test_a_measured_step_size_gives_new_chains_the_stated_steps(tmp_path: Path) -> None:
    run = things(tmp_path, config=replace(THINGS, sheet_every=100))
    run.train(iterations=1)
    size = run.batches.step_sizes[32]
    run.train(iterations=4)
    assert run.batches.step_sizes == {32: size}, "once, not at each update"
    fresh = things(tmp_path / "fresh")
    x = pooled(LARGE_RED.first(8, 64), 2)
    level = replace(LEVEL, step_size=size, smoothing=0.05)
    schedule = Schedule((level,), white_point=100.0)
    fresh.average.eval()
    *_, last = sample(fresh.average.at, schedule, x, [x])
    assert rms(last.x - x).mean().item() == pytest.approx(0.03, rel=0.3)


def test_a_level_of_chains_from_noise_needs_a_step_size(tmp_path: Path) -> None:
    config = replace(
        CONFIG, curriculum=Curriculum(Schedule((Level(8, 5, step_size=0.0, step_rms=0.1),)), (Phase(2, 2),))
    )
    run = Trainer(tmp_path, config, ORANGE, None)
    with pytest.raises(ValueError, match="needs a step size"):
        run.train(iterations=1)


def test_without_a_source_chains_on_the_trunk_start_at_a_density(tmp_path: Path) -> None:
    many = ImageArray(np.random.default_rng(0).integers(0, 256, (MIN_PICTURES, 3, 72, 72), np.uint8))
    run = Trainer(tmp_path / "a", THINGS, many, None, names=(None, "noise"))
    run.train(iterations=1)
    model = Model.load(tmp_path / "a" / "model.safetensors")
    assert model.config.source is None and model.config.density and model.density is not None
    assert model.probe is not None, "it tells pictures from blends of them"
    again = Trainer(tmp_path / "a", THINGS, many, None, resume=True)
    assert again.density is not None and run.density is not None
    for name, value in run.density.state_dict().items():
        assert torch.equal(again.density.state_dict()[name], value)
    sources, made = run.samples(4)
    assert sources is not None and sources.shape == made.shape == (4, 3, 64, 64)
    with pytest.raises(ValueError, match=f"at least {MIN_PICTURES} of them"):
        Trainer(tmp_path / "b", THINGS, LARGE_ORANGE, None)
    assert not (tmp_path / "b").exists()


def test_a_finer_level_starts_from_the_coarser_ones_weights(tmp_path: Path) -> None:
    """In the energy and in the average, at the first update of its phase and never again."""
    run = things(tmp_path, config=replace(THINGS, sheet_every=100))
    run.train(iterations=4)
    name = "pixels.5.bias"

    def weights(network: object) -> list[Tensor]:
        assert isinstance(network, PerceptualEnergy)
        return [network.term(r).state_dict()[name].clone() for r in (32, 64)]

    assert not torch.equal(*weights(run.average))
    heard: list[list[Tensor]] = []
    begin = run._start_level

    def watched(resolution: int) -> None:
        begin(resolution)
        assert resolution == 64
        heard.append([*weights(run.energy), *weights(run.average)])

    run._start_level = watched  # type: ignore[method-assign]
    run.train()
    assert len(heard) == 1
    assert torch.equal(heard[0][0], heard[0][1]) and torch.equal(heard[0][2], heard[0][3])
    assert not torch.equal(*weights(run.energy)), "then each learns for itself"


SHAPES = replace(
    THINGS,
    curriculum=Curriculum(
        replace(THINGS.curriculum.schedule, transport=1.0, likeness=3.0),
        (Phase(4, 4, 1e-3, 0.3), Phase(6, 4, 1e-3, 0.3)),
    ),
    sheet_every=100,
    steps_at_use=(2, 3),
    texture=Level(128, 2, step_rms=0.02, momentum=0.8, luma=((2, 1.0),)),
)


def test_a_texture_is_fitted_and_stands_behind_the_last_level_that_is_learned(tmp_path: Path) -> None:
    run = things(tmp_path, config=SHAPES)
    assert SHAPES.sample_size == 128
    run.train(iterations=5)
    assert isinstance(run.model().energy, PerceptualEnergy), "the finest learned level still fades in"
    run.train()
    model = run.model()
    assert isinstance(model.energy, TexturedEnergy)
    assert [level.steps for level in model.config.schedule.levels] == [2, 3, 2]
    fitted = model.energy.texture.state_dict()
    assert run.texture is not None and all(torch.equal(run.texture.state_dict()[name], fitted[name]) for name in fitted)
    red, orange = (domain.first(4, 128) for domain in (LARGE_RED, LARGE_ORANGE))
    assert model.energy(orange, 128).max() < model.energy(red, 128).min()
    sources, made = run.samples(2)
    assert sources is not None and made.shape == sources.shape == (2, 3, 128, 128)


def test_chains_begin_where_the_transport_leads_and_a_resumed_run_does_too(tmp_path: Path) -> None:
    whole = things(tmp_path / "whole", config=SHAPES)
    assert whole.transport is not None and whole.batches.transport is whole.transport
    whole.train()
    broken = things(tmp_path / "broken", config=SHAPES)
    broken.train(iterations=6)
    broken = things(tmp_path / "broken", config=SHAPES, resume=True)
    broken.train()
    assert_same_state(whole, broken)
    model = whole.model()
    assert model.transport is not None and model.config.schedule.transport == 1.0
    assert things(tmp_path / "plain").model().transport is None


def test_a_palette_of_the_targets_things_is_fitted_for_schedules_that_go_to_it(tmp_path: Path) -> None:
    schedule = replace(THINGS.curriculum.schedule, palette=1.0)
    config = replace(THINGS, curriculum=replace(THINGS.curriculum, schedule=schedule))
    model = things(tmp_path / "coloured", config=config).model()
    assert model.palette is not None and model.config.schedule.palette == 1.0
    orange, red = (domain.first(4, 64) for domain in (LARGE_ORANGE, LARGE_RED))
    moved = {name: float((model.palette(x) - x).square().mean()) for name, x in (("orange", orange), ("red", red))}
    assert moved["orange"] < 0.3 * moved["red"]
    assert things(tmp_path / "plain").model().palette is None


def test_samples_keep_what_the_gate_keeps(trained: Trainer) -> None:
    sources, made = trained.samples(4)
    assert sources is not None and sources.shape == made.shape == (4, 3, 64, 64)
    torch.testing.assert_close(sources, LARGE_RED.first(4, 64))
    schedule = trained.ready_schedule()
    generator = torch.Generator().manual_seed(0)

    def noise(x: Tensor) -> Tensor:
        return torch.randn(1, *x.shape[1:], generator=generator)

    levels = pyramid(sources, schedule)
    steps = sample(trained.average.at, schedule, levels[0], levels, noise=noise, generator=generator)
    end = follow(steps, sources)
    assert trained.probe is not None
    kept = gate_change(sources, end, 0.25, trained.probe.evidence(sources))
    torch.testing.assert_close(made, kept, atol=1e-4, rtol=0)
    assert (kept - end).abs().max() > 1e-3


def test_training_on_the_trunk_tells_the_domains_apart_and_moves_chains(tmp_path: Path) -> None:
    curriculum = Curriculum(Schedule((replace(LEVEL, steps=4),)), (Phase(25, 8, 3e-3, 0.1),))
    run = things(tmp_path, config=replace(THINGS, energy=THINGS.energy.up_to(32), curriculum=curriculum, ema=0.8))
    run.train()
    red, orange = (domain.first(16, 32) for domain in (LARGE_RED, LARGE_ORANGE))
    assert run.average.at(32)(orange).mean() < run.average.at(32)(red).mean()
    schedule = run.ready_schedule()
    moved = follow(sample(run.average.at, schedule, red, [red]), red) - red
    red_moved, green, blue = moved.mean((0, 2, 3)).tolist()
    assert green > 0.02 and green > 0.02 + max(red_moved, blue), "the domains differ in their green"


def test_the_model_takes_more_steps_at_use_than_training_does(tmp_path: Path) -> None:
    run = things(tmp_path, config=replace(THINGS, steps_at_use=(7, 9)))
    run.train(iterations=4)
    assert [level.steps for level in run.model().config.schedule.levels] == [7]
    run.train()
    assert [level.steps for level in run.model().config.schedule.levels] == [7, 9]
    trained = [level.steps for level in run.batches.schedule(1).levels]
    assert trained == [level.steps for level in THINGS.curriculum.schedule.levels]


def test_a_run_may_start_from_the_heads_of_a_trained_energy(trained: Trainer, tmp_path: Path) -> None:
    run = things(tmp_path)
    assert isinstance(trained.average, PerceptualEnergy) and isinstance(run.average, PerceptualEnergy)
    run.start_from(trained.average)
    red = LARGE_RED.first(4, 64)
    theirs, mine = trained.average.term(64), run.average.term(64)
    features = run.average.trunk(red, run.average.config.taps)
    torch.testing.assert_close(mine(red, features), theirs(red, features), rtol=0.05, atol=0.02)
    with torch.no_grad():
        run.energy.eval()
        torch.testing.assert_close(run.energy.at(64)(red), run.average.at(64)(red))
    run.train(iterations=2)
    other = VotesConfig((32, 64), taps=(2, 10), width=9, pixel_width=4)
    with pytest.raises(ValueError, match="another shape"):
        things(tmp_path / "other").start_from(PerceptualEnergy(other, load_trunk()))


def test_settings_come_back_from_the_run_folder(trained: Trainer) -> None:
    assert read_config(trained.run_dir) == THINGS
    (trained.run_dir / "other").mkdir()
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        read_config(trained.run_dir / "other")
    for text in ("{", "[]", json.dumps({**asdict(THINGS), "loss": "hinge"})):
        (trained.run_dir / "other" / "config.json").write_text(text)
        with pytest.raises(ValueError, match="settings that this version cannot read"):
            read_config(trained.run_dir / "other")


@pytest.mark.parametrize("how", ["config", "data", "guard", "names", "rows", "step_sizes", "tensors", "cut"])
def test_a_state_that_is_not_whole_is_refused_in_a_sentence(tmp_path: Path, how: str) -> None:
    trainer(tmp_path).train(iterations=1)
    path = tmp_path / "state.safetensors"
    tensors, meta = load_state(path)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        if how == "tensors":
            tensors = {name: value for name, value in tensors.items() if not name.startswith("now.energy.head")}
        save_state(path, tensors, {key: value for key, value in meta.items() if key not in ("format", "kind", how)})
    with pytest.raises(BadModel, match=r"^state\.safetensors[^\n]*$"):
        trainer(tmp_path, resume=True)
