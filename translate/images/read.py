"""Read picture files: told by content, checked before they are decoded, upright, 8 bit, sRGB, alpha laid aside."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from translate.images import container, kinds, png, tiff
from translate.images.color import split_alpha, to_srgb
from translate.images.formats import READABLE
from translate.images.metadata import TURNS, read_exif
from translate.images.types import ImageError, LoadedImage, Source, source_name

MAX_PIXELS = 120_000_000

# A small file may stand for a huge picture. Measured, bytes of RGB per byte of file: photos stay below 500;
# of blank 30-megapixel pictures a JPEG gets up to 770, a colour PNG 900, a lossy WebP 1100, a grey PNG 2200;
# a smooth gradient in AVIF 3000. A blank one-bit PNG of 100 megapixels gets 12 000 and more. Up to 25
# megapixels too little memory is at stake, so that a blank picture passes in any format.
_HARMLESS_PIXELS = 25_000_000
_MAX_RATIO = 5000


def open_image(source: Source, *, max_pixels: int = MAX_PIXELS) -> LoadedImage:
    """Read a picture: JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF, MPO, and HEIC with pillow-heif, told by content.

    Args:
        source: a path, a file's bytes, a binary file object (read from its start), a Pillow picture, RGB as uint8
            (H, W, 3), or a LoadedImage, which comes back as it is.
        max_pixels: larger pictures are refused before they are decoded, and so are those above 25 megapixels
            that would unpack to more than 5000 times their file's size. Above 178 megapixels Pillow refuses.

    Raises:
        ImageError: nothing readable is there.
        TypeError: source is nothing of these, or an array of another type or shape.
    """
    return read_reduced(source, max_pixels)


def read_reduced(source: Source, max_pixels: int, enough: int | None = None) -> LoadedImage:
    """As open_image; a JPEG may come at 1/2, 1/4 or 1/8 of its size, no side below enough pixels."""
    if isinstance(source, LoadedImage):
        return source
    source = _checked_type(source)
    name = source_name(source)
    try:
        if isinstance(source, Image.Image):
            _check_size(*source.size, name, max_pixels)
            source.load()
            return _photo(source, name, [])
        with _stream(source, name) as stream:
            file_bytes = stream.seek(0, os.SEEK_END)
            check = partial(_check_size, name=name, max_pixels=max_pixels, file_bytes=file_bytes)
            notes: list[str] = []
            image = _recognise(stream, name, check, notes)
            check(*image.size)
            if enough is not None:
                image.draft(None, (enough, enough))
            image.load()
            return _photo(image, name, notes)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(name, _too_large(max_pixels)) from error
    except Exception as error:  # a decoder that is fed a damaged file may raise anything
        raise ImageError(name, _why_unread(error)) from error


def _checked_type(source: object) -> str | os.PathLike[str] | bytes | IO[bytes] | Image.Image:
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise TypeError(f"an array of pixels is uint8 (H, W, 3), not {source.dtype} {source.shape}")
        return Image.fromarray(np.ascontiguousarray(source)) if source.size else Image.new("RGB", (0, 0))
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike | bytes | Image.Image):
        return source
    if isinstance(source, io.TextIOBase) or not callable(getattr(source, "read", None)):
        kind = "a file opened as text" if isinstance(source, io.TextIOBase) else type(source).__name__
        raise TypeError(f"a picture is a path, bytes, a binary file, a Pillow picture or an array, not {kind}")
    return source  # type: ignore[return-value]


def _stream(source: str | os.PathLike[str] | bytes | IO[bytes], name: str) -> IO[bytes]:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if os.path.isdir(path):
            raise ImageError(name, "this is a folder, not a picture")
        if os.path.exists(path) and not os.path.isfile(path):
            raise ImageError(name, "this is not an ordinary file")
        return path.open("rb")
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if source.seekable():
        source.seek(0)
    return io.BytesIO(source.read())


def _recognise(stream: IO[bytes], name: str, check: Callable[[int, int], None], notes: list[str]) -> Image.Image:
    """The picture, undecoded. Its info has "icc_profile" where the file says in other words what its colours are,
    and "lossless"."""
    stream.seek(0)
    head = stream.read(kinds.HEAD)
    heic = kinds.is_heic(head)
    if kinds.camera_raw(head):
        raise ImageError(name, kinds.what_else(head))
    if heic:
        try:
            import pillow_heif
        except ImportError as error:
            remedy = "or install one more package: pip install pillow-heif"
            raise ImageError(name, "HEIC photos cannot be read here; save it as JPEG", remedy) from error
        pillow_heif.register_heif_opener()
    if head.startswith(b"\xff\xd8\xff") and (reason := kinds.odd_jpeg(stream)):
        raise ImageError(name, reason)
    number, colours = 0, png.Colours()
    if head.startswith(png.SIGNATURE):
        stream, colours = png.readable(stream)
        if head[24:25] == b"\x10" and head[25:26] in (b"\2", b"\6"):
            notes.append(container.deep(16))
    elif head.startswith(tiff.BEGINNINGS):
        try:
            page = tiff.whole_picture(stream, check)
        except tiff.Unreadable as error:
            raise ImageError(name, str(error)) from error
        if page is not None:
            stream, number = page.stream, page.number
            notes += page.notes
    try:
        image = Image.open(stream, formats=("HEIF",) if heic else READABLE)
    except UnidentifiedImageError as error:
        raise ImageError(name, kinds.what_else(head)) from error
    if number:
        image.seek(number)
    if head[4:8] == b"ftyp":
        icc, more = container.boxed_colours(stream)
        notes += more
        colours = png.Colours(image.info.get("icc_profile") or icc)
    if colours.hdr:
        notes.append(container.note_of_hdr(colours.hdr))
    if colours.icc:
        image.info["icc_profile"] = colours.icc
    if container.gain_map(image, stream):
        notes.append(container.GAIN_MAP)
    image.info["lossless"] = container.is_lossless(stream, head)
    return image


def _check_size(width: int, height: int, name: str, max_pixels: int, file_bytes: int | None = None) -> None:
    pixels = width * height
    if pixels == 0:
        raise ImageError(name, "the picture has no pixels")
    if pixels > max_pixels:
        raise ImageError(name, _too_large(max_pixels))
    if file_bytes is not None and pixels > _HARMLESS_PIXELS and 3 * pixels > _MAX_RATIO * file_bytes:
        kilo, mega = file_bytes / 1e3, 3 * pixels / 1e6
        raise ImageError(name, f"{kilo:.0f} kB would unpack to {mega:.0f} MB (a decompression bomb?)")


def _too_large(max_pixels: int) -> str:
    return f"the picture is too large; the limit is {max_pixels / 1e6:g} megapixels"


def _why_unread(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "this file may not be read (permission denied)"
    if isinstance(error, MemoryError):
        return "there is not enough memory to open it"
    if isinstance(error, OSError) and error.strerror:
        return f"it could not be read ({error.strerror})"
    if "truncated" in str(error).lower():
        return "the file is cut short: a part of the picture is missing"
    return "the file is damaged and cannot be decoded"


def _unchecked(width: int, height: int) -> None:
    """For looks at the head of a file, whose size nobody has asked for yet."""
    if width * height > MAX_PIXELS:
        raise ValueError("too large to look at")


_LYING = {turn for number, turn in TURNS.items() if number >= 5}  # those that swap width and height


def image_size(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Width and height of the upright picture, from the file's head alone; None where that cannot be read.

    Of PNG the turn is not looked at, since it may stand behind the pixels.
    """
    name = source_name(path)
    with contextlib.suppress(Exception), _stream(path, name) as stream:
        image = _recognise(stream, name, _unchecked, [])
        turn = None if image.format == "PNG" else TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        width, height = image.size
        return (height, width) if turn in _LYING else (width, height)
    return None


