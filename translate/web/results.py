"""What a visitor gets: the steps of one translation, any of which can be shown, saved or animated; names of results."""

from __future__ import annotations

import os
import re
import unicodedata
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from translate.folders.files import open_source, save_result
from translate.images.formats import can_save
from translate.options import SamplingOptions
from translate.pipeline import Translator
from translate.trajectory import Frame, save_gif


@dataclass(eq=False)
class Trajectory:
    """The steps of one translation so far.

    source: the photo's file. It is opened again for a picture of full size: the film itself keeps only what the steps
    changed, some 6 MB for a model of 128 px. frames: in their order.
    """

    source: Path
    translator: Translator
    options: SamplingOptions = field(default_factory=SamplingOptions)
    frames: list[Frame] = field(default_factory=list)

    def picture(self, step: int) -> Image.Image:
        """The preview after `step` steps, counted from 1; 0 is the photo. Raises ValueError where there is none."""
        if not 0 <= step <= len(self.frames) or not self.frames:
            raise ValueError(f"There is no step {step}; the last one is {len(self.frames)}.")
        if step == 0:
            return Image.fromarray(self.frames[0].preview)
        frame = self.frames[step - 1]
        # Not frame.picture, which would keep a megabyte for every step that somebody looks at.
        return Image.fromarray(frame.apply_to(frame.preview))

    def save(self, step: int, folder: Path, max_pixels: int) -> Path:
        """Write the picture after `step` steps at the photo's own size, in its own form, into `folder`.

        Raises ImageError, also if the photo is no longer there; ValueError where there is no such step.
        """
        if not 0 <= step <= len(self.frames):
            raise ValueError(f"There is no step {step}; the last one is {len(self.frames)}.")
        photo, digest = open_source(self.source, max_pixels)
        picture = Image.fromarray(self.frames[step - 1].apply_to(np.asarray(photo.rgb))) if step else photo.rgb
        target = folder / result_name(self.source, self.translator.name)
        return save_result(picture, target, photo, {**self.provenance(step), "source": digest}, source=self.source)

    def save_gif(self, folder: Path) -> Path:
        """Write the animation into `folder`. Raises OSError; ValueError where there are no steps."""
        if not self.frames:
            raise ValueError("A walk of no steps cannot be animated.")
        target = folder / f"{safe_name(self.source)}-{self.translator.name}.gif"
        frames = [replace(frame) for frame in self.frames]  # copies, whose cached pictures go when they go
        save_gif(Image.fromarray(frames[0].preview), frames, target)
        return target

    def provenance(self, step: int) -> dict[str, object]:
        """How the picture after `step` steps was made, for its metadata; steps are those taken on every level."""
        taken = [frame.level for frame in self.frames[:step]]
        levels = range(len(self.translator.config.schedule.levels))
        steps = "+".join(str(taken.count(level)) for level in levels)
        return {**self.translator.provenance(self.options), "steps": steps}

    @property
    def bytes(self) -> int:
        """Memory that the steps take, also once all of them have been looked at."""
        if not self.frames:
            return 0
        parts = [part for frame in self.frames for part in (frame.source, frame.evidence) if part is not None]
        shared = {part.data_ptr(): part.nbytes for part in parts}
        # A gated state is another picture than the one that was reached; it is kept as soon as somebody asks for it.
        steps = sum(frame.reached.nbytes * (2 if frame.gate else 1) for frame in self.frames)
        return steps + sum(shared.values()) + self.frames[0].preview.nbytes


def safe_name(path: str | os.PathLike[str]) -> str:
    """A file's name without folder and suffix, in letters and digits of any script, - and _ only; "picture" if nothing
    is left."""
    name = unicodedata.normalize("NFC", Path(path).stem)
    return re.sub(r"[^\w-]+", "_", name).strip("_")[:60].strip("_") or "picture"


def result_name(source: Path, label: str) -> str:
    """What the result of a photo is called: of its own form, PNG where that cannot be written."""
    suffix = source.suffix.lower() if can_save(source) else ".png"
    return f"{safe_name(source)}-{label}{suffix}"


def pack(pictures: Sequence[Path], target: Path) -> Path:
    """Put pictures into a zip file, a number in front of each name, so that two may be called the same."""
    with zipfile.ZipFile(target, "w", strict_timestamps=False) as archive:  # pictures do not compress any further
        for number, picture in enumerate(pictures, 1):
            archive.write(picture, f"{number:02d}-{picture.name}")
    return target
