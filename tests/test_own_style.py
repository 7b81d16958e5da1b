"""A visitor's own style: fitted to paintings that were sent, kept for that visitor alone, taken away as a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.train.style import style_schedule
from translate.images.types import ImageError
from translate.pipeline import Translator
from translate.web import service as services
from translate.web import styles
from translate.web.service import ChainProgress, FitProgress, TranslationService


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains of the coarsest level alone, five steps."""
    monkeypatch.setattr(styles, "style_schedule", lambda: style_schedule().up_to(64))


@pytest.fixture
def service(tiny_model: Path, tmp_path: Path) -> TranslationService:
    return TranslationService([str(tiny_model)], tmp_path / "results")


@pytest.fixture
def paintings(tmp_path: Path) -> list[Path]:
    """Stripes across and stripes down."""
    y, x = np.mgrid[:150, :200]
    paths = [tmp_path / "Stripes one.png", tmp_path / "two.jpg"]
    for axis, path in zip((x, y), paths, strict=True):
        lines = ((axis // 6) % 2)[..., None] * np.array([200, 60, 20]) + 20
        Image.fromarray(lines.astype(np.uint8)).save(path)
    return paths


def run(service: TranslationService, visitor: str, paintings: list[Path], photo: Path) -> list[object]:
    return list(service.stream_style(visitor, paintings, photo))


def test_a_photo_is_painted_and_the_style_can_be_taken_away(service, paintings, photo, tmp_path):
    progress = run(service, "me", paintings, photo)
    assert progress[0] == FitProgress()
    last = progress[-1]
    assert isinstance(last, ChainProgress) and last.finished and len(last.trajectory.frames) == 5
    seen = service.save(service.trajectory("me"), 5)
    assert seen.name == "disc-Stripes_one-style.jpg"
    file = service.save_style("me")
    assert file.name == "Stripes_one-style.safetensors"
    style = Translator.load(file)
    assert style.config.target == "the style of Stripes one" and style.config.trained == {"paintings": 2}
    with Image.open(seen) as shown:  # what whoever takes the file away gets, but for what JPEG loses
        gap = np.abs(np.asarray(shown, float) - np.asarray(style(photo).picture, float)).mean()
    with Image.open(photo) as before:
        change = np.abs(np.asarray(before, float) - np.asarray(style(photo).picture, float)).mean()
    assert gap < 3 < change


def test_the_same_paintings_are_fitted_once(service, paintings, photo, monkeypatch):
    run(service, "me", paintings, photo)
    again = run(service, "me", paintings, photo)
    assert all(isinstance(progress, ChainProgress) for progress in again)
    other = run(service, "me", paintings[:1], photo)
    assert other[0] == FitProgress()


def test_a_style_is_its_visitors_alone(service, paintings, photo):
    run(service, "me", paintings, photo)
    for visitor in ("somebody else", "", "me/"):
        with pytest.raises(ValueError, match="no style of yours"):
            service.save_style(visitor)
    assert set(service.translators) == {"tiny"}
    with pytest.raises(ValueError, match="There is no direction"):
        service.translate(photo, "Stripes_one-style", 1.0)
    service.leave("me")
    with pytest.raises(ValueError, match="no style of yours"):
        service.save_style("me")


def test_room_for_styles_is_bounded(service, paintings, photo, monkeypatch):
    run(service, "first", paintings, photo)
    style = service._styles.take("first")
    assert style is not None
    monkeypatch.setattr(service._styles, "room", style.bytes)
    run(service, "second", paintings, photo)
    service.save_style("second")
    with pytest.raises(ValueError, match="no style of yours"):
        service.save_style("first")


@pytest.mark.parametrize("count", [0, styles.MAX_PAINTINGS + 1])
def test_no_painting_and_too_many_get_a_sentence(service, paintings, photo, count):
    with pytest.raises(ValueError, match="Choose between 1 and 6 paintings"):
        run(service, "me", (paintings * 4)[:count], photo)


@pytest.fixture(params=["text", "small", "large"])
def bad(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    path = tmp_path / "bad.png"
    if request.param == "text":
        path.write_text("no picture")
        yield path, "bad.png: this is not a picture"
    elif request.param == "small":
        Image.new("RGB", (400, 90)).save(path)
        yield path, "bad.png: a painting needs 128 pixels a side, this one has 400 x 90"
    else:
        Image.new("RGB", (400, 300)).save(path)
        monkeypatch.setattr(services, "MAX_PIXELS", 100_000)
        yield path, "bad.png: the picture is too large"


def test_what_cannot_be_used_is_refused_when_it_comes_and_when_it_is_read(service, paintings, photo, bad):
    path, words = bad
    with pytest.raises(ImageError, match=words):
        service.check_painting(path)
    for sent in ([path], [paintings[0], path]):
        with pytest.raises(ImageError, match=words):
            run(service, "me", sent, photo)
    with pytest.raises(ValueError, match="no style of yours"):
        service.save_style("me")
    service.check_painting(paintings[0])


def test_who_stops_while_waiting_gets_no_style(service, paintings, photo):
    steps = service.stream_style("me", paintings, photo)
    assert next(steps) == FitProgress()
    service.stop("me")
    assert list(steps) == [FitProgress(stopped=True)]
    with pytest.raises(ValueError, match="no style of yours"):
        service.save_style("me")
