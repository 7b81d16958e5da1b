"""EXIF and provenance: what is kept of the source, and how a result says how it was made."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, cast

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from translate.images.formats import READABLE

MAKER = "cf-translate"
BMP_MARK = b"\0cf-translate "  # what the record behind a BMP begins with

# EXIF orientation -> what makes the picture upright. ImageOps.exif_transpose does the same, but it also
# writes the EXIF anew, and fails where that is damaged.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What may be kept is listed, not what must go: in a TIFF the same table also holds the layout of the file.
_KEPT_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.XResolution,
    ExifTags.Base.YResolution,
    ExifTags.Base.ResolutionUnit,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)

# The maker's note may hide a place or a preview; the sizes are those before the turn.
_LOST_DETAILS = {
    ExifTags.Base.MakerNote,
    ExifTags.Base.ExifInteroperabilityOffset,
    ExifTags.Base.ExifImageWidth,
    ExifTags.Base.ExifImageHeight,
}


def read_exif(image: Image.Image, notes: list[str]) -> tuple[bytes | None, Image.Transpose | None]:
    """The EXIF that may be kept, and the turn that makes the picture upright."""
    turn = None
    try:
        exif = image.getexif()
        turn = TURNS.get(exif.get(ExifTags.Base.Orientation, 1))
        kept = Image.Exif()
        kept.update({tag: exif[tag] for tag in _KEPT_TAGS if tag in exif})
        details = exif.get_ifd(ExifTags.IFD.Exif)
        details = {tag: value for tag, value in details.items() if tag not in _LOST_DETAILS}
        if details:
            kept[ExifTags.IFD.Exif] = details
        return (kept.tobytes() if kept else None), turn
    except Exception:  # EXIF is written by everybody and read with hope
        notes.append("the EXIF data is damaged and was ignored")
        return None, turn


def record_options(
    format: str, provenance: Mapping[str, object], exif: bytes | None, dpi: tuple[float, float] | None = None
) -> dict[str, Any]:
    """The options of Pillow's save that write how a picture was made, the EXIF to be kept, and the resolution."""
    text = json.dumps(without_folders(provenance)) if provenance else ""
    options: dict[str, Any] = {}
    if format == "PNG":
        options["pnginfo"] = PngInfo()
        if text:
            options["pnginfo"].add_text("Software", MAKER)
            options["pnginfo"].add_text(MAKER, text)
    elif format == "GIF":
        options["comment"] = f"{MAKER} {text}".encode() if text else b""
    elif format != "BMP" and (text or exif is not None or dpi is not None):
        tags = Image.Exif()
        if exif is not None:
            tags.load(exif)
        if text:
            tags[ExifTags.Base.Software] = MAKER
            tags[ExifTags.Base.ImageDescription] = text
        if dpi is not None:
            tags[ExifTags.Base.XResolution], tags[ExifTags.Base.YResolution] = dpi
            tags[ExifTags.Base.ResolutionUnit] = 2  # inches
        exif = tags.tobytes()
    if dpi is not None and format in ("JPEG", "PNG", "TIFF", "BMP"):
        options["dpi"] = dpi
    if exif is not None and format not in ("GIF", "BMP"):
        options["exif"] = exif
    return options


def without_folders(value: object) -> object:
    """As JSON can hold it, with only the last part of every path: where a file lay is nobody's business."""
    if isinstance(value, Mapping):
        return {str(key): without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(text).is_absolute():
            return kind(text).name
    return text


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What save_image recorded as provenance; None where it recorded nothing, and for what is not its work."""
    text: object = None
    with contextlib.suppress(Exception), Image.open(path, formats=READABLE) as image:
        if image.format == "PNG":  # where getexif would decode the picture
            text = image.info[MAKER]
        elif image.format == "GIF" and image.info["comment"].startswith(MAKER.encode()):
            text = image.info["comment"].decode().removeprefix(MAKER)
        elif image.format == "BMP":
            text = _tail(path).rpartition(BMP_MARK)[2].decode()
        elif image.getexif().get(ExifTags.Base.Software) == MAKER:
            text = image.getexif().get(ExifTags.Base.ImageDescription)
        record = json.loads(cast(str, text))
        return record if isinstance(record, dict) else None
    return None


def _tail(path: str | os.PathLike[str], length: int = 1 << 16) -> bytes:
    with open(path, "rb") as file:
        file.seek(-min(length, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read()


def source_digest(path: Path) -> str:
    """The first 16 hexadecimal digits of the file's SHA-256. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
