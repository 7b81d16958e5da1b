"""The trainer: exact resume, the guard, both kinds of chain, what a run folder holds."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models import training
from models.checkpoint import load_model, load_state, save_state
from models.data import Domain
from models.energy import EnergyConfig
from models.guard import Diverged
from models.langevin import Step, bent
from models.run_folder import Checkpoints, Progress
from models.schedule import Curriculum, Ladder, Phase, Stage
from models.training import Trainer, TrainingConfig, read_config

LADDER = Ladder((Stage(8, 2), Stage(16, 2)))
CONFIG = TrainingConfig(
    EnergyConfig(coarsest=8, finest=16, width=4, widest=8),
    Curriculum(LADDER, (Phase(6, 4), Phase(8, 4))),
    sheet_every=5,
)
BENDING = replace(
    CONFIG, curriculum=replace(CONFIG.curriculum, ladder=replace(LADDER, bend=1.0)), overshoot=0.0
)  # fmt: skip


def domain(seed: int, tint: tuple[int, int, int]) -> Domain:
    noise = np.random.default_rng(seed).integers(0, 60, (12, 3, 18, 18))
    return Domain((noise + np.array(tint).reshape(1, 3, 1, 1)).astype(np.uint8))


RED, ORANGE = domain(0, (180, 20, 20)), domain(1, (190, 120, 20))


def trainer(
    run: Path, *, config: TrainingConfig = CONFIG, source: Domain | None = RED, resume: bool = False
) -> Trainer:
    return Trainer(run, config, ORANGE, source, names=("red", "orange"), resume=resume)


@pytest.mark.parametrize("config", [CONFIG, BENDING], ids=["", "bending"])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, config: TrainingConfig) -> None:
    """However often it was saved, and whoever looked at its pictures and drew random numbers for it."""
    whole = trainer(tmp_path / "whole", config=config)
    whole.train()

    def kid(pictures: Tensor) -> float:
        return torch.rand(5).sum().item()

    for stop_at in (3, 9, 14):  # inside the first phase, while the second fades in, to the end
        torch.rand(7)  # what others drew before must not matter
        broken = trainer(tmp_path / "broken", config=config, resume=stop_at > 3)
        broken.train(minutes=0.0)  # leaves a sheet
        broken.train(iterations=stop_at, save_every=0.0, kid=kid)
    expected, found = whole.state(), broken.state()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


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
    _, config = load_model(tmp_path / "model.safetensors")
    assert (config.source, config.target, config.ladder) == ("red", "orange", LADDER)
    assert not list(tmp_path.rglob("*.tmp"))


def test_kid_is_asked_at_each_sheet_and_stays_in_the_log_of_a_resumed_run(tmp_path: Path) -> None:
    asked: list[torch.Size] = []

    def kid(pictures: Tensor) -> float:
        assert pictures.abs().max() <= 1
        asked.append(pictures.shape)
        return 90.0 - len(asked)

    trainer(tmp_path).train(iterations=11, kid=kid)
    assert asked == [(12, 3, 16, 16)] * 3, "at the finest size, whatever the stage"
    heard: list[Progress] = []
    run = trainer(tmp_path, resume=True)
    run.train(kid=kid, report=heard.append)
    assert run.log.kids() == {5: 89.0, 10: 88.0, 11: 87.0, 14: 86.0}
    assert heard[-1].kid == 86.0
    assert heard[-1].sheet == tmp_path / "samples" / "000014.png"
    with (tmp_path / "log.csv").open(newline="") as file:
        assert [row["kid"] for row in csv.DictReader(file)] == ["", "89.0000", "", "88.0000", "87.0000", "86.0000"]


def test_the_last_checkpoints_and_the_best_by_kid_are_kept_and_are_models(tmp_path: Path) -> None:
    figures = iter([90.0, 40.0, 80.0, 70.0, float("nan"), 50.0, 60.0])
    run = trainer(tmp_path, config=replace(CONFIG, sheet_every=2))
    run.train(kid=lambda pictures: next(figures))
    kept = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in kept] == [f"{n:06d}.safetensors" for n in (4, 10, 12, 14)]
    configs = [load_model(path)[1] for path in kept]
    assert [config.ladder.finest for config in configs] == [8, 8, 16, 16]
    assert configs[0].trained["kid_x100"] == 40.0
    best = run.checkpoints.best(run.log.kids())
    assert best == 4
    assert kept[-1].read_bytes() != kept[-2].read_bytes()


def test_checkpoints_from_beyond_the_state_that_was_resumed_go_first(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for number in (100, 200, 300, 400, 500, 900):
        checkpoints.path(number).touch()
    checkpoints.drop(400, {100: 3.0, 900: 1.0})
    left = sorted(path.stem for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["000100", "000200", "000300", "000400"]


def test_samples_show_shapes_that_move_at_their_full_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a chain of one coarse stage: what is fine in the source stays as fine."""
    run = trainer(tmp_path, config=BENDING)
    run.train(iterations=6)
    assert run.ready_ladder().finest == 8 and run.model_config().ladder.bend == 1.0
    sources, _ = run.samples(5)
    assert sources is not None

    def looked(*arguments: object) -> Iterator[Step]:
        """A chain that looks two pixels of 16 to the right."""
        *_, pyramid, _ = arguments
        low = pyramid[0]  # type: ignore[index]
        flow = torch.zeros_like(low[:, :2])
        flow[:, 0] = 2 * 2 / 16
        yield Step(bent(low, flow, LADDER.reach), torch.zeros(len(low)), 8, 0, flow)

    monkeypatch.setattr(training, "climb", looked)
    _, made = run.samples(5)
    torch.testing.assert_close(made[..., :-2], sources[..., 2:], atol=1e-4, rtol=0)


