"""What a format cannot hold: said before the work where nothing can be saved, as notes where something is dropped."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import ExifTags, Image

from translate.images.formats import OPAQUE, WITHOUT_PROFILE, WRITABLE, saved_format
from translate.images.types import ImageError, LoadedImage

_LONGEST = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535, "AVIF": 32_768}  # pixels of a side
_MAX_EXIF = 60_000  # bytes in a JPEG: 65,533 with the record of how the result was made
_MAX_JPEG_PROFILE = 255 * 65_519
_WORDS = {"WEBP": "WebP"}


def check_savable(path: str | os.PathLike[str], size: tuple[int, int]) -> None:
    """Ask before the work whether a picture of this width and height can be saved under a path.

    Raises ImageError where the suffix names no format, or one that has no room for so long a side.
    """
    path = Path(path)
    format = saved_format(path)
    if format is None:
        raise ImageError(path.name, f"its name must end with one of {' '.join(WRITABLE)} to be saved")
    longest = _LONGEST.get(format)
    if longest is not None and max(size) > longest:
        reason = f"{_named(format)} has at most {longest:,} pixels a side, this picture {max(size):,}; save it as .png"
        raise ImageError(path.name, reason)


def takes_profile(format: str, profile: bytes | None) -> bool:
    """Whether a file of this format can hold the colour profile."""
    too_large = format == "JPEG" and profile is not None and len(profile) > _MAX_JPEG_PROFILE
    return profile is not None and format not in WITHOUT_PROFILE and not too_large


def fitting_exif(exif: bytes, format: str) -> bytes:
    """EXIF that the format has room for: its largest entries go until it fits."""
    if format != "JPEG":
        return exif
    while len(exif) > _MAX_EXIF:
        tags = Image.Exif()
        tags.load(exif)
        details = tags.get_ifd(ExifTags.IFD.Exif)
        sizes = [
            (len(value) if isinstance(value, str | bytes | tuple) else 0, number, table)
            for table in (tags, details)
            for number, value in table.items()
            if number != ExifTags.IFD.Exif
        ]
        _, largest, table = max(sizes, key=lambda entry: entry[0])
        kept = Image.Exif()
        kept.update({n: v for n, v in tags.items() if n != ExifTags.IFD.Exif and not (table is tags and n == largest)})
        inner = {n: v for n, v in details.items() if not (table is details and n == largest)}
        if inner:
            kept[ExifTags.IFD.Exif] = inner
        exif = kept.tobytes()
    return exif


def dropped(photo: LoadedImage, path: str | os.PathLike[str], *, keep_metadata: bool = False) -> tuple[str, ...]:
    """What of a photo is lost in a result that save_image writes under a path, as sentences for people."""
    format = saved_format(path) or ""
    name = _named(format)
    notes = []
    named = saved_format(photo.name)
    if named == format and named != photo.format:
        was = _named(photo.format)
        notes.append(f"this is a {was} with the name of a {name}; the result is a {name}, as its name says")
    if photo.alpha is not None and format in OPAQUE:
        notes.append(f"{name} holds no transparency: the picture is put on white")
    if photo.alpha is not None and format == "GIF" and any(photo.alpha.histogram()[1:255]):
        notes.append("a pixel of a GIF is seen or not: what was half transparent is not any more")
    if format == "GIF" and photo.format != "GIF":
        notes.append("GIF holds 256 colours")
    if photo.profile is not None and not takes_profile(format, photo.profile):
        notes.append(f"{name} has no room for the colour profile: the colours become sRGB")
    if photo.dpi is not None and format == "GIF":
        notes.append(f"GIF holds no resolution: {photo.dpi[0]:.0f} dpi are not kept")
    if keep_metadata and photo.exif is not None:
        if format in ("GIF", "BMP"):
            notes.append(f"{name} holds no EXIF")
        elif fitting_exif(photo.exif, format) != photo.exif:
            notes.append(f"{name} has no room for all of the EXIF: its largest entries are not kept")
    if keep_metadata and photo.extra_metadata:
        notes.append("of the metadata only EXIF is kept, XMP and IPTC are not")
    return tuple(notes)


def _named(format: str) -> str:
    return _WORDS.get(format, format)
