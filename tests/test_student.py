"""The student: one pass in the place of a chain, and how chains teach it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cli import app
from models.model import Model, load_config
from models.student import Student, level_of
from models.terms.trunk import load_trunk
from models.train.data import ImageArray
from models.train.distil import (
    ENERGY,
    FEWEST,
    ChainStep,
    Lesson,
    Lessons,
    check_teacher,
    distil,
    finished_chains,
    fit_student,
)
from tests.conftest import BLUE, RED, TRANSLATING
from tests.helpers import random_pictures
from translate import Translator

WITHOUT = [kind for kind in TRANSLATING if kind != "votes"]


@pytest.fixture
def translator(model_files: dict[str, Path]) -> Translator:
    return Translator.load(model_files["votes"], "cpu")


@pytest.fixture(scope="module")
def teacher(model_files: dict[str, Path]) -> Model:
    return Model.load(model_files["votes"])


def things(color: tuple[int, int, int], count: int) -> ImageArray:
    noise = np.random.default_rng(0).integers(-40, 40, (count, 3, 64, 64))
    return ImageArray((np.array(color)[None, :, None, None] + noise).clip(0, 255).astype(np.uint8))


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


# At use --------------------------------------------------------------------------------------------------------------


def test_a_new_student_leaves_pictures_as_they_are() -> None:
    x = random_pictures(2, 32, seed=0)
    assert torch.equal(Student(load_trunk())(x), x)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (34, 50), (128, 192)])
def test_it_takes_pictures_of_any_shape(teacher: Model, height: int, width: int) -> None:
    assert teacher.student is not None
    x = torch.zeros(1, 3, height, width)
    end = teacher.student.advance(x, 1.0)
    assert end.shape == x.shape
    torch.testing.assert_close(end.mean((0, 2, 3)), torch.tensor([-0.5, 0.0, 0.5]))
    torch.testing.assert_close(teacher.student.advance(x, 0.4), 0.4 * end)


def test_it_stays_within_what_pixels_can_be(teacher: Model) -> None:
    assert teacher.student is not None
    x = torch.full((1, 3, 32, 32), 0.9)
    assert float(teacher.student.advance(x, 2.0).abs().max()) <= 1.0


def test_it_works_at_the_finest_level_but_for_a_texture(model_files: dict[str, Path]) -> None:
    assert {kind: level_of(load_config(file)) for kind, file in model_files.items() if kind in TRANSLATING} == {
        "pixels": 32, "votes": 64, "statistics": 64, "textured": 32,
    }  # fmt: skip


def test_one_pass_is_one_step_with_nothing_of_the_chain(translator: Translator, photo: Path) -> None:
    result = translator(photo, fast=True)
    assert len(result.frames) == 1 and len(result.energies) == 1 and math.isfinite(result.energies[0])
    assert result.picture.size == result.photo.rgb.size
    change = (pixels(result.picture) - pixels(result.photo.rgb)).mean((0, 1))
    assert change[0] < -20 and change[2] > 5 and abs(change[1]) < 2
    assert result.provenance["fast"] is True and result.provenance["steps"] == "0+1"
    assert "fast" not in translator(photo).provenance


def test_strength_says_how_far_it_goes(translator: Translator, photo: Path) -> None:
    before = pixels(Image.open(photo).convert("RGB"))
    far = [np.abs(pixels(translator(photo, fast=True, strength=s).picture) - before).mean() for s in (0, 0.5, 1)]
    assert far[0] == 0 and far[1] == pytest.approx(far[2] / 2, rel=0.1)


def test_it_asks_for_no_seed_and_pictures_share_their_pass(translator: Translator, photo: Path) -> None:
    alone = translator(photo, fast=True)
    assert translator(photo, fast=True, seed=5).picture.tobytes() == alone.picture.tobytes()
    both = translator.batch([photo, Image.open(photo).transpose(Image.Transpose.FLIP_TOP_BOTTOM)], fast=True)
    assert np.abs(pixels(both[0].picture) - pixels(alone.picture)).max() <= 1


@pytest.mark.parametrize("kind", WITHOUT)
def test_without_a_student_there_is_one_sentence(model_files: dict[str, Path], photo: Path, kind: str) -> None:
    with pytest.raises(ValueError, match=r"has no student.*models distil"):
        Translator.load(model_files[kind], "cpu")(photo, fast=True)
    done = CliRunner().invoke(app, ["translate", str(photo), "-m", str(model_files[kind]), "--fast"])
    assert done.exit_code == 1 and "has no student" in done.stderr and "Traceback" not in done.stderr


def test_steps_and_one_pass_do_not_go_together(translator: Translator, photo: Path) -> None:
    with pytest.raises(ValueError, match="leave out steps"):
        translator(photo, fast=True, steps=3)
    with pytest.raises(TypeError, match="fast is True or False"):
        translator(photo, fast=1)


def test_commands_take_it_and_results_say_so(model_files: dict[str, Path], photo: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    made = run(
        app, ["translate", str(photo), "-m", str(model_files["votes"]), "-o", f"{tmp_path}/", "--fast", "--json"]
    )
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["fast"] is True
    batch = ["batch", str(photo.parent), str(tmp_path / "all"), "-m", str(model_files["votes"])]
    assert "1 translated" in run(app, [*batch, "--fast"]).output
    assert "1 finished before" in run(app, [*batch, "--fast"]).output
    slow = run(app, batch)
    assert slow.exit_code == 1 and "--overwrite" in slow.output, "a chain's result is another one"


def test_what_is_too_coarse_for_it_goes_without(teacher: Model) -> None:
    small = teacher.edited(finest=32)
    assert small.student is None and not small.config.student
    assert teacher.edited(steps=[1, 1], strength=0.5).student is teacher.student


# Its lessons ---------------------------------------------------------------------------------------------------------


def test_lessons_are_the_ends_of_the_models_own_chains(teacher: Model) -> None:
    pictures = things(RED, 10)
    lessons = finished_chains(teacher, pictures, 0, lambda lesson: None, lambda: False)
    assert lessons.sources.shape == lessons.ends.shape == (10, 3, 64, 64)
    again = finished_chains(teacher.edited(strength=0.5), pictures, 0, lambda lesson: None, lambda: False)
    assert torch.equal(lessons.ends, again.ends), "always of strength 1"
    assert (lessons.ends.float() - lessons.sources.float()).abs().mean() > 1


def test_it_learns_what_chains_do(teacher: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """From ends of red things that have become bluer, and of blue ones that have stayed, to others of both kinds."""
    monkeypatch.setattr("models.train.distil.WARM_UP", 5)
    sources = torch.cat([next(things(color, 12).whole(64)) for color in (RED, BLUE)])
    ends = sources.clone()
    ends[:12, 2] += 0.4
    seen = torch.arange(24) % 12 < 8
    stored = [((x[seen].clamp(-1, 1) + 1) * 127.5).round().byte() for x in (sources, ends)]
    heard: list[Lesson] = []
    student = fit_student(teacher, Lessons(*stored), iterations=24, report=heard.append)
    unlike = (student.advance(sources[~seen], 1.0) - ends[~seen]).abs().mean((1, 2, 3))
    there_was = (sources[~seen] - ends[~seen]).abs().mean((1, 2, 3))
    assert unlike[:4].mean() < 0.6 * there_was[:4].mean(), "red ones have become bluer"
    assert unlike[4:].mean() < 0.6 * there_was[:4].mean(), "and blue ones have stayed"
    assert [lesson.done for lesson in heard] == list(range(1, 25))


def test_the_energy_pulls_nowhere_harder_than_the_ends(teacher: Model) -> None:
    """Or a student would run away from them, as one without this bound did."""
    x = 1.5 * random_pictures(4, 64, seed=2)
    step = ChainStep(teacher, seed=0)(x)
    assert float(step.abs().max()) <= 1 and float(step.abs().mean()) > 0.1
    assert ENERGY < 1


def test_a_seed_says_what_is_learned(teacher: Model) -> None:
    taught = [distil(teacher, things(RED, FEWEST), iterations=3, seed=seed).student for seed in (1, 1, 2)]
    states = [student.state_dict() for student in taught if student is not None]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert any(not torch.equal(value, states[2][name]) for name, value in states[0].items())


def test_a_taught_model_is_saved_whole(teacher: Model, tmp_path: Path) -> None:
    taught = distil(replace(teacher, student=None), things(RED, FEWEST), iterations=3)
    taught.save(tmp_path / "m.safetensors")
    loaded = Model.load(tmp_path / "m.safetensors")
    assert loaded.student is not None and taught.student is not None
    x = random_pictures(1, 64, seed=1)
    torch.testing.assert_close(loaded.student.advance(x, 1.0), taught.student.advance(x, 1.0), atol=2e-3, rtol=0)


def test_time_ends_the_lessons(teacher: Model) -> None:
    heard: list[Lesson] = []
    with pytest.raises(ValueError, match=f"needs {FEWEST} finished chains"):
        distil(teacher, things(RED, 2 * FEWEST), minutes=0.0, report=heard.append)
    stopped = distil(teacher, things(RED, FEWEST), iterations=1000, report=heard.append, stop=lambda: len(heard) > 4)
    assert heard[-1].done < 10 and stopped.student is not None


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("generator", "translates nothing"),
        ("textured", "transport"),
        ("statistics", "strokes"),
        ("pixels", "on the trunk"),
    ],
)
def test_models_that_cannot_teach_are_refused_before_any_work(
    model_files: dict[str, Path], tmp_path: Path, kind: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        check_teacher(Model.load(model_files[kind]))
    done = CliRunner().invoke(
        app, ["models", "distil", str(model_files[kind]), "nowhere", str(tmp_path / "x.safetensors")]
    )
    assert done.exit_code == 1 and why in done.stderr


def test_the_command_writes_a_model_that_translates_at_once(
    model_files: dict[str, Path], photo: Path, tmp_path: Path
) -> None:
    for number, x in enumerate(things(RED, FEWEST).whole(64, 1)):
        picture = ((x[0] + 1) * 127.5).byte().permute(1, 2, 0).numpy()
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    file = tmp_path / "taught.safetensors"
    command = ["models", "distil", str(model_files["votes"]), str(tmp_path), str(file)]
    done = CliRunner().invoke(app, [*command, "--minutes", "0.05"])
    assert done.exit_code == 0, done.output
    assert "left out: broken.jpg" in done.stderr and "8/8 chains" in done.stderr and str(file) in done.stdout
    assert Translator.load(file, "cpu")(photo, fast=True).frames
    assert CliRunner().invoke(app, [*command[:-1], "taught.bin"]).exit_code == 2
