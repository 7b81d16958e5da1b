"""Finding the window of a photo that training pictures show, and changing nothing but what lies in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.framing import Framing, fit_framing
from models.terms.trunk import load_trunk
from translate.window import AS_IT_IS, Window, find_window

RNG = np.random.default_rng(0)
WINDOWS = tuple(Window(*place, 100, 75) for place in ((10, 5, 40), (-20, -10, 60), (70, 50, 60), (-10, -10, 120)))


def face(size: int, x: float, y: float, radius: float, seed: int, height: int = 0) -> np.ndarray:
    """A disc with two eyes and a mouth, on a ground of its own colour: (height or size, size, 3) uint8."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[: height or size, :size]
    picture = np.empty((height or size, size, 3), np.uint8)
    picture[:] = rng.integers(60, 200, 3)
    for part_x, part_y, part, color in (
        (0, 0, 1, (230, 180, 140)),
        (-0.4, -0.3, 0.18, 20),
        (0.4, -0.3, 0.18, 20),
        (0, 0.5, 0.2, 90),
    ):
        inside = (across - x - part_x * radius) ** 2 + (down - y - part_y * radius) ** 2 < (part * radius) ** 2
        picture[inside] = color
    noise = rng.normal(0, 6, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def tensors(pictures: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def framing() -> Framing:
    """Learned from faces in the middle, whose radius is a third of the picture."""
    rng = np.random.default_rng(1)
    off = rng.normal(0, 3, (48, 3))
    pictures = [face(128, 64 + x, 64 + y, 42 + r, seed) for seed, (x, y, r) in enumerate(off)]
    return fit_framing(tensors(pictures), load_trunk())


@pytest.mark.parametrize(("x", "y", "radius"), [(150, 110, 60), (260, 130, 70), (90, 100, 75)])
def test_a_face_anywhere_in_a_wide_photo_is_framed(framing: Framing, x: float, y: float, radius: float) -> None:
    window = find_window(framing, Image.fromarray(face(360, x, y, radius, seed=99, height=220)))
    assert window is not None and (window.width, window.height) == (360, 220)
    assert (
        abs(window.left + window.side / 2 - x) < 0.35 * radius and abs(window.top + window.side / 2 - y) < 0.35 * radius
    )
    assert 0.7 < window.side / (128 / 42 * radius) < 1.4


def test_a_photo_that_is_framed_stays_whole(framing: Framing) -> None:
    assert find_window(framing, Image.fromarray(face(300, 150, 150, 98, seed=98))) is None
    far = framing.offsets(tensors([face(300, 210, 150, 98, seed=98)]))[0]
    assert float(far[0]) > 0.2 and AS_IT_IS < 0.5


def test_windows_are_the_same_whatever_the_size_of_the_photo(framing: Framing) -> None:
    photo = Image.fromarray(face(720, 300, 220, 120, seed=97, height=440))
    large, small = (find_window(framing, p) for p in (photo, photo.resize((360, 220), Image.Resampling.BOX)))
    assert large is not None and small is not None
    assert abs(large.left - 2 * small.left) < 20 and abs(large.side - 2 * small.side) < 20


@pytest.mark.parametrize("window", WINDOWS)
def test_what_is_cut_and_put_back_changes_nothing(window: Window) -> None:
    for size in ((75, 100), (150, 200), (30, 40)):
        picture = RNG.integers(0, 256, (*size, 3), np.uint8)
        part = window.cut(picture)
        assert part.shape[0] == part.shape[1]
        assert np.array_equal(window.put(picture, part), picture)


def test_a_change_stays_in_its_window_and_fades_towards_edges_in_the_photo() -> None:
    picture = np.full((75, 100, 3), 100, np.uint8)
    inside, beyond = WINDOWS[0], WINDOWS[1]
    changed = inside.put(picture, np.full_like(inside.cut(picture), 200)).astype(int)
    outside = np.ones((75, 100), bool)
    outside[5:45, 10:50] = False
    assert (changed[outside] == 100).all() and (changed[12:38, 17:43] == 200).all()
    assert np.abs(np.diff(changed[25, :, 0])).max() < 80 and (changed[5, 10:50] < 160).all()
    corner = beyond.put(picture, np.full_like(beyond.cut(picture), 200))
    assert (corner[:40, :30] == 200).all()  # at the photo's own edges it does not fade
    assert (picture == 100).all()


@pytest.mark.parametrize("window", WINDOWS)
def test_a_map_over_the_window_is_laid_over_the_photo(window: Window) -> None:
    whole = window.spread(np.ones((30, 30), np.float32))
    assert abs(whole.shape[1] / whole.shape[0] - 100 / 75) < 0.06
    rows, columns = (np.arange(n) * window.side / 30 for n in whole.shape)
    middle = (rows > window.top + 3) & (rows < window.top + window.side - 6)
    across = (columns > window.left + 3) & (columns < window.left + window.side - 6)
    assert (whole[np.ix_(middle, across)] == 1).all()
    assert not whole[rows < window.top - 3].any() and not whole[:, columns > window.left + window.side + 3].any()