def image_format(path: str | os.PathLike[str]) -> str | None:
    """Pillow's name of a file's format, "JPEG" for MPO, by its head; None where it is no picture that can be read."""
    name = source_name(path)
    with contextlib.suppress(Exception), _stream(path, name) as stream:
        format = _recognise(stream, name, _unchecked, []).format
        return "JPEG" if format == "MPO" else format
    return None


def is_complete(path: str | os.PathLike[str]) -> bool:
    """Whether all of a picture's file is there: read to its end, a JPEG only at an eighth of its size."""
    name = source_name(path)
    with contextlib.suppress(Exception), _stream(path, name) as stream:
        image = _recognise(stream, name, _unchecked, [])
        image.draft(None, (1, 1))
        image.load()
        return True
    return False


def _photo(image: Image.Image, name: str, notes: list[str]) -> LoadedImage:
    """A decoded picture of any mode -> Photo; the picture itself is left as it is. notes: those so far."""
    exif, turn = read_exif(image, notes)
    icc, dpi = image.info.get("icc_profile"), None
    with contextlib.suppress(Exception):  # as read_exif, which has told about it
        dpi = container.resolution(image)
        icc = icc or container.camera_profile(image)
    colours, alpha = split_alpha(image, notes)
    if turn is not None:
        colours = colours.transpose(turn)
        alpha = alpha and alpha.transpose(turn)
        dpi = (dpi[1], dpi[0]) if dpi and turn in _LYING else dpi
    original, profile, rgb = to_srgb(colours, icc, notes)
    if alpha is not None:
        hidden = alpha.point(lambda value: 255 * (value == 0))
        for picture in (rgb, original):
            picture.paste((255, 255, 255), mask=hidden)
    notes += _pages(image)
    format = "JPEG" if image.format == "MPO" else image.format or "PNG"
    more = any(key in image.info for key in ("xmp", "photoshop", "XML:com.adobe.xmp"))
    return LoadedImage(
        rgb, alpha, profile, format, name, exif, tuple(notes), original,
        dpi=dpi, lossless=bool(image.info.get("lossless")), extra_metadata=more,
    )  # fmt: skip


def _pages(image: Image.Image) -> list[str]:
    if image.format in ("MPO", "TIFF"):  # a photo with its depth or gain map, not an animation; tiff.py counts pages
        return []
    try:
        count = getattr(image, "n_frames", 1)
    except Exception:  # the first picture is whole, and only that is wanted
        return []
    return [f"animated: the first of {count} frames was taken"] if count > 1 else []
