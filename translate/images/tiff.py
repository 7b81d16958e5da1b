"""TIFFs that Pillow would read wrongly, or not at all, and the page of one that holds the picture itself.

TIFF leaves nearly everything to who writes it. Pillow is asked for layouts that it reads right (tests/test_tiff.py);
of the others, plain and deflated ones are read here and given to it in its own form.
"""

from __future__ import annotations

import contextlib
import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from translate.images.container import deep

BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_PAGES = 10_000
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_CFA, _LINEAR_RAW = 32803, 34892
_PLAIN, _DEFLATE, _OLD_DEFLATE, _JPEG = 1, 8, 32946, 7
_KEPT = (
    TiffImagePlugin.X_RESOLUTION, TiffImagePlugin.Y_RESOLUTION, TiffImagePlugin.RESOLUTION_UNIT,
    TiffImagePlugin.ICCPROFILE, 274, 271, 272, 306, 315, 33432,
)  # fmt: skip
RAW = "this is a camera's raw file{}; develop it first, then translate the JPEG or TIFF that you get"


class Unreadable(ValueError):
    """A TIFF that cannot be read right; str() is the reason in plain words."""


@dataclass(frozen=True)
class Page:
    """The picture in a TIFF. stream: for Pillow. number: of the page there. notes: what the user should know."""

    stream: IO[bytes]
    number: int
    notes: tuple[str, ...] = ()


def whole_picture(stream: IO[bytes], check: Callable[[int, int], None]) -> Page | None:
    """The first page that is neither a preview nor a mask; None where this is no TIFF, or too damaged to tell.

    check: given width and height before anything is decoded; may raise. Raises Unreadable.
    """
    stream.seek(0)
    head = stream.read(8)
    if head[:4] in BEGINNINGS[2:]:
        head += stream.read(8)
    pages = _pages(stream, head)
    if not pages:
        return None
    if any(50706 in page or page.get(262) in (_CFA, _LINEAR_RAW) for page in pages):
        raise Unreadable(RAW.format(" (DNG)"))
    whole = [number for number, page in enumerate(pages) if not _is_part(page)]
    inner = [width * height for width, height in map(_sides, _inner(stream, head, pages[0]))]
    # Where all call themselves previews the largest one is the picture, unless a raw one is hidden behind them.
    number = whole[0] if whole else max(range(len(pages)), key=lambda number: math.prod(_sides(pages[number])))
    width, height = _sides(pages[number])
    if inner and (not whole or max(inner) > width * height):
        raise Unreadable(f"only a preview of {width} x {height} pixels can be read; {RAW.format('')}")
    notes: tuple[str, ...] = ()
    if not whole:
        notes = (f"the file calls itself a preview of another picture: {width} x {height} pixels were taken",)
    elif number:
        notes = (f"its first page is a preview: page {number + 1} was taken",)
    page = pages[number]
    if len(whole) > 1:
        notes += (f"several pages: the first of {len(whole)} pages was taken",)
    if max(_values(page, 258, 1)) > 8 and page.get(277, 1) > 1:  # of grey alone color.py tells
        notes += (deep(max(_values(page, 258, 1))),)
    fault = _fault_of_pillow(page)
    if fault is None:
        return Page(stream, number, notes)
    check(width, height)
    if page.get(259, 1) not in (_PLAIN, _DEFLATE, _OLD_DEFLATE):
        raise Unreadable(f"TIFF of an unusual layout ({fault}) cannot be read right; save it as an ordinary one")
    return Page(_rewritten(stream, page), 0, notes)


def _pages(stream: IO[bytes], head: bytes) -> list[ImageFileDirectory_v2]:
    pages: list[ImageFileDirectory_v2] = []
    seen = set()
    try:
        place = ImageFileDirectory_v2(head).next
        while place and place not in seen and len(pages) < _MAX_PAGES:
            seen.add(place)
            page = _directory(stream, head, place)
            pages.append(page)
            place = page.next
    except Exception:  # Pillow raises whatever a damaged directory brings about; what was found stands
        pass
    return [page for page in pages if _sides(page) != (0, 0)]


