"""What all pictures of a batch share."""

from __future__ import annotations

from dataclasses import dataclass

from translate.images.read import MAX_PIXELS


@dataclass(frozen=True)
class Settings:
    """What all pictures of a batch share.

    strength, steps, size, seed: as for a Translator. keep_metadata: of the source, without its place. overwrite: also
    replace files that are not the finished results of this batch. max_pixels: larger pictures are refused.
    """

    strength: float | None = None
    steps: int | None = None
    size: int | None = None
    seed: int = 0
    keep_metadata: bool = False
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS
