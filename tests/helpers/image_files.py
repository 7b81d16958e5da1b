"""Picture files made by hand: profiles, EXIF, modes."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from translate.images.read import open_image
from translate.images.types import ImageError

RED, GREEN, BLUE, WHITE, GREY = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)
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


def corner(mode: str = "RGB", size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Blue, with a red quarter at the top left: enough to see every turn."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1] // 2))
    return image.convert(mode)


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
        note="16 bits a channel",
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
    Kind("cmyk with profile", lambda: ink("TIFF", icc_profile=ink_profile()), "TIFF", note="the result is sRGB", **INK),
    Kind("cmyk jpeg", lambda: ink("JPEG", icc_profile=ink_profile()), "JPEG", note="the result is sRGB", **INK),
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
    ("photoshop", lambda: b"8BPS\0\1" + bytes(99), "this is a Photoshop document"),
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


def rainbow() -> Image.Image:
    levels = np.linspace(0, 255, 16)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
    return Image.fromarray(grid.astype(np.uint8))
