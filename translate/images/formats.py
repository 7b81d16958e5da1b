"""Which files are pictures, by their names; which formats can be read and written."""

from __future__ import annotations

import os
from pathlib import PurePath

READABLE = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")  # an MPO opens as a JPEG
WRITABLE = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
}
SUFFIXES = {*WRITABLE, ".mpo", ".apng", ".heic", ".heif"}
_KEPT_BY_SYSTEMS = {
    "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found",
    "__macosx",
}  # fmt: skip
OPAQUE = {"JPEG", "BMP"}
WITHOUT_PROFILE = {"BMP", "GIF"}


def can_save(path: str | os.PathLike[str]) -> bool:
    """Whether the path's suffix names a format that save_image writes."""
    return saved_format(path) is not None


def saved_format(path: str | os.PathLike[str]) -> str | None:
    """Pillow's name of the format that save_image writes under a path, None where it knows none."""
    return WRITABLE.get(PurePath(path).suffix.lower())


def is_image_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a picture by its suffix."""
    return PurePath(path).suffix.lower() in SUFFIXES


def is_shown(name: str) -> bool:
    """Whether a file or folder is neither hidden nor one that a NAS, a Mac, Windows or Linux keeps for itself."""
    return not name.startswith(".") and name.casefold() not in _KEPT_BY_SYSTEMS
