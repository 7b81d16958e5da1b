"""Where the sample pictures come from, and that `dev.py demo` and samples/figures.py find the right ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

import dev
from samples.figures import ANIMATED, CELL, EXPLAINED, GAP, IMAGES, SHARES, SHOWN
from samples.render import SCENES, render
from translate.images.read import open_image

FOLDER = Path(__file__).parent.parent / "samples"


def test_every_rendered_picture_has_its_scene_and_every_photo_its_author_and_licence():
    photos = {path.stem for path in FOLDER.glob("*.jpg")} - set(SCENES)
    told = (FOLDER / "README.md").read_text(encoding="utf-8")
    notice = (FOLDER.parent / "NOTICE").read_text(encoding="utf-8")
    assert all((FOLDER / f"{scene}.jpg").is_file() for scene in SCENES)
    for photo in photos:
        (row,) = [row for row in told.splitlines() if f"`{photo}.jpg`" in row]
        assert "https://creativecommons.org/" in row and "BY-NC" not in row and "BY-SA" not in row
        assert f"samples/{photo}.jpg" in notice


def test_the_demo_translates_every_sample_once_with_the_animation_of_a_photo_first():
    jobs = dev.samples()
    assert sorted(path for paths in jobs.values() for path in paths) == sorted(FOLDER.glob("*.jpg"))
    assert all(jobs.values())
    assert next(iter(jobs.values()))[0].stem not in SCENES


def test_the_pictures_of_the_readme_are_those_that_the_script_makes_and_small():
    names = {"chain.gif", *(f"{model}.jpg" for model in SHOWN), *(f"why-{model}.jpg" for model in EXPLAINED)}
    assert {path.name for path in IMAGES.iterdir()} == names
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < 2_500_000
    assert (IMAGES / "chain.gif").stat().st_size < 1_500_000
    for model, sample in SHOWN.items():
        assert FOLDER / f"{sample}.jpg" in dev.samples()[model]
        with Image.open(IMAGES / f"{model}.jpg") as row:
            cells = len(SHARES) + 2
            assert row.size == (cells * (CELL[0] + GAP) - GAP, CELL[1])
    with Image.open(IMAGES / "chain.gif") as film:
        assert sum(1 for _ in ImageSequence.Iterator(film)) > 10
        film.seek(0)
        source = open_image(FOLDER / f"{SHOWN[ANIMATED]}.jpg").rgb.resize(film.size)
        difference = np.abs(np.asarray(film.convert("RGB"), float) - np.asarray(source, float))
    assert difference.mean() < 8  # levels of 255: the first frame is the source


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jpg")), ids=lambda path: path.stem)
def test_samples_are_small_rgb_jpegs(path):
    assert path.stat().st_size < 210_000
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        assert min(picture.size) >= 256
        if path.stem in SCENES:
            assert picture.size == SCENES[path.stem]().size


@pytest.mark.parametrize("name", SCENES)
def test_a_small_render_resembles_the_committed_picture(name):
    small = render(SCENES[name](), scale=0.25, samples=4)
    with Image.open(FOLDER / f"{name}.jpg") as committed:
        reduced = committed.resize(small.size, Image.Resampling.BOX)
    difference = np.abs(np.asarray(small, float) - np.asarray(reduced, float))
    assert difference.mean() < 6  # levels of 255; another scene differs by more than 20


def test_rendering_is_deterministic():
    first, second = (render(SCENES["orange_on_white"](), scale=0.1, samples=2) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_the_white_backgrounds_are_white():
    for name in ("apple_on_white", "orange_on_white"):
        with Image.open(FOLDER / f"{name}.jpg") as picture:
            top = np.asarray(picture)[:20]
        assert top.min() >= 245
