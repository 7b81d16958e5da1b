"""The locator: it finds what two domains differ in, travels with its model, and leaves the training beside it alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from cli import app
from models.checkpoint import KEY, BadModel, load_locator, load_model, save_model
from models.data import Domain
from models.langevin import focused
from models.locating import LocatorLearner
from models.locator import Locator, evidence
from models.training import Trainer, TrainingConfig
from tests.test_training import CONFIG, ORANGE, RED
from translate import Translator

GROUNDS = np.array([(120, 80, 45), (150, 150, 150), (250, 250, 250), (60, 90, 50)])


def squares(colour: tuple[int, int, int], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 3, 72, 72) of a square somewhere on one of the grounds, and where it is, (N, 72, 72)."""
    draw = np.random.default_rng(seed)
    pictures = np.empty((count, 72, 72, 3))
    pictures[:] = GROUNDS[draw.integers(len(GROUNDS), size=count)][:, None, None]
    inside = np.zeros((count, 72, 72), bool)
    for mask, (top, left) in zip(inside, draw.integers(4, 44, (count, 2)), strict=True):
        mask[top : top + 24, left : left + 24] = True
    pictures[inside] = colour
    noisy = (pictures + draw.normal(0, 8, pictures.shape)).clip(0, 255).astype(np.uint8)
    return noisy.transpose(0, 3, 1, 2).copy(), inside


def test_what_two_domains_differ_in_is_found_without_being_shown() -> None:
    source, target = (
        Domain(squares(colour, 40, seed)[0]) for seed, colour in ((0, (190, 30, 30)), (1, (230, 130, 20)))
    )
    learner = LocatorLearner(source, target, steps=200)
    told = [learner.step(number) for number in range(60)]
    assert np.mean(told[-10:]) > 0.9
    pictures, inside = squares((190, 30, 30), 16, seed=2)
    found = evidence(learner.locator, torch.from_numpy(pictures).float() / 127.5 - 1)[:, 0].numpy()
    assert found.min() >= 0
    # A place looks at a third of the picture, so that evidence spreads around the square, not all over the ground.
    for map_, mask in zip(found, inside, strict=True):
        assert map_[mask].mean() > 3 * map_[~mask].mean()


def test_steps_are_the_same_whatever_was_drawn_before_and_leave_the_generator_alone() -> None:
    learners = [LocatorLearner(RED, ORANGE, seed=3, steps=4) for _ in range(2)]
    for number in range(2):
        for learner in learners:
            torch.manual_seed(torch.seed())
            before = torch.get_rng_state()
            learner.step(number)
            assert torch.equal(torch.get_rng_state(), before)
    first, second = (learner.locator.state_dict() for learner in learners)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_evidence_is_the_same_alone_and_in_company_and_has_any_shape() -> None:
    torch.manual_seed(0)
    locator = Locator().eval()
    pictures = torch.rand(3, 3, 40, 150) * 2 - 1
    together = evidence(locator, pictures)
    assert together.shape == (3, 1, 40, 150)
    assert together.min() >= 0
    assert together.amax() > 0
    for n in range(3):
        torch.testing.assert_close(evidence(locator, pictures[n : n + 1]), together[n : n + 1])
    assert evidence(locator, torch.zeros(1, 3, 8, 64)).shape == (1, 1, 8, 64)


def test_changes_count_by_their_evidence() -> None:
    """Two things moved alike; one of them by 1 with evidence 1, so that M = 1, the other with focus^2: it is halved."""
    source = torch.full((1, 3, 16, 16), -0.9)
    source[..., :8, :] = 0.9
    state = source + 1
    counts = torch.full((1, 1, 16, 16), 0.25)
    counts[..., :8, :] = 1.0
    kept = focused(source, state, 0.5, counts) - source
    torch.testing.assert_close(kept[..., :8, :], torch.full((1, 3, 8, 16), 1 / (1 + 0.5**4)))
    torch.testing.assert_close(kept[..., 8:, :], torch.full((1, 3, 8, 16), 0.5))
    assert torch.equal(focused(source, state, 0.0, counts), state)