def _directory(stream: IO[bytes], head: bytes, place: int) -> ImageFileDirectory_v2:
    page = ImageFileDirectory_v2(head)
    stream.seek(place)
    page.load(stream)
    return page


def _inner(stream: IO[bytes], head: bytes, page: ImageFileDirectory_v2) -> list[ImageFileDirectory_v2]:
    """The pages in its sub-IFDs."""
    found = []
    for place in _values(page, 330, 0) if 330 in page else ():
        with contextlib.suppress(Exception):
            found.append(_directory(stream, head, int(place)))
    return [part for part in found if _sides(part) != (0, 0)]


def _is_part(page: ImageFileDirectory_v2) -> bool:
    """Whether it is a smaller copy of another page, or a mask for one."""
    kind = page.get(254, 0)
    return bool(isinstance(kind, int) and kind & (_REDUCED | _MASK)) or page.get(255, 1) == 2


def _sides(page: ImageFileDirectory_v2) -> tuple[int, int]:
    width, height = page.get(256, 0), page.get(257, 0)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)


def _fault_of_pillow(page: ImageFileDirectory_v2) -> str | None:
    """What of a page's layout Pillow does not read right; None where it does, and where it refuses by itself."""
    bits, formats = _values(page, 258, 1), _values(page, 339, 1)
    channels = page.get(277, len(bits))
    planar, compression, photometric = page.get(284, 1), page.get(259, 1), page.get(262, 1)
    wide, floats = max(bits), 3 in formats
    if wide not in (8, 16, 32, 64) or len(set(bits)) > 1 or photometric not in (0, 1, 2, 5) or compression == _JPEG:
        return None
    kind = f"{channels} channels of {wide} bits" + (", floats" if floats else "")
    if planar == 2 and (channels == 2 or (wide > 8 and compression == _PLAIN)):
        return f"{kind}, each in a plane of its own"
    if wide > 8 and photometric == 0:
        return f"{kind}, white as 0"
    if wide > 16 and (channels > 1 or (formats[0] == 1 and wide == 32) or wide == 64):
        return kind
    if wide > 8 and channels == 2:
        return kind
    if floats and (wide == 16 or (page.prefix == b"MM" and compression != _PLAIN)):
        return kind
    return None


def _values(page: ImageFileDirectory_v2, tag: int, default: int) -> tuple[int, ...]:
    values = page.get(tag, (default,))
    return tuple(values) if isinstance(values, tuple) else (values,)


def _rewritten(stream: IO[bytes], page: ImageFileDirectory_v2) -> IO[bytes]:
    """The same picture as a TIFF that Pillow reads right: 8 bits a channel, or grey of 16 bits or floats."""
    try:
        levels = _levels(stream, page)
    except (ValueError, TypeError, zlib.error, IndexError) as error:
        raise Unreadable("the file is damaged or cut short: a part of the picture is missing") from error
    colours, alpha = _arranged(levels, page)
    kept = ImageFileDirectory_v2()
    for tag in _KEPT:
        if tag in page:
            kept[tag] = page[tag]
    if colours.shape[2] == 1 and alpha is None:
        picture = Image.fromarray(colours[..., 0])
    else:
        parts = [colours] if alpha is None else [colours, alpha[..., None]]
        mode = {1: "LA", 3: "RGB" if alpha is None else "RGBA", 4: "CMYK"}[colours.shape[2]]
        picture = Image.fromarray(np.ascontiguousarray(np.concatenate(parts, axis=2)), mode)
    copy = io.BytesIO()
    picture.save(copy, "TIFF", tiffinfo=kept)
    copy.seek(0)
    return copy


