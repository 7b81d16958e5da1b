"""Films: any step again, at any size; and what is drawn of them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import is_tensor

from translate.explain import energy_curve, heat
from translate.folders.files import source_digest
from translate.images.metadata import read_provenance
from translate.images.types import ImageError
from translate.options import SamplingOptions
from translate.pipeline import Translator
from translate.trajectory import saliency
from translate.web.results import Trajectory, pack
from translate.web.visitor_cache import VisitorCache


@pytest.fixture
def trajectory(tiny_model: Path, photo: Path) -> Trajectory:
    translator = Translator.load(tiny_model, "cpu")
    return Trajectory(photo, translator, SamplingOptions(1.0), list(translator.frames(photo, strength=1.0)))


def test_the_last_step_is_what_a_translation_gives(trajectory, tmp_path):
    path = trajectory.save(len(trajectory.frames), tmp_path, 10**6)
    result = trajectory.translator(trajectory.source, strength=1.0)
    with Image.open(path) as saved:
        assert np.abs(np.asarray(saved).astype(int) - np.asarray(result.picture)).mean() < 2  # it is a JPEG
    assert read_provenance(path) == {**result.provenance, "steps": "4+3", "source": source_digest(trajectory.source)}


def test_step_0_is_the_photo_and_steps_in_between_say_so(trajectory, tmp_path):
    with Image.open(trajectory.source) as source:
        assert np.array_equal(np.asarray(trajectory.picture(0)), np.asarray(source))
    assert trajectory.provenance(0)["steps"] == "0+0"
    assert trajectory.provenance(5)["steps"] == "4+1"
    for step in (-1, 8, 10**9):
        with pytest.raises(ValueError, match="the last one is 7"):
            trajectory.picture(step)
        with pytest.raises(ValueError, match="the last one is 7"):
            trajectory.save(step, tmp_path, 10**6)


def test_what_a_film_keeps_is_what_it_says(model_files, photo):
    """Also with a gate, whose states are made, and kept, when a step is looked at."""
    translator = Translator.load(model_files["votes"], "cpu")
    trajectory = Trajectory(photo, translator, SamplingOptions(1.0), list(translator.frames(photo, strength=1.0)))
    said = trajectory.bytes
    for step in range(len(trajectory.frames) + 1):
        trajectory.picture(step)
    saliency(trajectory.frames)
    assert not any("picture" in vars(frame) for frame in trajectory.frames)
    values = [value for frame in trajectory.frames for value in vars(frame).values() if is_tensor(value)]
    kept = {value.data_ptr(): value.nbytes for value in values}
    assert len(kept) == 2 * len(trajectory.frames) + 4, "reached, state; source and evidence of two levels"
    assert said == trajectory.bytes == sum(kept.values()) + trajectory.frames[0].preview.nbytes


def test_a_photo_that_is_gone_or_too_large_is_a_sentence(trajectory, tmp_path):
    with pytest.raises(ImageError, match="too large"):
        trajectory.save(1, tmp_path, 100)
    trajectory.source = tmp_path / "gone.jpg"
    with pytest.raises(ImageError, match="there is no such file"):
        trajectory.save(1, tmp_path, 10**6)
    assert not list(tmp_path.iterdir())


def test_an_animation_needs_steps(trajectory, tmp_path):
    with Image.open(trajectory.save_gif(tmp_path)) as animation:
        assert animation.n_frames == 8  # type: ignore[attr-defined]
    trajectory.frames.clear()
    with pytest.raises(ValueError, match="no steps"):
        trajectory.save_gif(tmp_path)


def test_the_shelf_keeps_the_newest(trajectory):
    shelf: VisitorCache[Trajectory] = VisitorCache(room=2 * trajectory.bytes)
    for visitor in "abc":
        shelf.put(visitor, trajectory)
    assert (shelf.take("a"), shelf.take("b")) == (None, trajectory)
    shelf.put("d", trajectory)  # b was looked at since c came
    assert (shelf.take("b"), shelf.take("c")) == (trajectory, None)
    shelf.drop("b")
    assert shelf.take("b") is None


def test_pictures_of_one_name_are_packed_apart(tmp_path):
    paths = [tmp_path / folder / "a.jpg" for folder in "xy"]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(path.parent.name.encode())
    with zipfile.ZipFile(pack(paths, tmp_path / "all.zip")) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"01-a.jpg": b"x", "02-a.jpg": b"y"}


def test_heat_is_hottest_where_most_has_moved(trajectory):
    moved = np.zeros((8, 8), np.float32)
    moved[:, :2] = 1
    picture = heat(np.full((40, 60, 3), 128, np.uint8), moved)
    assert picture.size == (60, 40)
    levels = np.asarray(picture).astype(int)
    assert levels[20, 2].sum() > levels[20, 55].sum() + 100
    assert heat(trajectory.frames[0].preview, saliency(trajectory.frames)).size == (100, 75)
    assert heat(np.zeros((4, 4, 3), np.uint8), np.zeros((1, 1), np.float32)).size == (4, 4)


def test_the_curve_is_a_drawing_with_a_line_for_each_level(trajectory):
    names = ["<coarse>", "fine"]
    drawing = ElementTree.fromstring(energy_curve(trajectory.frames, 5, names))
    assert len(drawing.findall("polyline")) == 2 and len(drawing.findall("circle")) == 1
    assert [text.text for text in drawing.findall("text")] == names
    assert not ElementTree.fromstring(energy_curve(trajectory.frames, 0, names)).findall("circle")
    assert energy_curve([], 0, names) == ""
