"""Pictures of every kind in, and out again."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from translate.images import formats, training_set
from translate.images.metadata import read_provenance
from translate.images.read import open_image
from translate.images.training_set import list_images, read_training_folder
from translate.images.types import ImageError, LoadedImage, Source
from translate.images.write import save_image

# What Pillow warns of while it reads damaged and huge files; that users never see it has a test of its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

# --- material: profiles and files made by hand ----------------------------------------------------------

PRIMARIES = {  # columns: the XYZ of red, green and blue, adapted to D50
    "sRGB": [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]],
    "Display P3": [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]],
    "Adobe RGB": [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]],
}


def srgb_to_linear(value: np.ndarray) -> np.ndarray:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(value: np.ndarray) -> np.ndarray:
    value = value.clip(0, 1)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)


def xyz_tag(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def curve_tag(gamma: float | None) -> bytes:
    """A power law, or sRGB's curve as 1024 points, as the profiles of scanner makers have it."""
    if gamma is not None:
        return b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    points = np.rint(srgb_to_linear(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + points.tobytes()


def icc(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2 with these tags."""
    tags = {b"wtpt": xyz_tag((0.9642, 1.0, 0.8249)), **tags}
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    white = struct.pack(">3i", 63190, 65536, 54061)
    head = struct.pack(">I4sI4s4s4s12s4s", start + len(body), b"", 0x02400000, kind, space, connection, b"", b"acsp")
    return head + bytes(28) + white + bytes(48) + struct.pack(">I", len(tags)) + table + body


def rgb_profile(name: str, gamma: float | None = 563 / 256) -> bytes:
    columns = np.array(PRIMARIES[name]).T
    tags = {letter + b"XYZ": xyz_tag(column) for letter, column in zip((b"r", b"g", b"b"), columns, strict=True)}
    tags |= {letter + b"TRC": curve_tag(gamma) for letter in (b"r", b"g", b"b")}
    return icc(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    return icc(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve_tag(gamma)})


def table_profile(kind: bytes, space: bytes, corners: np.ndarray) -> bytes:
    """A profile that only leads out: corners has 2 entries along each ink's axis, and Lab in 8 bits along the last."""
    inks = corners.ndim - 1
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    straight = bytes(range(256))
    head = struct.pack(">4sI4B", b"mft1", 0, inks, 3, 2, 0)
    table = head + identity + straight * inks + corners.astype(np.uint8).tobytes() + straight * 3
    return icc(kind, space, b"Lab ", {b"A2B0": table})


def ink_profile() -> bytes:
    """CMYK with an odd ink on purpose: cyan prints Lab (60, 60, 40), a red; the rest is white or black."""
    corners = np.full((2, 2, 2, 2, 3), (0, 128, 128))
    corners[0, 0, 0, 0] = (255, 128, 128)
    corners[1, 0, 0, 0] = (153, 188, 168)
    return table_profile(b"prtr", b"CMYK", corners)


def scanner_profile() -> bytes:
    """RGB whose red is Lab (60, 60, 40); nothing can be converted to it."""
    corners = np.full((2, 2, 2, 3), (255, 128, 128))
    corners[0, 0, 0] = (0, 128, 128)
    corners[1, 0, 0] = (153, 188, 168)
    return table_profile(b"scnr", b"RGB ", corners)


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png_by_hand(size: tuple[int, int], depth: int, colour: int, data: bytes, extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"teSt", extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def exif(**tags: object) -> Image.Exif:
    made = Image.Exif()
    for name, value in tags.items():
        made[ExifTags.Base[name]] = value
    return made


def full_exif(orientation: int = 1) -> Image.Exif:
    made = exif(Make="Maker", Model="Model 1", DateTime="2024:05:06 07:08:09", Orientation=orientation)
    made[ExifTags.IFD.GPSInfo] = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}
    made[ExifTags.IFD.Exif] = {
        ExifTags.Base.ISOSpeedRatings: 400,
        ExifTags.Base.MakerNote: b"secret place",
        ExifTags.Base.ExifImageWidth: 8,
    }
    return made


RED, GREEN, BLUE, WHITE, GREY = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)


def corner(mode: str = "RGB", size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Blue, with a red quarter at the top left: enough to see every turn."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1] // 2))
    return image.convert(mode)


def off(image: Image.Image, place: tuple[int, int], colour: tuple[int, ...]) -> int:
    """By how many levels a pixel is not what it should be."""
    return int(np.abs(np.asarray(image)[place[1], place[0]].astype(int) - colour).max())


def equal(one: Image.Image, other: Image.Image) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other))


def red() -> Image.Image:
    return Image.new("RGB", (9, 9), RED)


def turned(orientation: int) -> bytes:
    """A file that is corner() when it is turned as its EXIF says."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the inverse Transpose of each orientation
    image = corner() if orientation == 1 else corner().transpose(Image.Transpose(back[orientation]))
    return encode(image, "PNG", exif=exif(Orientation=orientation))


def hidden_red() -> Image.Image:
    """Left: clear red. Middle: half-clear green. Right: opaque blue."""
    image = Image.new("RGBA", (30, 10), (*RED, 0))
    image.paste((*GREEN, 128), (10, 0, 20, 10))
    image.paste((*BLUE, 255), (20, 0, 30, 10))
    return image


def palette_with_transparency() -> bytes:
    """hidden_red() of three palette entries, each with its own transparency."""
    image = Image.new("P", (30, 10), 0)
    image.putpalette([*RED, *GREEN, *BLUE])
    image.paste(1, (10, 0, 20, 10))
    image.paste(2, (20, 0, 30, 10))
    return encode(image, "PNG", transparency=bytes([0, 128, 255]))


def frames(format: str, **options: object) -> bytes:
    more = [Image.new("RGB", (40, 20), GREEN), Image.new("RGB", (40, 20), WHITE)]
    return encode(corner(), format, save_all=True, append_images=more, **options)


def lab(lightness: float, a: float, b: float) -> tuple[int, int, int]:
    """sRGB of a CIE Lab colour, by the formulas."""
    y = (lightness + 16) / 116
    xyz = np.array([0.9642, 1, 0.8249]) * np.array([y + a / 500, y, y - b / 200]) ** 3
    red, green, blue = 255 * linear_to_srgb(np.linalg.inv(PRIMARIES["sRGB"]) @ xyz)
    return round(red), round(green), round(blue)


# --- the table ------------------------------------------------------------------------------------------


@dataclass
class Kind:
    """A kind of file and what it must become; if nothing else is said, a PNG that becomes corner()."""

    id: str
    file: Callable[[], bytes]
    format: str = "PNG"
    size: tuple[int, int] = (40, 20)
    pixels: dict[tuple[int, int], tuple[int, int, int]] = field(
        default_factory=lambda: {(5, 5): RED, (35, 5): BLUE, (5, 15): BLUE}
    )
    within: int = 0  # levels that the pixels may be off
    alpha: dict[tuple[int, int], int] = field(default_factory=dict)  # {}: opaque
    profile: bool = False
    note: str = ""  # a part of the only note
    outcome: str = ""  # what is done to it, in words


# What some kinds become, as arguments of Kind.
Outcome = dict[str, Any]
SHADES: Outcome = {"size": (4, 4), "pixels": {(x, 0): (v, v, v) for x, v in enumerate((0, 64, 128, 255))}}
BITS: Outcome = {"size": (4, 4), "pixels": {(0, 0): (0, 0, 0), (3, 0): WHITE}}
DEEP: Outcome = {**SHADES, "note": "read at 8 bits", "outcome": "its white is white"}
BLANK: Outcome = {"size": (4000, 3000), "pixels": {(9, 9): WHITE}}
STRIP: Outcome = {"size": (3000, 20), "pixels": {(5, 5): RED, (2999, 19): BLUE}}
INK: Outcome = {
    "size": (9, 9),
    "pixels": {(4, 4): lab(60, 60, 40)},
    "within": 2,
    "outcome": "colours by its profile, saved as sRGB",
}
CYAN: Outcome = {"size": (9, 9), "pixels": {(4, 4): (0, 255, 255)}, "note": "CMYK"}
HIDDEN: Outcome = {
    "size": (30, 10),
    "pixels": {(5, 5): WHITE, (15, 5): GREEN, (25, 5): BLUE},
    "alpha": {(5, 5): 0, (15, 5): 128, (25, 5): 255},
    "outcome": "white where it is clear",
}
HALF_GREY: Outcome = {
    "size": (4, 4),
    "pixels": {(0, 0): GREY, (3, 0): GREY},
    "alpha": {(0, 0): 60, (3, 0): 255},
}
WIDE_GAMUT: Outcome = {"size": (9, 9), "within": 2, "profile": True, "outcome": "seen as sRGB"}
ANIMATED: Outcome = {"note": "animated: the first of 3 frames was taken"}


def grey(dtype: type, values: Sequence[float], format: str = "PNG", **options: object) -> bytes:
    return encode(Image.fromarray(np.repeat(np.array([values], dtype), 4, axis=0)), format, **options)


def ink(format: str, **options: object) -> bytes:
    return encode(Image.new("CMYK", (9, 9), (255, 0, 0, 0)), format, **options)


def blank(mode: str, format: str, **options: object) -> bytes:
    return encode(Image.new(mode, (4000, 3000), "white"), format, **options)


def grey_with_alpha() -> bytes:
    image = Image.new("LA", (4, 4), (128, 255))
    image.paste((128, 60), (0, 0, 2, 4))
    return encode(image, "PNG")


def on_its_side(format: str) -> bytes:
    return encode(corner().transpose(Image.Transpose.ROTATE_90), format, exif=exif(Orientation=6))


def grey_with_rgb_profile() -> bytes:
    return grey(np.uint8, (0, 0, 255, 255), icc_profile=rgb_profile("Adobe RGB"))


def wide_gamut(name: str, format: str, **options: object) -> bytes:
    return encode(Image.new("RGB", (9, 9), WIDE_COLOUR), format, icc_profile=rgb_profile(name), **options)


def as_srgb(name: str) -> tuple[int, int, int]:
    """WIDE_COLOUR of a profile in sRGB, by the formulas."""
    linear = (np.array(WIDE_COLOUR) / 255) ** (563 / 256)
    wanted = 255 * linear_to_srgb(np.linalg.inv(PRIMARIES["sRGB"]) @ np.array(PRIMARIES[name]) @ linear)
    red, green, blue = (round(value) for value in wanted)
    return red, green, blue


def hidden_red_on_its_side() -> bytes:
    return encode(hidden_red().transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif(Orientation=6))


WIDE_COLOUR = (150, 110, 90)
SIXTEEN = (0, 16448, 32896, 65535)  # 257 times 0, 64, 128 and 255
LINEAR = (0, 13, 55, 255)  # in light what 0, 64, 128 and 255 are in sRGB
WIDE = (-1e3, 255e3, 511e3, 1019e3)
SRGB_OF_OTHERS = rgb_profile("sRGB", None)
HOLES = (np.nan, 64, 128, np.inf)
DEEP_RGB = zlib.compress(b"\0\xff\xff\x80\x80\0\0")

READABLE = [
    Kind("png", lambda: encode(corner(), "PNG")),
    Kind("jpeg", lambda: encode(corner(), "JPEG", quality=95), "JPEG", within=4),
    Kind("progressive jpeg", lambda: encode(corner(), "JPEG", progressive=True), "JPEG", within=6),
    Kind("mpo", lambda: frames("MPO", quality=95), "JPEG", within=4),
    Kind("webp", lambda: encode(corner(), "WEBP", lossless=True), "WEBP"),
    Kind("lossy webp", lambda: encode(corner(), "WEBP", quality=95), "WEBP", within=6),
    Kind("avif", lambda: encode(corner(), "AVIF", quality=95), "AVIF", within=6),
    Kind("tiff", lambda: encode(corner(), "TIFF"), "TIFF"),
    Kind("tiff lzw", lambda: encode(corner(), "TIFF", compression="tiff_lzw"), "TIFF"),
    Kind("bmp", lambda: encode(corner(), "BMP"), "BMP"),
    Kind("gif", lambda: encode(corner(), "GIF"), "GIF"),
    Kind("animated gif", lambda: frames("GIF"), "GIF", **ANIMATED),
    Kind("animated png", lambda: frames("PNG"), **ANIMATED),
    Kind("animated webp", lambda: frames("WEBP", lossless=True), "WEBP", **ANIMATED),
    Kind("animated avif", lambda: frames("AVIF", quality=95), "AVIF", within=9, **ANIMATED),
    Kind("tiff of 3 pages", lambda: frames("TIFF"), "TIFF", note="the first of 3 pages was taken"),
    Kind("8-bit grey", lambda: grey(np.uint8, (0, 64, 128, 255)), **SHADES),
    Kind("8-bit grey jpeg", lambda: grey(np.uint8, (128,) * 4, "JPEG"), "JPEG", (4, 4), {(2, 2): GREY}, 1),
    Kind("16-bit grey png", lambda: grey(np.uint16, SIXTEEN), **DEEP),
    Kind("16-bit grey tiff", lambda: grey(np.uint16, SIXTEEN, "TIFF"), "TIFF", **DEEP),
    Kind("32-bit grey tiff of 16 bits", lambda: grey(np.int32, SIXTEEN, "TIFF"), "TIFF", **DEEP),
    Kind("32-bit grey tiff of 8 bits", lambda: grey(np.int32, (0, 64, 128, 255), "TIFF"), "TIFF", **DEEP),
    Kind("32-bit grey tiff, wide", lambda: grey(np.int32, WIDE, "TIFF"), "TIFF", **DEEP),
    Kind("float tiff to 1", lambda: grey(np.float32, (0, 0.251, 0.502, 1), "TIFF"), "TIFF", **DEEP),
    Kind("float tiff to 255", lambda: grey(np.float32, (0, 64, 128, 255), "TIFF"), "TIFF", **DEEP),
    Kind("float tiff, wide", lambda: grey(np.float32, WIDE, "TIFF"), "TIFF", **DEEP),
    Kind("float tiff with holes", lambda: grey(np.float32, HOLES, "TIFF"), "TIFF", **DEEP),
    Kind(
        "16-bit rgb",
        lambda: png_by_hand((1, 1), 16, 2, DEEP_RGB),
        "PNG",
        (1, 1),
        {(0, 0): (255, 128, 0)},
        outcome="read at 8 bits",
    ),
    Kind("1 bit", lambda: grey(bool, (0, 0, 1, 1)), **BITS),
    Kind("1 bit fax", lambda: grey(bool, (0, 0, 1, 1), "TIFF", compression="group4"), "TIFF", **BITS),
    Kind("palette", lambda: encode(corner("P"), "PNG")),
    Kind("palette with transparency", palette_with_transparency, **HIDDEN),
    Kind("rgba with hidden red", lambda: encode(hidden_red(), "PNG"), **HIDDEN),
    Kind("webp with hidden red", lambda: encode(hidden_red(), "WEBP", lossless=True), "WEBP", **HIDDEN),
    Kind("tiff with hidden red", lambda: encode(hidden_red(), "TIFF"), "TIFF", **HIDDEN),
    Kind("rgba without a clear pixel", lambda: encode(corner("RGBA"), "PNG")),
    Kind("grey with alpha", grey_with_alpha, **HALF_GREY),
    Kind("cmyk without profile", lambda: ink("TIFF"), "TIFF", **CYAN),
    Kind("cmyk with profile", lambda: ink("TIFF", icc_profile=ink_profile()), "TIFF", **INK),
    Kind("cmyk jpeg", lambda: ink("JPEG", icc_profile=ink_profile()), "JPEG", **INK),
    Kind("cmyk with rgb profile", lambda: ink("TIFF", icc_profile=rgb_profile("Adobe RGB")), "TIFF", **CYAN),
    Kind(
        "grey with profile",
        lambda: grey(np.uint8, LINEAR, icc_profile=grey_profile(1)),
        within=2,
        outcome="shades by its profile",
        **SHADES,
    ),
    Kind("Display P3", partial(wide_gamut, "Display P3", "PNG"), pixels={(4, 4): as_srgb("Display P3")}, **WIDE_GAMUT),
    Kind(
        "Adobe RGB",
        partial(wide_gamut, "Adobe RGB", "TIFF"),
        "TIFF",
        pixels={(4, 4): as_srgb("Adobe RGB")},
        **WIDE_GAMUT,
    ),
    Kind(
        "Display P3 jpeg",
        partial(wide_gamut, "Display P3", "JPEG", quality=95),
        "JPEG",
        pixels={(4, 4): as_srgb("Display P3")},
        **WIDE_GAMUT,
    ),
    Kind("grey with rgb profile", grey_with_rgb_profile, profile=True, **BITS),
    Kind(
        "profile of another kind",
        lambda: encode(corner(), "PNG", icc_profile=grey_profile(1)),
        note="profile",
    ),
    Kind("profile that only leads out", lambda: encode(red(), "PNG", icc_profile=scanner_profile()), **INK),
    Kind("broken profile", lambda: encode(corner(), "PNG", icc_profile=b"rubbish" * 30), note="profile"),
    Kind(
        "srgb profile of another maker",
        lambda: encode(corner(), "PNG", icc_profile=SRGB_OF_OTHERS),
        outcome="taken for sRGB",
    ),
    *(
        Kind(f"orientation {turn}", partial(turned, turn), outcome="made upright" if turn > 1 else "")
        for turn in range(1, 9)
    ),
    Kind("orientation 9", lambda: encode(corner(), "PNG", exif=exif(Orientation=9)), outcome="left as it is"),
    Kind("orientation in jpeg", lambda: on_its_side("JPEG"), "JPEG", within=6, outcome="made upright"),
    Kind("orientation in webp", lambda: on_its_side("WEBP"), "WEBP", within=9, outcome="made upright"),
    Kind("orientation in avif", lambda: on_its_side("AVIF"), "AVIF", within=9, outcome="made upright"),
    Kind("orientation in tiff", lambda: on_its_side("TIFF"), "TIFF", outcome="made upright"),
    Kind("orientation with alpha", hidden_red_on_its_side, **{**HIDDEN, "outcome": "made upright, white where clear"}),
    Kind("broken exif", lambda: encode(corner(), "PNG", exif=b"Exif\0\0rubbish"), note="EXIF"),
    Kind("one pixel", lambda: encode(Image.new("RGB", (1, 1), GREEN), "PNG"), "PNG", (1, 1), {(0, 0): GREEN}),
    Kind("strip", lambda: encode(corner(size=(3000, 20)), "PNG"), **STRIP),
    Kind("blank 12 megapixels", lambda: blank("1", "PNG"), **BLANK),
    Kind("blank 12 megapixels, jpeg", lambda: blank("L", "JPEG"), "JPEG", **BLANK),
    Kind("blank 12 megapixels, webp", lambda: blank("RGB", "WEBP", lossless=True, method=0), "WEBP", **BLANK),
]

BOMB = zlib.compress(bytes(1251 * 10_000), 9)  # 10 000 x 10 000 pixels of one bit in 12 kB


def noise(size: int = 99) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8))


def without_end(format: str) -> bytes:
    return encode(noise(), format)[:-2000]


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'
OTHERS = "this is not a picture we can read; JPEG, PNG, WebP, AVIF, TIFF, BMP and GIF are"
LARGE = "the picture is too large; the limit is 120 megapixels"

UNREADABLE: list[tuple[str, Callable[[], bytes], str]] = [  # what it is, the file, a part of the reason
    ("empty", lambda: b"", "the file is empty"),
    ("text", lambda: "Äpfel, Birnen\n".encode() * 99, "this is not a picture we can read (text file?)"),
    ("postscript", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "(text file?)"),
    ("svg", lambda: SVG, "SVG drawings cannot be read; export it as PNG first"),
    ("pdf", lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "this is not a picture we can read (PDF?)"),
    ("noise", lambda: random.Random(0).randbytes(5000), OTHERS),
    ("photoshop", lambda: b"8BPS\0\1" + bytes(99), OTHERS),
    ("truncated jpeg", lambda: without_end("JPEG"), "the file is cut short"),
    ("truncated png", lambda: without_end("PNG"), "the file is cut short"),
    ("truncated bmp", lambda: without_end("BMP"), "the file is cut short"),
    ("truncated gif", lambda: without_end("GIF"), "the file is cut short"),
    ("truncated webp", lambda: without_end("WEBP"), "the file is damaged"),
    ("truncated avif", lambda: without_end("AVIF"), "the file is damaged"),
    ("truncated tiff", lambda: without_end("TIFF"), "the file is"),
    ("only the beginning of a jpeg", lambda: encode(corner(), "JPEG")[:15], "the file is"),
    ("png without data", lambda: png_by_hand((9, 9), 8, 2, b""), "the file is"),
    ("damaged png", lambda: encode(noise(), "PNG").replace(b"IDATx", b"IDAT\0"), "the file is damaged"),
    ("bomb", lambda: png_by_hand((10_000, 10_000), 1, 0, BOMB), "12 kB would unpack to 300 MB (a decomp"),
    ("20 000 x 20 000", lambda: png_by_hand((20_000, 20_000), 8, 2, b""), LARGE),
    ("12 000 x 11 000", lambda: png_by_hand((12_000, 11_000), 8, 2, b""), LARGE),
]


@pytest.mark.parametrize("kind", READABLE, ids=lambda kind: kind.id)
def test_readable(kind: Kind) -> None:
    photo = open_image(kind.file())
    assert (photo.rgb.mode, photo.rgb.size, photo.format) == ("RGB", kind.size, kind.format)
    assert photo.rgb.info == {}
    for place, colour in kind.pixels.items():
        assert off(photo.rgb, place, colour) <= kind.within, (place, photo.rgb.getpixel(place))
    assert (photo.alpha is not None) == bool(kind.alpha)
    for place, value in kind.alpha.items():
        assert photo.alpha is not None
        assert photo.alpha.getpixel(place) == value
    assert (photo.profile is not None) == kind.profile
    assert (photo.original is photo.rgb) == (not kind.profile)
    assert photo.original.size == photo.rgb.size
    assert len(photo.notes) == (1 if kind.note else 0), photo.notes
    assert kind.note in "".join(photo.notes)


@pytest.mark.parametrize(("file", "reason"), [case[1:] for case in UNREADABLE], ids=[case[0] for case in UNREADABLE])
def test_unreadable(tmp_path: Path, file: Callable[[], bytes], reason: str) -> None:
    path = tmp_path / "apple.jpg"
    path.write_bytes(file())
    for source in (path, path.read_bytes()):
        with pytest.raises(ImageError) as raised:
            open_image(source)
        assert reason in raised.value.reason
        assert str(raised.value) == f"{'apple.jpg' if source is path else 'picture'}: {raised.value.reason}"
        assert "\n" not in str(raised.value)
        assert str(tmp_path) not in str(raised.value)


DOCUMENT = Path(__file__).parents[1] / "docs" / "pictures.md"
TABLE = "| input | what becomes of it |"


def table() -> str:
    """Every kind of file above and its outcome, in Markdown."""
    rows = [TABLE, "| --- | --- |"]
    for kind in READABLE:
        (note,) = open_image(kind.file()).notes or ("",)
        said = [
            kind.outcome,
            "transparency kept" if kind.alpha else "",
            "saved in its own profile" if kind.profile else "",
            f"note: “{note}”" if note else "",
        ]
        rows.append(f"| {kind.id} | {'; '.join(filter(None, said)) or 'taken as it is'} |")
    for name, file, _ in UNREADABLE:
        with pytest.raises(ImageError) as raised:
            open_image(file())
        rows.append(f"| {name} | refused: “{raised.value.reason}” |")
    return "\n".join(rows) + "\n"


def test_the_document_says_what_becomes_of_every_kind() -> None:
    """python -m tests.test_pictures writes its table."""
    assert table() in DOCUMENT.read_text(encoding="utf-8")
    assert len(READABLE) + len(UNREADABLE) >= 30


def test_whatever_is_damaged_gives_a_photo_or_one_sentence() -> None:
    chance = random.Random(0)
    image = corner()
    seeds = [
        *(encode(image, format, exif=full_exif(6).tobytes()) for format in ("JPEG", "PNG", "WEBP", "AVIF")),
        *(encode(image, format) for format in ("GIF", "BMP", "TIFF")),
    ]
    for seed in seeds:
        for _ in range(40):
            damaged = bytearray(seed)
            for _ in range(chance.choice((1, 3, 20))):
                damaged[chance.randrange(min(len(seed), 300))] = chance.randrange(256)
            try:
                photo = open_image(
                    bytes(damaged[: chance.choice((None, chance.randrange(len(seed))))]), max_pixels=10**6
                )
            except ImageError as bad:
                assert "\n" not in str(bad)
            else:
                assert photo.rgb.mode == "RGB"


# --- in: sources and limits -----------------------------------------------------------------------------


def test_every_kind_of_source_gives_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(corner(), "PNG", exif=exif(Orientation=3)))
    with path.open("rb") as file, Image.open(path) as image:
        file.read()  # a source that has been read once is read from its start
        sources: list[Source] = [
            path,
            str(path),
            path.read_bytes(),
            file,
            io.BytesIO(path.read_bytes()),
            image,
        ]
        photos = [open_image(source) for source in sources]
    assert all(equal(photo.rgb, photos[0].rgb) for photo in photos)
    assert [photo.name for photo in photos] == ["a.png", "a.png", "picture", "a.png", "picture", "a.png"]


def test_a_pillow_picture_is_left_as_it_is() -> None:
    image = hidden_red()
    before = image.tobytes()
    photo = open_image(image)
    photo.rgb.paste(GREY, (0, 0, 30, 10))
    assert (image.mode, image.tobytes(), photo.format, photo.name) == ("RGBA", before, "PNG", "picture")


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "really a png.jpg"
    path.write_bytes(encode(corner(), "PNG"))
    assert open_image(path).format == "PNG"


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"^gone\.jpg: there is no such file$"):
        open_image(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match=r": this is a folder, not a picture$"):
        open_image(tmp_path)
    with pytest.raises(ImageError, match="no pixels"):
        open_image(Image.new("RGB", (0, 5)))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        with pytest.raises(ImageError, match=r"pipe\.jpg: this is not an ordinary file"):
            open_image(tmp_path / "pipe.jpg")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # chmod does not stop the superuser, who may run the tests
    with pytest.raises(ImageError, match="may not be read"):
        open_image(tmp_path / "locked.jpg")


def test_heic_names_the_package_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match="pip install pillow-heif"):
        open_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))


def test_limits() -> None:
    file = encode(corner(), "PNG")
    assert open_image(file, max_pixels=800).rgb.size == (40, 20)
    with pytest.raises(ImageError, match=r"too large; the limit is 0\.0005 megapixels"):
        open_image(file, max_pixels=500)
    with pytest.raises(ImageError, match="too large"):
        open_image(corner(), max_pixels=500)
    # 108 megapixels in a file of a fair size are let in; that nothing is in it is noticed by the decoder.
    with pytest.raises(ImageError) as raised:
        open_image(png_by_hand((12_000, 9_000), 1, 0, b"", extra=bytes(200_000)))
    assert "too large" not in raised.value.reason
    assert "bomb" not in raised.value.reason


@pytest.mark.parametrize(("mode", "format"), [("RGB", "PNG"), ("L", "PNG"), ("RGB", "JPEG")])
def test_blank_pictures_of_30_megapixels_are_no_bombs(mode: str, format: str) -> None:
    assert open_image(encode(Image.new(mode, (6000, 5000), "white"), format)).rgb.size == (6000, 5000)


def test_a_bad_picture_crosses_process_borders() -> None:
    bad = pickle.loads(pickle.dumps(ImageError("a.jpg", "the file is empty")))
    assert (type(bad), bad.name, bad.reason, str(bad)) == (
        ImageError,
        "a.jpg",
        "the file is empty",
        "a.jpg: the file is empty",
    )
    assert isinstance(bad, ValueError)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    folder = Path(__file__).parents[1]
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True)


def test_the_import_is_light() -> None:
    done = run_python("import sys, translate.images.read; print({'torch', 'gradio', 'typer'} & set(sys.modules))")
    assert done.stdout.strip() == "set()"


def test_pillow_says_nothing_over_our_heads(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_by_hand((10_000, 10_000), 1, 0, BOMB))
    (tmp_path / "b.png").write_bytes(encode(corner(), "PNG", exif=b"Exif\0\0II*\0rubbish"))
    code = f"from translate.images.training_set import *; print(read_training_folder({str(tmp_path)!r}, 8)[1])"
    done = run_python(code)
    assert "bomb" in done.stdout
    assert done.stderr == ""


# --- colours --------------------------------------------------------------------------------------------


def rainbow() -> Image.Image:
    levels = np.linspace(0, 255, 16)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
    return Image.fromarray(grid.astype(np.uint8))


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
def test_wide_colours_are_seen_as_the_formulas_say(name: str) -> None:
    photo = open_image(encode(rainbow(), "PNG", icc_profile=rgb_profile(name)))
    linear = (np.asarray(rainbow()) / 255) ** (563 / 256)
    wanted = 255 * linear_to_srgb(linear @ np.array(PRIMARIES[name]).T @ np.linalg.inv(PRIMARIES["sRGB"]).T)
    assert np.abs(np.asarray(photo.rgb) - wanted).max() <= 2
    assert np.abs(np.asarray(photo.rgb).astype(int) - np.asarray(rainbow())).max() > 20  # not so by chance


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_an_unchanged_wide_picture_comes_back_exactly(tmp_path: Path, name: str, suffix: str) -> None:
    photo = open_image(encode(rainbow(), "PNG", icc_profile=rgb_profile(name)))
    with Image.open(save_image(photo.rgb, tmp_path / f"b{suffix}", like=photo)) as back:
        assert equal(back, rainbow())
        assert back.info["icc_profile"] == rgb_profile(name)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_the_profile_goes_with_every_format_that_can_hold_it(tmp_path: Path, suffix: str) -> None:
    photo = open_image(encode(corner(), "PNG", icc_profile=rgb_profile("Display P3")))
    again = open_image(save_image(photo.rgb, tmp_path / f"b{suffix}", like=photo))
    assert again.profile == rgb_profile("Display P3")
    assert off(again.original, (35, 15), BLUE) <= 9


@pytest.mark.parametrize("suffix", [".bmp", ".gif"])
def test_without_a_profile_the_colours_are_srgb(tmp_path: Path, suffix: str) -> None:
    photo = open_image(encode(corner(), "PNG", icc_profile=rgb_profile("Adobe RGB")))
    again = open_image(save_image(photo.rgb, tmp_path / f"b{suffix}", like=photo))
    assert again.profile is None
    assert equal(again.rgb, photo.rgb)


def test_a_change_of_a_wide_picture_is_the_change_that_was_made(tmp_path: Path) -> None:
    photo = open_image(encode(Image.new("RGB", (4, 4), (120, 130, 140)), "PNG", icc_profile=rgb_profile("Display P3")))
    changed = Image.new("RGB", (4, 4), (200, 120, 40))
    again = open_image(save_image(changed, tmp_path / "b.png", like=photo))
    assert np.abs(np.asarray(again.rgb).astype(int) - np.asarray(changed)).max() <= 2


# --- out ------------------------------------------------------------------------------------------------

SUFFIXES = [".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif"]
MADE = {
    "model": "apple2orange",
    "steps": [10, 10],
    "strength": 0.8,
    "seed": 0,
    "note": "Äpfel",
    "none": None,
    "ok": True,
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_saved_and_read_again(tmp_path: Path, suffix: str) -> None:
    path = save_image(corner(), tmp_path / f"b{suffix}", provenance=MADE)
    photo = open_image(path)
    assert photo.rgb.size == (40, 20)
    assert off(photo.rgb, (5, 5), RED) <= 9
    assert read_provenance(path) == MADE
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pictures_of_others_have_no_record(tmp_path: Path, suffix: str) -> None:
    path = save_image(corner(), tmp_path / f"b{suffix}")
    assert read_provenance(path) is None


def test_how_made_of_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encode(corner(), "JPEG", exif=exif(ImageDescription='{"a": 1}', Software="other")))
    (tmp_path / "b.gif").write_bytes(encode(corner(), "GIF", comment=b"\xff no text"))
    (tmp_path / "c.gif").write_bytes(encode(corner(), "GIF", comment=b'{"a": 1}'))
    (tmp_path / "d.png").write_bytes(encode(corner(), "PNG"))
    (tmp_path / "e.png").write_bytes(b"text")
    files = ("a.jpg", "b.gif", "c.gif", "d.png", "e.png", "f.png")
    assert [read_provenance(tmp_path / name) for name in files] == [None] * 6


def test_a_record_names_no_folders(tmp_path: Path) -> None:
    made = {
        "model": tmp_path / "m.safetensors",
        "source": str(tmp_path / "a.jpg"),
        "hub": "owner/name",
        "w": r"C:\me\b.jpg",
        "seed": np.int64(3),
    }
    path = save_image(corner(), tmp_path / "b.png", provenance=made)
    assert read_provenance(path) == {
        "model": "m.safetensors",
        "source": "a.jpg",
        "hub": "owner/name",
        "w": "b.jpg",
        "seed": 3,
    }
    assert tmp_path.name.encode() not in path.read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif", ".tif", ".gif", ".jpg", ".bmp"])
def test_alpha_goes_back_where_it_can(tmp_path: Path, suffix: str) -> None:
    photo = open_image(encode(hidden_red(), "PNG"))
    again = open_image(save_image(photo.rgb, tmp_path / f"b{suffix}", like=photo))
    assert photo.alpha is not None
    if suffix in (".jpg", ".bmp"):
        assert again.alpha is None
        assert off(again.rgb, (15, 5), (127, 191, 127)) <= 5
        assert off(again.rgb, (3, 5), WHITE) <= 2
    else:
        assert again.alpha is not None
        wanted = (0, 255, 255) if suffix == ".gif" else (0, 128, 255)
        assert np.abs(np.asarray(again.alpha)[5, (3, 15, 26)].astype(int) - wanted).max() <= 2
        assert off(again.rgb, (15, 5), GREEN) <= 9


def test_of_exif_only_what_is_asked_for_and_never_the_place(tmp_path: Path) -> None:
    photo = open_image(encode(corner(), "JPEG", exif=full_exif(6)))
    assert photo.exif is not None
    for suffix in (".jpg", ".png", ".webp", ".avif", ".tif"):
        with Image.open(save_image(photo.rgb, tmp_path / f"without{suffix}", like=photo)) as plain:
            assert ExifTags.Base.Make not in plain.getexif()
        path = save_image(photo.rgb, tmp_path / f"with{suffix}", like=photo, keep_metadata=True, provenance=MADE)
        assert b"secret place" not in path.read_bytes()
        assert read_provenance(path) == MADE
        with Image.open(path) as kept:
            tags = kept.getexif()
            assert (tags[ExifTags.Base.Make], tags[ExifTags.Base.Model]) == ("Maker", "Model 1")
            assert tags.get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.ISOSpeedRatings: 400}
            assert not tags.get_ifd(ExifTags.IFD.GPSInfo)
            assert ExifTags.Base.Orientation not in tags
            assert kept.size == (20, 40)


def test_exif_of_a_tiff_is_not_its_layout(tmp_path: Path) -> None:
    photo = open_image(encode(corner(), "TIFF", exif=full_exif().tobytes()))
    path = save_image(photo.rgb, tmp_path / "b.jpg", like=photo, keep_metadata=True)
    with Image.open(path) as kept:
        tags = dict(kept.getexif())
        assert tags.pop(ExifTags.Base.Make) == "Maker"
        assert not {ExifTags.Base.StripOffsets, ExifTags.Base.ImageWidth, ExifTags.Base.BitsPerSample} & set(tags)


def test_the_thumbnail_is_not_kept() -> None:
    # An EXIF block of two tables: Make in the first, the JPEG of a thumbnail in the second.
    first = struct.pack("<HHHI4sI", 1, ExifTags.Base.Make, 2, 4, b"abc\0", 26)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, 9, 0)
    block = b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + second + b"THUMBNAIL"
    photo = open_image(encode(corner(), "JPEG", exif=block))
    assert photo.exif is not None
    assert b"abc" in photo.exif
    assert b"THUMBNAIL" not in photo.exif


def test_what_hangs_on_a_pillow_picture_is_not_saved(tmp_path: Path) -> None:
    data = encode(corner(), "PNG", exif=full_exif(), icc_profile=rgb_profile("Adobe RGB"))
    for suffix in SUFFIXES:
        with Image.open(io.BytesIO(data)) as image, Image.open(save_image(image, tmp_path / f"b{suffix}")) as saved:
            assert "icc_profile" not in saved.info
            assert not {ExifTags.Base.Make, ExifTags.IFD.GPSInfo} & set(saved.getexif())


def test_can_save() -> None:
    assert all(formats.can_save(f"b{suffix}") for suffix in SUFFIXES)
    assert not any(formats.can_save(name) for name in ("b.heic", "b.svg", "b"))


def test_refused_names_and_sizes(tmp_path: Path) -> None:
    for name in ("b.xyz", "b"):
        with pytest.raises(ImageError, match=r"its name must end with one of \.jpg"):
            save_image(corner(), tmp_path / name)
    with pytest.raises(ValueError, match="cannot be saved like"):
        save_image(corner(size=(10, 10)), tmp_path / "b.png", like=open_image(corner()))
    with pytest.raises(ImageError, match=r"b\.webp: it cannot be saved as \.webp"):
        save_image(Image.new("RGB", (17_000, 1)), tmp_path / "b.webp")
    with pytest.raises(ImageError, match=r"b\.jpg: it cannot be saved as \.jpg"):
        save_image(Image.new("RGB", (66_000, 1)), tmp_path / "b.jpg")
    assert list(tmp_path.iterdir()) == []


def test_never_over_the_source(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(encode(corner(), "PNG"))
    before = source.read_bytes()
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "sub").mkdir()
    for path in (source, tmp_path / "link.png", tmp_path / "sub" / ".." / "a.png"):
        with pytest.raises(ImageError, match="write over the source"):
            save_image(corner(), path, source=source)
    assert source.read_bytes() == before
    save_image(corner(), tmp_path / "b.png", source=source)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for path, reason in [
        (tmp_path / "file" / "b.png", "Not a directory"),
        (tmp_path / "gone" / "b.png", "there is no folder gone"),
        (tmp_path / "folder.png", "there is a folder of this name"),
        *([(Path("/proc/b.png"), "cannot be saved here")] if Path("/proc").is_dir() else []),
    ]:
        with pytest.raises(ImageError, match=reason) as raised:
            save_image(corner(), path)
        assert str(tmp_path) not in str(raised.value)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "folder.png"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), ImageError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["full disk", "Ctrl-C"],
)
def test_a_failing_save_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException]
) -> None:
    path = save_image(corner(), tmp_path / "b.png")
    before = path.read_bytes()

    def fail(image: Image.Image, file: io.BytesIO, *_: object, **__: object) -> None:
        file.write(b"half a picture")
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(raised, match="No space" if raised is ImageError else None):
        save_image(corner().rotate(90), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["b.png"]


def test_the_picture_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    save = Image.Image.save

    def watch(image: Image.Image, file: io.BytesIO, format: str, **options: object) -> None:
        save(image, file, format, **options)
        seen.append([path.name for path in list_images(tmp_path)])

    monkeypatch.setattr(Image.Image, "save", watch)
    save_image(corner(), tmp_path / "b.png")
    assert seen == [[]]  # while it was written, no picture was to be seen
    assert [path.name for path in list_images(tmp_path)] == ["b.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_results_have_the_usual_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        path = save_image(corner(), tmp_path / "b.png")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


def test_quality_is_quality(tmp_path: Path) -> None:
    sizes = [save_image(noise(), tmp_path / "b.jpg", quality=quality).stat().st_size for quality in (30, 92)]
    assert sizes[0] < sizes[1]


def test_jpeg_keeps_fine_colours(tmp_path: Path) -> None:
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = RED
    stripes[:, 1::2] = BLUE
    photo = open_image(save_image(Image.fromarray(stripes), tmp_path / "b.jpg"))
    assert np.abs(np.asarray(photo.rgb).astype(int) - stripes).mean() < 5  # 89 at half the colour resolution


def test_a_photo_is_what_it_says() -> None:
    photo = open_image(corner())
    assert isinstance(photo, LoadedImage)
    with pytest.raises(AttributeError):
        photo.name = "other"  # type: ignore[misc]


# --- folders --------------------------------------------------------------------------------------------


def test_list_pictures(tmp_path: Path) -> None:
    for name in [
        "b.JPG",
        "a.png",
        "c.txt",
        ".hidden.png",
        "sub/d.heic",
        "sub/deep/e.webp",
        ".thumbs/f.png",
        "folder.png/g.gif",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert names == ["a.png", "b.JPG"]
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(str(tmp_path), recursive=True)]
    assert names == ["a.png", "b.JPG", "folder.png/g.gif", "sub/d.heic", "sub/deep/e.webp"]


def test_folders_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"^gone: there is no such folder$"):
        list_images(tmp_path / "gone")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"^a\.png: this is not a folder$"):
        list_images(tmp_path / "a.png")
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def refuse(path: str | os.PathLike[str]) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [path.name for path in list_images(tmp_path, recursive=True)] == ["a.png", "locked"]
    with pytest.raises(ImageError, match=r"^locked: this folder may not be read$"):
        list_images(tmp_path / "locked")


@pytest.fixture
def training_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "apples"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_bytes(encode(corner(), "PNG"))
    (folder / "b.jpg").write_bytes(encode(Image.new("RGB", (600, 400), GREEN), "JPEG"))
    (folder / "c.jpg").write_bytes(b"text")
    (folder / "readme.txt").write_bytes(b"text")
    (folder / "sub" / "d.png").write_bytes(encode(hidden_red(), "PNG"))
    return folder


def test_training_folder(training_folder: Path) -> None:
    squares, bad = read_training_folder(training_folder, 8)
    assert (squares.dtype.name, squares.shape) == ("uint8", (3, 3, 8, 8))
    assert [str(error) for error in bad] == ["c.jpg: this is not a picture we can read (text file?)"]
    # a.png, 40 x 20: of its middle the left upper quarter is red
    for place, colour in {(1, 1): RED, (6, 1): BLUE, (1, 6): BLUE}.items():
        assert np.abs(squares[0][:, place[0], place[1]].astype(int) - colour).max() <= 5
    assert np.abs(squares[1].astype(int) - np.reshape(GREEN, (3, 1, 1))).max() <= 2
    assert np.abs(squares[2][:, 4, 4].astype(int) - (127, 191, 127)).max() <= 1  # half-clear green over white


def test_training_pictures_of_the_right_size_are_not_touched(tmp_path: Path) -> None:
    picture = rainbow()
    (tmp_path / "a.png").write_bytes(encode(picture, "PNG"))
    squares, _ = read_training_folder(tmp_path, 64)
    assert equal(Image.fromarray(squares[0].transpose(1, 2, 0)), picture)


def test_training_pictures_are_antialiased(tmp_path: Path) -> None:
    lines = np.zeros((256, 256, 3), np.uint8)
    lines[::2] = 255
    (tmp_path / "a.png").write_bytes(encode(Image.fromarray(lines), "PNG"))
    (tmp_path / "b.jpg").write_bytes(encode(Image.fromarray(lines), "JPEG", quality=95))
    squares, _ = read_training_folder(tmp_path, 16)
    assert np.abs(squares.astype(int) - 128).max() <= 3


def test_a_quickly_read_jpeg_is_as_sharp(tmp_path: Path) -> None:
    """JPEGs may be decoded at a half, a quarter or an eighth of their size, but not so that one sees it."""
    blocks = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    picture = Image.fromarray(np.kron(blocks, np.ones((64, 64, 1), np.uint8)))
    (tmp_path / "a.png").write_bytes(encode(picture, "PNG"))
    (tmp_path / "b.jpg").write_bytes(encode(picture, "JPEG", quality=95))
    for size in (24, 96, 100, 384):
        squares, _ = read_training_folder(tmp_path, size)
        assert np.abs(squares[0].astype(int) - squares[1]).mean() < 3


def test_a_training_folder_without_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "apples"
    with pytest.raises(ImageError, match="no such folder"):
        read_training_folder(folder, 8)
    folder.mkdir()
    with pytest.raises(ImageError, match=r"^apples: it holds no readable picture$"):
        read_training_folder(folder, 8)
    (folder / "a.jpg").write_bytes(b"")
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        with pytest.raises(ImageError, match=r"picture \(1 refused; the first is a\.jpg: the file is empty\)$"):
            read_training_folder(folder, 8, cache=cache)


def test_cache(training_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "deep" / "cache"
    plain, plain_bad = read_training_folder(training_folder, 8)
    first, first_bad = read_training_folder(training_folder, 8, cache=cache)
    with monkeypatch.context() as patch:
        patch.setattr(training_set, "read_reduced", lambda *_, **__: pytest.fail("its square is kept, yet it was read"))
        second, second_bad = read_training_folder(training_folder, 8, cache=cache)
    for squares, bad in ((first, first_bad), (second, second_bad)):
        assert np.array_equal(squares, plain)
        assert list(map(str, bad)) == list(map(str, plain_bad))
        assert isinstance(squares, np.memmap)
        assert squares.dtype == np.uint8
    first[:], second[:] = 0, 1  # reaches neither the disk nor each other
    assert np.array_equal(read_training_folder(training_folder, 8, cache=cache)[0], plain)
    assert first.max() == 0
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


def test_the_cache_notices_every_change(training_folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def count() -> int:
        read_training_folder(training_folder, 8, cache=cache)
        return len(list(cache.glob("*.npy")))

    assert (count(), count()) == (1, 1)
    (training_folder / "a.png").rename(training_folder / "z.png")
    assert (count(), count()) == (2, 2)
    os.utime(training_folder / "z.png", (1, 1))
    assert (count(), count()) == (3, 3)
    (training_folder / "c.jpg").unlink()
    assert (count(), count()) == (4, 4)
    read_training_folder(training_folder, 16, cache=cache)
    assert count() == 5


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_damaged_cache_is_made_anew(training_folder: Path, tmp_path: Path, suffix: str) -> None:
    plain, _ = read_training_folder(training_folder, 8, cache=tmp_path / "cache")
    wanted = np.array(plain)
    (kept,) = (tmp_path / "cache").glob(f"*{suffix}")
    for damage in (kept.read_bytes()[:-5], b"", b"rubbish"):
        kept.unlink()
        kept.write_bytes(damage)
        squares, bad = read_training_folder(training_folder, 8, cache=tmp_path / "cache")
        assert np.array_equal(squares, wanted)
        assert len(bad) == 1


def test_a_cache_that_cannot_be_written(training_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="cache of training pictures cannot be written"):
        read_training_folder(training_folder, 8, cache=tmp_path / "file")


def test_an_interrupted_cache_leaves_nothing(
    training_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, calls = training_set.read_reduced, []

    def interrupt(*args: object, **options: object) -> LoadedImage:
        calls.append(args)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return read(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training_set, "read_reduced", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_training_folder(training_folder, 8, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_record_is_json_in_the_open(tmp_path: Path) -> None:
    """Other programs can read it: the names are a promise."""
    with Image.open(save_image(corner(), tmp_path / "b.png", provenance=MADE)) as image:
        assert json.loads(image.info["cf-translate"]) == MADE
        assert image.info["Software"] == "cf-translate"
    with Image.open(save_image(corner(), tmp_path / "b.jpg", provenance=MADE)) as image:
        assert json.loads(image.getexif()[ExifTags.Base.ImageDescription]) == MADE
        assert image.getexif()[ExifTags.Base.Software] == "cf-translate"


if __name__ == "__main__":
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(TABLE)
    DOCUMENT.write_text(before + table() + rest[rest.find("\n\n") + 1 :], encoding="utf-8")
