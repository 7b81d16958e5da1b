"""Read picture files: told by content, checked before they are decoded, upright, 8 bit, sRGB, alpha laid aside."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

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
    """
    return read_reduced(source, max_pixels)


def read_reduced(source: Source, max_pixels: int, enough: int | None = None) -> LoadedImage:
    """As open_image; a JPEG may come at 1/2, 1/4 or 1/8 of its size, no side below enough pixels."""
    if isinstance(source, LoadedImage):
        return source
    name = source_name(source)
    try:
        if isinstance(source, np.ndarray):
            if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
                raise ImageError(name, f"an array must be uint8 (H, W, 3), not {source.dtype} {source.shape}")
            source = Image.fromarray(source)
        if isinstance(source, Image.Image):
            _check_size(source, name, max_pixels)
            source.load()
            return _photo(source, name)
        with _stream(source, name) as stream:
            file_bytes = stream.seek(0, os.SEEK_END)
            image = _recognise(stream, name)
            _check_size(image, name, max_pixels, file_bytes)
            if enough is not None:
                image.draft(None, (enough, enough))
            image.load()
            return _photo(image, name)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(name, _too_large(max_pixels)) from error
    except Exception as error:  # a decoder that is fed a damaged file may raise anything
        raise ImageError(name, _why_unread(error)) from error


def _stream(source: str | os.PathLike[str] | bytes | IO[bytes], name: str) -> IO[bytes]:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            raise ImageError(name, "this is a folder, not a picture")
        if path.exists() and not path.is_file():
            raise ImageError(name, "this is not an ordinary file")
        return path.open("rb")
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if source.seekable():
        source.seek(0)
    return io.BytesIO(source.read())


def _recognise(stream: IO[bytes], name: str) -> Image.Image:
    stream.seek(0)
    head = stream.read(512)
    brands = head[8:64] if head[4:8] == b"ftyp" else b""
    heic = any(brand in brands for brand in (b"heic", b"heix", b"heim", b"hevc", b"hevx"))
    if heic:
        try:
            import pillow_heif
        except ImportError as error:
            raise ImageError(name, "HEIC pictures need one more package: pip install pillow-heif") from error
        pillow_heif.register_heif_opener()
    try:
        return Image.open(stream, formats=("HEIF",) if heic else READABLE)
    except UnidentifiedImageError as error:
        raise ImageError(name, _what_else(head)) from error


def _what_else(head: bytes) -> str:
    """What a file that no decoder knows seems to be."""
    if not head:
        return "the file is empty"
    beginnings = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    if head.startswith(beginnings) or head[4:8] == b"ftyp" or head[8:12] == b"WEBP":
        return "the file is damaged: it begins like a picture but cannot be read as one"
    if b"<svg" in head:
        return "SVG drawings cannot be read; export it as PNG first"
    if head.startswith(b"%PDF"):
        return "this is not a picture we can read (PDF?)"
    with contextlib.suppress(UnicodeDecodeError):
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last letter may be cut in two
        if "\0" not in text:
            return "this is not a picture we can read (text file?)"
    return "this is not a picture we can read; JPEG, PNG, WebP, AVIF, TIFF, BMP and GIF are"


def _check_size(image: Image.Image, name: str, max_pixels: int, file_bytes: int | None = None) -> None:
    pixels = image.width * image.height
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


_LYING = {turn for number, turn in TURNS.items() if number >= 5}  # those that swap width and height


def image_size(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Width and height of the upright picture, from the file's head alone; None where that cannot be read.

    Of PNG the turn is not looked at, since it may stand behind the pixels.
    """
    name = source_name(path)
    with contextlib.suppress(Exception), _stream(path, name) as stream:
        image = _recognise(stream, name)
        turn = None if image.format == "PNG" else TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        width, height = image.size
        return (height, width) if turn in _LYING else (width, height)
    return None


def is_complete(path: str | os.PathLike[str]) -> bool:
    """Whether all of a picture's file is there: read to its end, a JPEG only at an eighth of its size."""
    name = source_name(path)
    with contextlib.suppress(Exception), _stream(path, name) as stream:
        image = _recognise(stream, name)
        image.draft(None, (1, 1))
        image.load()
        return True
    return False


def _photo(image: Image.Image, name: str) -> LoadedImage:
    """A decoded picture of any mode -> Photo; the picture itself is left as it is."""
    notes: list[str] = []
    exif, turn = read_exif(image, notes)
    colours, alpha = split_alpha(image, notes)
    if turn is not None:
        colours = colours.transpose(turn)
        alpha = alpha and alpha.transpose(turn)
    original, profile, rgb = to_srgb(colours, image.info.get("icc_profile"), notes)
    if alpha is not None:
        hidden = alpha.point(lambda value: 255 * (value == 0))
        for picture in (rgb, original):
            picture.paste((255, 255, 255), mask=hidden)
    notes += _pages(image)
    format = "JPEG" if image.format == "MPO" else image.format or "PNG"
    return LoadedImage(rgb, alpha, profile, format, name, exif, tuple(notes), original)


def _pages(image: Image.Image) -> list[str]:
    if image.format == "MPO":  # a photo with its depth or gain map, not an animation
        return []
    try:
        count = getattr(image, "n_frames", 1)
    except Exception:  # the first picture is whole, and only that is wanted
        return []
    kind, parts = ("several pages", "pages") if image.format == "TIFF" else ("animated", "frames")
    return [f"{kind}: the first of {count} {parts} was taken"] if count > 1 else []
