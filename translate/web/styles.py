"""A visitor's own style: fitted to a few paintings in well under a second each, and kept for that visitor alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from models.model import Model
from models.train.data import ImageArray
from models.train.style import fit_style, style_schedule
from translate.images.read import image_size
from translate.images.training_set import TrainingFile, read_training_files
from translate.images.types import ImageError
from translate.pipeline import Translator
from translate.web.results import safe_name

MAX_PAINTINGS = 6
SMALLEST = 128  # pixels of a painting's short side: in smaller ones there are no strokes


@dataclass(frozen=True, eq=False)
class Style:
    """A style and the paintings that it was fitted to. content: its model file."""

    paintings: tuple[Path, ...]
    translator: Translator = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def bytes(self) -> int:
        return 3 * len(self.content)  # the file has 2 bytes a number, the energy 4

    @property
    def file_name(self) -> str:
        return f"{self.translator.name}.safetensors"


def fit(paintings: Sequence[Path], max_pixels: int) -> Style:
    """Fit a style to painting files, on the CPU. Raises ImageError for the first that cannot be used."""
    schedule = style_schedule()
    files = [TrainingFile(path.name, [], partial(checked, path, max_pixels)) for path in paintings]
    squares, bad = read_training_files(files, schedule.finest, name="what you sent")
    if bad:
        raise bad[0]
    name = safe_name(paintings[0])
    target = f"the style of {name.replace('_', ' ')}"
    content = fit_style(ImageArray(squares), target=target, schedule=schedule).to_bytes()
    # From its own file, so that whoever takes the file away gets the very pictures that were seen here.
    return Style(tuple(paintings), Translator(Model.from_bytes(content), f"{name}-style"), content)


def checked(path: Path, max_pixels: int) -> Path:
    """The path again. Raises ImageError for what no style can be fitted to, as far as the file's head tells."""
    size = image_size(path)
    if size is not None and size[0] * size[1] > max_pixels:
        raise ImageError(path.name, f"the picture is too large; the limit is {max_pixels / 1e6:g} megapixels")
    if size is not None and min(size) < SMALLEST:
        raise ImageError(path.name, f"a painting needs {SMALLEST} pixels a side, this one has {size[0]} x {size[1]}")
    return path
