"""How an image is translated, and how its file is written: spelled out here, and nowhere else; what `train` allows."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, SupportsIndex

from translate.images.read import MAX_PIXELS


@dataclass(frozen=True)
class SamplingOptions:
    """Options of one chain. None takes the model's own.

    strength: length of the chain, 0..2; 0 returns the image unchanged. steps: number of steps, at strength 1, of each
    level that takes any. size: short side of the copy that the chain works on, in pixels. seed: of the noise that
    gradients are taken at and, where a schedule has noise, of the chain; results of two seeds hardly differ. fast: one
    pass of the model's student in the place of the chain; strength is then how far it goes, and there are no steps.

    A Translator checks them against its model.
    """

    strength: float | None = None
    steps: int | None = None
    size: int | None = None
    seed: int = 0
    fast: bool = False

    def updated(self, **changes: Any) -> SamplingOptions:
        """A copy with some options changed. Raises TypeError for an unknown option."""
        return replace(self, **changes)

    def checked(self) -> SamplingOptions:
        """A copy with plain numbers. Raises TypeError for a value of another type, ValueError for one out of range."""
        if isinstance(self.strength, bool) or not isinstance(self.strength, Real | None):
            raise TypeError(f"strength is a number, not {self.strength!r}")
        seed = _whole("seed", self.seed)
        steps = None if self.steps is None else _whole("steps", self.steps)
        size = None if self.size is None else _whole("size", self.size)
        if not isinstance(self.fast, bool):
            raise TypeError(f"fast is True or False, not {self.fast!r}")
        if self.fast and steps is not None:
            raise ValueError("a fast translation is one pass: leave out steps, or leave out fast")
        return SamplingOptions(None if self.strength is None else float(self.strength), steps, size, seed, self.fast)


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


def check_training(
    preset: int | None, *, source: bool, scratch: bool, shape: bool, style: bool, from_noise: bool, resume: bool,
    timed: bool, seeded: bool,
) -> None:  # fmt: skip
    """Raises ValueError, with one sentence, for options of `train` that do not go together."""
    changes = shape or from_noise or scratch
    if preset not in (None, 64, 128, 256):
        raise ValueError(f"--preset wants 64, 128 or 256, not {preset}")
    if resume and (preset is not None or seeded or changes):
        raise ValueError("a resumed run keeps its settings: leave out --preset, --seed, --shape, --from-noise, --trunk")
    if style and (source or resume or changes or timed):
        raise ValueError(
            "--style takes paintings only: no --source, --resume, --shape, --from-noise, --trunk, --minutes"
        )
    if from_noise and source:
        raise ValueError("--from-noise learns from the target pictures alone: leave out --source")
    if shape and (not source or scratch):
        raise ValueError("--shape needs --source, and the trunk")


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    number = operator.index(value)  # also of numpy's integers
    if number < 0:
        raise ValueError(f"{name} must be 0 or more, not {number}")
    if number >= 2**63:
        raise ValueError(f"{name} is too large: {number}")
    return number