def test_a_run_of_an_older_version_resumes_with_what_it_did_not_know_at_its_default(tmp_path: Path) -> None:
    trainer(tmp_path).train(iterations=2)
    tensors, meta = load_state(tmp_path / "state.safetensors")
    del meta["config"]["curriculum"]["ladder"]["bend"]
    save_state(tmp_path / "state.safetensors", tensors, {k: v for k, v in meta.items() if k not in ("format", "kind")})
    assert trainer(tmp_path, resume=True).iteration == 2
    with pytest.raises(ValueError, match="other settings"):
        trainer(tmp_path, config=BENDING, resume=True)


def test_a_model_saved_while_a_stage_fades_in_stops_at_the_stage_below(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.train(iterations=8)
    _, config = load_model(tmp_path / "model.safetensors")
    assert config.ladder.finest == config.network.finest == 8
    run.train()
    _, config = load_model(tmp_path / "model.safetensors")
    assert config.ladder.finest == config.network.finest == 16


def test_chains_from_noise_are_trained_by_the_same_trainer(tmp_path: Path) -> None:
    run = Trainer(tmp_path, CONFIG, ORANGE, None, names=(None, "orange"))
    run.train()
    _, config = load_model(tmp_path / "model.safetensors")
    assert config.source is None
    assert len(list((tmp_path / "samples").iterdir())) == 3


def test_training_pulls_chains_towards_the_target(tmp_path: Path) -> None:
    """Red noise and orange noise differ by their mean green: after a short training the chain raises it."""
    config = replace(CONFIG, curriculum=Curriculum(Ladder((Stage(8, 5),)), (Phase(60, 8, 3e-3),)))
    run = trainer(tmp_path, config=config)
    run.train()
    from models.langevin import climb, from_tone, tone_pyramid

    source, ladder = RED.first(8, 8), config.curriculum.ladder
    sources = tone_pyramid(source, ladder)
    *_, last = climb(run.average.at, ladder, sources[0], sources)
    moved = (from_tone(last.z, ladder.reach) - source).mean(dim=(0, 2, 3))
    assert moved[1] > 0.1, "green must rise"
    assert moved[1] > 3 * moved[2].abs(), "blue is the same in both domains"


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e5])
def test_the_guard_rolls_back_from_an_injected_blow_up_and_says_so(tmp_path: Path, wrong: float) -> None:
    run = trainer(tmp_path)
    heard: list[Progress] = []

    def sabotage(progress: Progress) -> None:
        heard.append(progress)
        if progress.iteration == 7 and not any(p.event for p in heard):
            with torch.no_grad():
                run.energy.project.weight.fill_(wrong)

    run.train(report=sabotage)
    events = [p.event for p in heard if p.event]
    assert events == ["blew up at iteration 8, rolled back to 0"]
    assert run.iteration == CONFIG.curriculum.iterations
    assert all(bool(torch.isfinite(p).all()) for p in run.energy.parameters())
    with (tmp_path / "log.csv").open(newline="") as file:
        assert [row["event"] for row in csv.DictReader(file) if row["event"]] == events


def test_a_blow_up_just_before_a_snapshot_does_not_become_the_good_state(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("models.guard.SNAPSHOT_EVERY", 4)
    run = trainer(tmp_path)
    heard: list[str] = []

    def sabotage(progress: Progress) -> None:
        heard.append(progress.event)
        if progress.iteration == 7 and not any(heard):
            with torch.no_grad():
                run.energy.project.weight.fill_(float("nan"))
            run.save()
            load_model(tmp_path / "model.safetensors")

    run.train(report=sabotage)
    assert [event for event in heard if event] == ["blew up at iteration 8, rolled back to 4"]


def test_blow_ups_in_a_row_lead_further_back_each_time_and_on_more_carefully(tmp_path: Path, monkeypatch) -> None:
    """Then good states make up for them, one by one. All of it survives an interruption."""
    monkeypatch.setattr("models.guard.SNAPSHOT_EVERY", 2)
    run = trainer(tmp_path)
    heard: list[tuple[str, float]] = []

    def sabotage(progress: Progress) -> None:
        if progress.event or progress.iteration > 6:
            heard.append((progress.event, run.guard.caution))
        blown = sum(bool(event) for event, _ in heard)
        if blown < 3 and progress.iteration == (6, 6, 4)[blown]:
            with torch.no_grad():
                run.energy.project.weight.fill_(float("nan"))

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
    monkeypatch.setattr("models.guard.SNAPSHOT_EVERY", 2)
    run = trainer(tmp_path)
    heard: list[str] = []

    def sabotage(progress: Progress) -> None:
        heard.append(progress.event)
        assert sum(map(bool, heard)) < 20, "it goes on for ever"
        if progress.iteration == 6:
            with torch.no_grad():
                run.energy.project.weight.fill_(float("nan"))

    with pytest.raises(Diverged, match="keeps blowing up"):
        run.train(report=sabotage)
    assert sum(map(bool, heard)) == 5
    load_model(tmp_path / "model.safetensors")


def test_a_training_that_blows_up_for_ever_gives_up_with_a_sentence_and_a_sane_model(tmp_path: Path) -> None:
    run = trainer(tmp_path)

    def sabotage(progress: Progress) -> None:
        with torch.no_grad():
            run.energy.project.weight.fill_(float("inf"))

    with pytest.raises(Diverged, match="smaller learning rate"):
        run.train(report=sabotage)
    load_model(tmp_path / "model.safetensors")


def test_minutes_and_stop_end_a_run_with_a_usable_model(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.train(minutes=0.0)
    assert run.iteration == 0
    assert not (tmp_path / "samples").exists()
    run.train(stop=lambda: run.iteration >= 2)
    assert run.iteration == 2
    assert [sheet.name for sheet in (tmp_path / "samples").iterdir()] == ["000002.png"]
    load_model(tmp_path / "model.safetensors")


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
        Domain(wrong)


def test_after_the_warm_up_chains_from_sources_take_part(tmp_path: Path) -> None:
    """Warming up is training from noise, bit for bit; then chains change what is learned, and the model translates."""
    stage = Stage(8, 2, walk=4.0, noise=0.1)
    config = replace(
        CONFIG, from_noise=True, warm_up=4, curriculum=Curriculum(Ladder((stage,)), (Phase(8, 4, 1e-3),)),
        network=EnergyConfig(coarsest=8, finest=8, width=4, widest=8),
    )  # fmt: skip
    for iterations, same in ((4, True), (8, False)):
        found = []
        for name, source in (("alone", None), ("joined", RED)):
            learner = trainer(tmp_path / f"{name}-{iterations}", config=config, source=source)
            learner.train(iterations=iterations)
            found.append(learner.average.state_dict())
        assert all(torch.equal(value, found[1][name]) for name, value in found[0].items()) is same
    assert learner.model_config().source == "red"


def test_trained_from_noise_a_step_down_the_slope_cleans_a_picture(tmp_path: Path) -> None:
    config = replace(
        CONFIG, from_noise=True, curriculum=Curriculum(Ladder((Stage(8, 2, walk=4.0),)), (Phase(60, 8, 3e-3),)),
        network=EnergyConfig(coarsest=8, finest=8, width=4, widest=8),
    )  # fmt: skip
    learner = trainer(tmp_path, config=config, source=None)
    learner.train()
    clean = learner.target.first(12, 8)
    noisy = (clean + 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    x = noisy.clone().requires_grad_()
    (slope,) = torch.autograd.grad(learner.average(x).sum(), x)
    cleaned = noisy - 4.0 * slope
    assert (cleaned - clean).square().mean() < 0.8 * (noisy - clean).square().mean()
