"""How an image is translated, and how its file is written: spelled out here, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from translate.images.read import MAX_PIXELS


@dataclass(frozen=True)
class SamplingOptions:
    """Options of one chain. None takes the model's own.

    strength: length of the chain, 0..2; 0 returns the image unchanged. steps: number of steps, at strength 1, of each
    level that takes any. size: short side of the copy that the chain works on, in pixels. seed: of the noise that
    gradients are taken at and, where a schedule has noise, of the chain; results of two seeds hardly differ.

    A Translator checks them against its model.
    """

    strength: float | None = None
    steps: int | None = None
    size: int | None = None
    seed: int = 0

    def updated(self, **changes: Any) -> SamplingOptions:
        """A copy with some options changed. Raises TypeError for an unknown option."""
        return replace(self, **changes)


@dataclass(frozen=True)
class FileOptions:
    """Options of translating files.

    keep_metadata: copy the EXIF of the source, without its location. overwrite: in folders, also replace files that are
    not finished results. max_pixels: refuse larger images.
    """

    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    keep_metadata: bool = False
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS
