"""A picture as the models want it, and the error of one that cannot be read or written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class ImageError(ValueError):
    """A picture, or a folder of them, that cannot be read or written.

    Args:
        name: the file's name, without folders.
        reason: why, in plain words; str() is "name: reason".
        remedy: what whoever runs the program can do about it, for nobody else; also a part of `reason`.
    """

    def __init__(self, name: str, reason: str, remedy: str = "") -> None:
        super().__init__(name, reason, remedy)
        self.name = name
        self.public_reason = reason
        self.reason = f"{reason}; {remedy}" if remedy else reason

    @property
    def public(self) -> str:
        """As str(), without the remedy: for visitors of somebody else's machine."""
        return f"{self.name}: {self.public_reason}"

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class LoadedImage:
    """A picture as the models want it, with what is needed to give it back in its own form.

    Attributes:
        rgb: mode RGB, upright, sRGB, 8 bit; not multiplied by alpha, and white where alpha is 0.
        alpha: mode L, or None for an opaque picture.
        profile: the source's ICC profile if it is an RGB one that differs from sRGB, else None.
        format: Pillow's name of the source's format, "JPEG" for MPO, "PNG" for a picture from no file.
        name: the file's name, without folders.
        exif: the source's EXIF without place, orientation, thumbnail and maker's note, or None.
        notes: what the user should know about the reading, as plain sentences.
        original: like rgb, but in the source's own profile; rgb itself when profile is None.
        dpi: pixels of an inch, across and down, where the source says so.
        lossless: whether the source is of a format with and without loss, and of the kind without.
        extra_metadata: whether there is XMP or IPTC, which no result keeps.
    """

    rgb: Image.Image
    alpha: Image.Image | None
    profile: bytes | None
    format: str
    name: str
    exif: bytes | None
    notes: tuple[str, ...]
    original: Image.Image
    dpi: tuple[float, float] | None = None
    lossless: bool = False
    extra_metadata: bool = False


Source = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[np.uint8] | LoadedImage


def source_name(source: Source) -> str:
    """The file's name, without folders; "picture" for a source that has none."""
    if isinstance(source, str | os.PathLike):
        return Path(source).name or Path(os.path.realpath(source)).name or "/"
    name = getattr(source, "filename" if isinstance(source, Image.Image) else "name", None)
    return Path(name).name or "picture" if isinstance(name, str) else "picture"