def _levels(stream: IO[bytes], page: ImageFileDirectory_v2) -> npt.NDArray[Any]:
    """(H, W, channels) as stored, in this machine's byte order. Raises ValueError where something is missing."""
    width, height = _sides(page)
    bits = _values(page, 258, 1)
    channels = int(page.get(277, len(bits)))
    kind = {1: "u", 2: "i", 3: "f"}[_values(page, 339, 1)[0]]
    stored = np.dtype(f"{'<' if page.prefix == b'II' else '>'}{kind}{bits[0] // 8}")
    planes = channels if page.get(284, 1) == 2 else 1
    depth = channels // planes
    if 322 in page:
        block_width, block_height = int(page[322]), int(page[323])
        offsets, counts = _values(page, 324, 0), _values(page, 325, 0)
    else:
        block_width, block_height = width, min(int(page.get(278, height)), height)
        offsets, counts = _values(page, 273, 0), _values(page, 279, 0)
    across, down = math.ceil(width / block_width), math.ceil(height / block_height)
    found = np.empty((height, width, channels), stored.newbyteorder("="))
    for number in range(planes * across * down):
        plane, place = divmod(number, across * down)
        top, left = place // across * block_height, place % across * block_width
        rows = block_height if 322 in page else min(block_height, height - top)
        shape = (rows, block_width, depth)
        size = math.prod(shape) * stored.itemsize
        stream.seek(offsets[number])
        content = stream.read(counts[number])
        if page.get(259, 1) != _PLAIN:
            content = zlib.decompressobj().decompress(content, size)
        block = _unpredicted(content[:size], stored, shape, page.get(317, 1))
        part = found[top : top + rows, left : left + block_width, plane * depth : (plane + 1) * depth]
        part[:] = block[: part.shape[0], : part.shape[1]]
    return found


def _unpredicted(
    content: bytes, stored: np.dtype[Any], shape: tuple[int, int, int], predictor: int
) -> npt.NDArray[Any]:
    if predictor == 3:  # differences of bytes, the highest ones of a row first
        rows, width, depth = shape
        parts = np.frombuffer(content, np.uint8).reshape(rows, stored.itemsize * width, depth)
        parts = parts.cumsum(axis=1, dtype=np.uint8).reshape(rows, stored.itemsize, width * depth)
        return np.ascontiguousarray(parts.transpose(0, 2, 1)).view(stored.newbyteorder(">")).reshape(shape)
    levels = np.frombuffer(content, stored).reshape(shape)
    return levels.cumsum(axis=1, dtype=stored.newbyteorder("=")) if predictor == 2 else levels


def _arranged(
    levels: npt.NDArray[Any], page: ImageFileDirectory_v2
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]:
    """Colours with 1, 3 or 4 channels, and alpha where it is said to be one; white is the highest number."""
    count = {2: 3, 5: 4}.get(page.get(262, 1), 1)
    extra = _values(page, 338, 0)
    colours, rest = levels[..., :count], levels[..., count:]
    alpha = _bytes(rest[..., 0]) if rest.shape[2] and extra[0] in (1, 2) else None
    if count == 1 and alpha is None and levels.dtype.itemsize > 1:
        if levels.dtype.kind == "f":
            grey = colours.astype(np.float32)
        else:
            grey = (colours >> 8 * (levels.dtype.itemsize - 2)).astype(
                np.uint16 if levels.dtype.kind == "u" else np.int32
            )
        white = grey.max(initial=0) if levels.dtype.kind != "u" else 65535
        return (white - grey if page.get(262, 1) == 0 else grey), None
    found = _bytes(colours)
    found = 255 - found if page.get(262, 1) == 0 else found
    if alpha is not None and extra[0] == 1 and count == 3:  # multiplied by alpha, which models do not want
        seen = alpha[..., None].astype(np.float32)
        found = np.where(seen, found * 255.0 / np.maximum(seen, 1), 255).clip(0, 255).astype(np.uint8)
    return found, alpha


def _bytes(levels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Any type -> uint8. White is the highest number of integers, and of floats the smallest of 1, 255 and 65535 that
    none exceeds."""
    if levels.dtype == np.uint8:
        return levels
    if levels.dtype.kind == "u":
        return (levels >> 8 * (levels.dtype.itemsize - 1)).astype(np.uint8)
    values = np.nan_to_num(levels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    high = float(values.max(initial=0))
    white = next((white for white in (1.0, 255.0, 65535.0) if high <= white), high)
    return np.rint(values * (255 / white)).clip(0, 255).astype(np.uint8)