@pytest.fixture
def located(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with an untaught locator, and a chain that asks it."""
    energy, config = load_model(tiny_model)
    torch.manual_seed(5)
    path = tmp_path / "located.safetensors"
    save_model(path, energy.state_dict(), replace(config, ladder=replace(config.ladder, focus=0.5)), Locator())
    return path


def test_a_locator_comes_back_exactly_and_only_whole(located: Path, tiny_model: Path, tmp_path: Path) -> None:
    energy, config = load_model(located)
    locator = load_locator(located)
    assert locator is not None
    assert config.located
    again = tmp_path / "again.safetensors"
    save_model(again, energy.state_dict(), config, locator)
    assert again.read_bytes() == located.read_bytes()
    assert load_locator(tiny_model) is None
    assert not load_model(tiny_model)[1].located
    with safe_open(located, "pt") as file:
        header = {KEY: file.metadata()[KEY]}
    partial = {name: value for name, value in load_file(located).items() if name != "locator.layers.0.weight"}
    save_file(partial, tmp_path / "partial.safetensors", header)
    with pytest.raises(BadModel, match="do not fit"):
        load_model(tmp_path / "partial.safetensors")
    damaged = bytearray(located.read_bytes())
    damaged[-4:] = b"\x00\x00\x80\x3f"
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(BadModel, match="damaged"):
        load_locator(tmp_path / "damaged.safetensors")


def test_a_translation_asks_the_locator_and_pictures_of_a_batch_do_not_mix(located: Path, photo: Path) -> None:
    energy, config = load_model(located)
    translator = Translator.load(located, "cpu")
    mute = Translator(energy, config, name="mute", digest="", device=torch.device("cpu"))
    with Image.open(photo) as opened:
        pictures = [opened.convert("RGB"), opened.convert("RGB").transpose(Image.Transpose.FLIP_TOP_BOTTOM)]
    results = translator.batch(pictures)
    assert results[0].picture.tobytes() != mute(pictures[0]).picture.tobytes()
    for result, picture in zip(results, pictures, strict=True):
        alone = translator(picture)
        apart = np.abs(np.asarray(result.picture, int) - np.asarray(alone.picture, int)).max()
        assert apart <= 1
        assert [frame.evidence.shape[-2:] for frame in result.frames if frame.evidence is not None] == [
            frame.source.shape[-2:] for frame in result.frames
        ]
    assert translator(pictures[0], strength=0).picture.tobytes() == pictures[0].tobytes()


def test_training_with_focus_learns_a_locator_resumes_exactly_and_learns_the_same_energy(tmp_path: Path) -> None:
    curriculum = replace(CONFIG.curriculum, ladder=replace(CONFIG.curriculum.ladder, focus=0.4))
    config = replace(CONFIG, curriculum=curriculum)

    def run(folder: str, wanted: TrainingConfig = config, resume: bool = False) -> Trainer:
        return Trainer(tmp_path / folder, wanted, ORANGE, RED, names=("red", "orange"), resume=resume)

    whole = run("whole")
    whole.train(iterations=5)
    plain = run("plain", CONFIG)
    plain.train(iterations=5)
    run("broken").train(iterations=3)
    broken = run("broken", resume=True)
    broken.train(iterations=5)
    expected, found, without = whole.state(), broken.state(), plain.state()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert all(torch.equal(expected[name], value) for name, value in without.items())
    assert load_locator(tmp_path / "whole" / "model.safetensors") is not None
    assert load_locator(tmp_path / "plain" / "model.safetensors") is None


def test_a_model_is_taught_where_its_change_belongs_by_one_command(tiny_model: Path, tmp_path: Path) -> None:
    for name, colour in (("a", (190, 30, 30)), ("b", (230, 130, 20))):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(squares(colour, 12, seed=7)[0]):
            Image.fromarray(picture.transpose(1, 2, 0)).save(tmp_path / name / f"{number}.png")
    folders = ["--source", str(tmp_path / "a"), "--target", str(tmp_path / "b")]
    file = tmp_path / "taught.safetensors"
    done = CliRunner().invoke(app, ["models", "locate", str(tiny_model), str(file), *folders, "--steps", "2"])
    assert (done.exit_code, done.stdout.strip()) == (0, str(file))
    (energy, config), (before, _) = load_model(file), load_model(tiny_model)
    assert config.ladder.focus == 0.4
    assert all(torch.equal(a, b) for a, b in zip(energy.parameters(), before.parameters(), strict=True))
    copy = tmp_path / "copy.safetensors"
    assert CliRunner().invoke(app, ["models", "export", str(file), str(copy), "--strength", "1.5"]).exit_code == 0
    taught, kept = load_locator(file), load_locator(copy)
    assert taught is not None
    assert kept is not None
    assert all(torch.equal(a, b) for a, b in zip(taught.parameters(), kept.parameters(), strict=True))
    wrong = CliRunner().invoke(app, ["models", "locate", "cats", str(copy), *folders, "--steps", "2"])
    assert wrong.exit_code == 1
    assert "no source pictures" in wrong.output
