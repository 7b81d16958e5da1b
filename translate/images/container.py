"""What files say beside their pixels and outside of what Pillow reads: HDR, gain maps, bit depths, lossless or not."""

from __future__ import annotations

import struct
from typing import IO

from PIL import ExifTags, Image

from translate.images.icc import ADOBE, ADOBE_GAMMA, HDR, coded_profile, gamma_curve, rgb_profile

_BOXES = 1 << 16  # bytes in which AVIF and HEIC have their boxes
_GAIN_MAPS = (b"hdrgm:Version", b"hdr-gain-map", b"urn:iso:std:iso:ts:21496:-1", b"hdrgainmap", b"HDRGainMap")
_MAX_DPI = 100_000
_BMP_DPI = 96.012  # what programs write that know none
GAIN_MAP = "the gain map for HDR screens is not kept: the result is an ordinary picture"


def deep(bits: int) -> str:
    return f"{bits} bits a channel: read at 8 bits"


def note_of_hdr(kind: str) -> str:
    return f"HDR colours ({kind}) are read as those of an ordinary screen: bright parts come out otherwise"


def boxed_colours(stream: IO[bytes]) -> tuple[bytes | None, list[str]]:
    """Of an AVIF or HEIC without an ICC profile: one that does what its numbers say, and notes."""
    stream.seek(0)
    boxes = stream.read(_BOXES)
    notes: list[str] = []
    icc = None
    place = boxes.find(b"colrnclx")
    if place >= 0 and b"colrprof" not in boxes and b"colrrICC" not in boxes:
        primaries, transfer = struct.unpack_from(">2H", boxes.ljust(_BOXES, b"\0"), place + 8)
        icc = coded_profile(primaries, transfer)
        if transfer in HDR:
            notes.append(note_of_hdr(HDR[transfer]))
    if b"tmap" in boxes:
        notes.append(GAIN_MAP)
    depth = boxes.find(b"pixi")
    if 0 <= depth < len(boxes) - 10 and boxes[depth + 9] > 8:
        notes.append(deep(boxes[depth + 9]))
    return icc, notes


def is_lossless(stream: IO[bytes], head: bytes) -> bool:
    """Whether it is a WebP that was compressed without loss."""
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return False
    place = 12
    while place < 1 << 30:
        stream.seek(place)
        chunk = stream.read(24)
        if len(chunk) < 8 or chunk[:4] == b"VP8 ":
            return False
        if chunk[:4] == b"VP8L":
            return True
        size = struct.unpack("<I", chunk[4:8])[0]
        place += 8 + 16 if chunk[:4] == b"ANMF" else 8 + size + size % 2
    return False


def gain_map(image: Image.Image, stream: IO[bytes]) -> bool:
    """Whether a JPEG has a second picture that says how bright each place is on an HDR screen."""
    if image.format not in ("JPEG", "MPO"):
        return False
    segments = [content for _, content in getattr(image, "applist", [])]
    if any(mark in content for content in segments for mark in _GAIN_MAPS):
        return True
    if image.format != "MPO":
        return False
    stream.seek(0)
    whole = stream.read()
    return any(mark in whole for mark in _GAIN_MAPS)


def camera_profile(image: Image.Image) -> bytes | None:
    """Adobe RGB where a camera says so by the rules of DCF, without a profile."""
    exif = image.getexif()
    if exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace) not in (2, 0xFFFF):
        return None
    if not str(exif.get_ifd(ExifTags.IFD.Interop).get(1, "")).startswith("R03"):
        return None
    return rgb_profile(ADOBE, gamma_curve(ADOBE_GAMMA))


def resolution(image: Image.Image) -> tuple[float, float] | None:
    """Pixels of an inch, across and down as they are stored, where the file says so itself."""
    if image.format in ("PNG", "BMP"):
        found = image.info.get("dpi")
        if image.format == "BMP" and found and abs(found[0] - _BMP_DPI) < 0.1:
            found = None
    elif image.format in ("JPEG", "MPO") and image.info.get("jfif_unit") in (1, 2):
        across, down = image.info["jfif_density"]
        unit = 2.54 if image.info["jfif_unit"] == 2 else 1.0
        found = across * unit, down * unit
    else:
        tags = image.getexif()
        across, down = tags.get(ExifTags.Base.XResolution), tags.get(ExifTags.Base.YResolution)
        inches = {2: 1.0, 3: 2.54}.get(tags.get(ExifTags.Base.ResolutionUnit, 2))
        if across is None or down is None or inches is None:
            return None
        found = across * inches, down * inches
    if found is None or not all(1 <= float(value) <= _MAX_DPI for value in found):
        return None
    return float(found[0]), float(found[1])
