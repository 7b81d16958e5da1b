"""A disk that is full: nothing that is cut counts as done, nothing good is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.atomic import whole_file, write_whole
from models.model import Model, save_state
from models.train.run_dir import write_sheet
from translate.folders.report import Outcome, Report
from translate.images.training_set import read_training_folder
from translate.images.types import ImageError
from translate.images.write import save_image
from translate.trajectory import save_gif

resource = pytest.importorskip("resource", reason="this system has no limit for the size of files")
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8))


@contextmanager
def files_end_at(count: int) -> Iterator[None]:
    """As on a full disk: a write beyond so many bytes is short, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 1000, 4096])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif", ".bmp", ".gif"])
def test_a_picture_that_has_no_room_is_refused_and_the_old_one_stays(suffix: str, room: int, tmp_path: Path) -> None:
    path = tmp_path / f"result{suffix}"
    before = save_image(Image.new("RGB", (9, 9), "red"), path).read_bytes()
    with files_end_at(room), pytest.raises(ImageError, match="cannot be saved"):
        save_image(NOISE, path, provenance={"model": "m"})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_no_encoder_gets_the_number_of_a_file(tmp_path: Path) -> None:
    """Pillow's JPEG encoder, which writes to it by itself, does not look at what the disk took."""
    with whole_file(tmp_path / "a") as file, pytest.raises(OSError):
        file.fileno()


def test_models_states_sheets_and_animations(tmp_path: Path, tiny_model: Path) -> None:
    model, states = Model.load(tiny_model), {"a": torch.zeros(5000)}
    paths = [tmp_path / name for name in ("m.safetensors", "s.safetensors", "sheet.png", "walk.gif", "log.csv")]
    for path in paths:
        path.write_bytes(b"good")
    with files_end_at(2000):
        for work in (
            lambda: model.save(paths[0]),
            lambda: save_state(paths[1], states, {}),
            lambda: write_sheet(paths[2], torch.rand(2, 3, 32, 32) * 2 - 1, 2),
            lambda: save_gif(NOISE, [], paths[3]),
            lambda: write_whole(paths[4], bytes(3000)),
        ):
            with pytest.raises(OSError):
                work()
    assert all(path.read_bytes() == b"good" for path in paths)
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_the_cache_of_training_pictures(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number in range(3):
        NOISE.save(tmp_path / "a" / f"{number}.png")
    cache = tmp_path / "cache"
    with files_end_at(5000), pytest.raises(ImageError, match="cache of training pictures cannot be written"):
        read_training_folder(tmp_path / "a", 64, cache=cache)
    assert list(cache.iterdir()) == []
    pictures, bad = read_training_folder(tmp_path / "a", 64, cache=cache)
    assert len(pictures) == 3 and not bad


def test_a_report_keeps_whole_lines_and_says_once_where_it_ends(tmp_path: Path) -> None:
    path, said = tmp_path / "run.jsonl", list[str]()
    with Report(path, said.append) as report:
        with files_end_at(1000):
            for number in range(20):
                report.write(Outcome(f"{number}.jpg", f"{number}.jpg", "done"))
        report.write(Outcome("late.jpg", "late.jpg", "done"))
    names = [json.loads(line)["source"] for line in path.read_text().splitlines()]
    assert names == [f"{number}.jpg" for number in range(len(names))] and 0 < len(names) < 20
    assert report.cut_short and len(said) == 1 and "run.jsonl" in said[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
def test_a_report_that_cannot_be_written_is_told_before_the_work() -> None:
    with pytest.raises(OSError, match="/dev/full"):
        Report(Path("/dev/full"))
