"""From a model and a folder of pictures that it translates to the same model with a student."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from models.model import Model
from models.registry import locate
from models.train.data import ImageArray
from models.train.distil import ITERATIONS, Lesson, check_teacher, distil
from translate.images.training_set import read_training_files
from translate.pipeline import pick_device
from translate.training.datasets import open_dataset


def teach(
    name: str,
    photos: str,
    file: Path,
    *,
    minutes: float | None = None,
    iterations: int = ITERATIONS,
    seed: int = 0,
    device: str = "auto",
    say: Callable[[str], None] = lambda sentence: None,
    report: Callable[[Lesson], None] = lambda lesson: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Teach a student of a model on pictures of its source domain, and write both to `file`: `models distil`.

    photos: a folder, a zip or a Hub dataset, see datasets.open_dataset. The others: see models.train.distil.distil.
    Raises ValueError (ImageError, BadModel), OSError.
    """
    chosen = pick_device(device)
    model = Model.load(locate(name))
    check_teacher(model)
    found = open_dataset(photos)
    pictures, bad = read_training_files(found.files, model.config.schedule.finest, name=found.shown)
    for error in bad:
        say(f"left out: {error}")
    say(f"chains from {len(pictures)} pictures of {found.shown} teach it")
    taught = distil(
        model.to(chosen), ImageArray(pictures), minutes=math.inf if minutes is None else minutes,
        iterations=iterations, seed=seed, report=report, stop=stop,
    )  # fmt: skip
    taught.save(file)
    return file
