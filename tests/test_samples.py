"""The sample pictures come from samples/render.py and samples/faces.py, and `dev.py demo` finds the right ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samples.faces import FACES, draw
from samples.render import SCENES, render

FOLDER = Path(__file__).parent.parent / "samples"


def test_every_scene_and_face_has_its_picture_and_every_picture_its_scene_or_face():
    assert {path.stem for path in FOLDER.glob("*.jpg")} == {*SCENES, *FACES}


def test_every_kind_has_several_pictures():
    for kind in ("apple", "orange", "cat", "dog"):
        assert len(list(FOLDER.glob(f"{kind}*.jpg"))) >= 2
    assert all(name.startswith(("apple", "orange")) for name in SCENES)
    assert all(name.startswith(("cat", "dog")) for name in FACES)


@pytest.mark.parametrize("name", [*SCENES, *FACES])
def test_pictures_are_small_rgb_jpegs_of_the_size_of_their_scene(name):
    path = FOLDER / f"{name}.jpg"
    assert path.stat().st_size < 120_000
    with Image.open(path) as picture:
        size = SCENES[name]().size if name in SCENES else (512, 512)
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", size)


@pytest.mark.parametrize("name", SCENES)
def test_a_small_render_resembles_the_committed_picture(name):
    small = render(SCENES[name](), scale=0.25, samples=4)
    with Image.open(FOLDER / f"{name}.jpg") as committed:
        reduced = committed.resize(small.size, Image.Resampling.BOX)
    difference = np.abs(np.asarray(small, float) - np.asarray(reduced, float))
    assert difference.mean() < 6  # levels of 255; another scene differs by more than 20


@pytest.mark.parametrize("name", FACES)
def test_a_small_face_resembles_the_committed_picture_and_no_other(name):
    small = np.asarray(draw(FACES[name], 128), float)

    def difference(other: str) -> float:
        with Image.open(FOLDER / f"{other}.jpg") as committed:
            return float(np.abs(np.asarray(committed.resize((128, 128), Image.Resampling.BOX), float) - small).mean())

    assert min(FACES, key=difference) == name
    assert difference(name) < 16  # levels of 255; hairs fall elsewhere, another face differs by more than 40


def test_rendering_is_deterministic():
    first, second = (render(SCENES["orange_on_white"](), scale=0.1, samples=2) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    first, second = (draw(FACES["dog_golden"], 48) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_the_white_backgrounds_are_white():
    for name in ("apple_on_white", "orange_on_white"):
        with Image.open(FOLDER / f"{name}.jpg") as picture:
            top = np.asarray(picture)[:20]
        assert top.min() >= 245
