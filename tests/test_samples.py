"""The sample pictures come from samples/render.py, and `dev.py demo` finds the right ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samples.render import SCENES, render

FOLDER = Path(__file__).parent.parent / "samples"


def test_every_scene_has_its_picture_and_every_picture_its_scene():
    assert {path.stem for path in FOLDER.glob("*.jpg")} == set(SCENES)


def test_both_domains_have_several_pictures():
    for fruit in ("apple", "orange"):
        assert len(list(FOLDER.glob(f"{fruit}*.jpg"))) >= 2
    assert all(name.startswith(("apple", "orange")) for name in SCENES)


@pytest.mark.parametrize("name", SCENES)
def test_pictures_are_small_rgb_jpegs_of_the_size_of_their_scene(name):
    path = FOLDER / f"{name}.jpg"
    assert path.stat().st_size < 120_000
    with Image.open(path) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", SCENES[name]().size)


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
