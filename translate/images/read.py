"""The only door for pixels: every picture that comes in or goes out passes here, whoever asks.

What comes in is upright, 8 bit, sRGB, its alpha laid aside, or else a BadPicture with one plain sentence.
What goes out has the source's colour profile and alpha again, and is on the disk whole or not at all.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import io
import json
import os
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import IO, Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from models.atomic import whole_file

# Pillow warns of large pictures, for which we have our own limit, and of odd metadata, which we read round.
warnings.filterwarnings("ignore", module=r"PIL\.")

MAX_PIXELS = 120_000_000

# A small file may stand for a huge picture. Measured, bytes of RGB per byte of file: photos stay below 500;
# of blank 30-megapixel pictures a JPEG gets up to 770, a colour PNG 900, a lossy WebP 1100, a grey PNG 2200;
# a smooth gradient in AVIF 3000. A blank one-bit PNG of 100 megapixels gets 12 000 and more. Up to 25
# megapixels too little memory is at stake, so that a blank picture passes in any format.
_HARMLESS_PIXELS = 25_000_000
_MAX_RATIO = 5000

_STRIP_PIXELS = 1 << 20  # of a large picture, converted at a time

_READABLE = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")  # an MPO opens as a JPEG
_WRITABLE = {
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
_SUFFIXES = {*_WRITABLE, ".mpo", ".apng", ".heic", ".heif"}
_OPAQUE = {"JPEG", "BMP"}
_WITHOUT_PROFILE = {"BMP", "GIF"}
_MAKER = "cf-translate"
_BEHIND = b"\0cf-translate "  # what the record behind a BMP begins with

Source = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image


class BadPicture(ValueError):
    """A picture, or a folder of them, that cannot be read or written.

    Args:
        name: the file's name, without folders.
        reason: why, in plain words; str() is "name: reason".
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Photo:
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
    """

    rgb: Image.Image
    alpha: Image.Image | None
    profile: bytes | None
    format: str
    name: str
    exif: bytes | None
    notes: tuple[str, ...]
    original: Image.Image


# --- in ----------------------------------------------------------------------


def open_picture(source: Source, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a picture: JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF, MPO, and HEIC with pillow-heif, told by content.

    Args:
        source: a path, a file's bytes, a binary file object (read from its start) or a Pillow picture.
        max_pixels: larger pictures are refused before they are decoded, and so are those above 25 megapixels
            that would unpack to more than 5000 times their file's size. Above 178 megapixels Pillow refuses.

    Raises:
        BadPicture: nothing readable is there.
    """
    return _read(source, max_pixels)


def _read(source: Source, max_pixels: int, enough: int | None = None) -> Photo:
    """As open_picture; a JPEG may come at 1/2, 1/4 or 1/8 of its size, no side below enough pixels."""
    name = _name(source)
    try:
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
    except BadPicture:
        raise
    except Image.DecompressionBombError as error:
        raise BadPicture(name, _too_large(max_pixels)) from error
    except Exception as error:  # a decoder that is fed a damaged file may raise anything
        raise BadPicture(name, _why_unread(error)) from error


def _name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return Path(source).name or Path(source).resolve().name or "/"
    name = getattr(source, "filename" if isinstance(source, Image.Image) else "name", None)
    return Path(name).name or "picture" if isinstance(name, str) else "picture"


def _stream(source: str | os.PathLike[str] | bytes | IO[bytes], name: str) -> IO[bytes]:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            raise BadPicture(name, "this is a folder, not a picture")
        if path.exists() and not path.is_file():
            raise BadPicture(name, "this is not an ordinary file")
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
            raise BadPicture(name, "HEIC pictures need one more package: pip install pillow-heif") from error
        pillow_heif.register_heif_opener()
    try:
        return Image.open(stream, formats=("HEIF",) if heic else _READABLE)
    except UnidentifiedImageError as error:
        raise BadPicture(name, _what_else(head)) from error


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
        raise BadPicture(name, "the picture has no pixels")
    if pixels > max_pixels:
        raise BadPicture(name, _too_large(max_pixels))
    if file_bytes is not None and pixels > _HARMLESS_PIXELS and 3 * pixels > _MAX_RATIO * file_bytes:
        kilo, mega = file_bytes / 1e3, 3 * pixels / 1e6
        raise BadPicture(name, f"{kilo:.0f} kB would unpack to {mega:.0f} MB (a decompression bomb?)")


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


# EXIF orientation -> what makes the picture upright. ImageOps.exif_transpose does the same, but it also
# writes the EXIF anew, and fails where that is damaged.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = {turn for number, turn in _TURNS.items() if number >= 5}  # those that swap width and height


def picture_size(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Width and height of the upright picture, from the file's head alone; None where that cannot be read.

    Of PNG the turn is not looked at, since it may stand behind the pixels.
    """
    name = _name(path)
    with contextlib.suppress(Exception), _stream(path, name) as stream:
        image = _recognise(stream, name)
        turn = None if image.format == "PNG" else _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        width, height = image.size
        return (height, width) if turn in _LYING else (width, height)
    return None


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Whether all of a picture's file is there: read to its end, a JPEG only at an eighth of its size."""
    name = _name(path)
    with contextlib.suppress(Exception), _stream(path, name) as stream:
        image = _recognise(stream, name)
        image.draft(None, (1, 1))
        image.load()
        return True
    return False


def _photo(image: Image.Image, name: str) -> Photo:
    """A decoded picture of any mode -> Photo; the picture itself is left as it is."""
    notes: list[str] = []
    exif, turn = _metadata(image, notes)
    colours, alpha = _split(image, notes)
    if turn is not None:
        colours = colours.transpose(turn)
        alpha = alpha and alpha.transpose(turn)
    original, profile, rgb = _to_srgb(colours, image.info.get("icc_profile"), notes)
    if alpha is not None:
        hidden = alpha.point(lambda value: 255 * (value == 0))
        for picture in (rgb, original):
            picture.paste((255, 255, 255), mask=hidden)
    notes += _pages(image)
    format = "JPEG" if image.format == "MPO" else image.format or "PNG"
    return Photo(rgb, alpha, profile, format, name, exif, tuple(notes), original)


def _split(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """Any mode -> the colours as a new L, RGB, CMYK or LAB picture, and the alpha unless all of it is 255."""
    alpha = None
    grey = image.mode in ("1", "L", "LA")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        notes.append("16 bits or more a pixel: read at 8 bits")
        image = _eight_bits(image)
        grey = True
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        if alpha.getextrema() == (255, 255):
            alpha = None
    colours = image.convert("L" if grey else image.mode if image.mode in ("CMYK", "LAB") else "RGB")
    colours.info.clear()
    return colours, alpha


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or of floats -> L.

    White is the smallest of 1 (floats only), 255 (not for 16 bits) and 65535 that no pixel exceeds.
    Where there is none, or a pixel is below 0, it goes from the darkest pixel to the brightest.
    """
    levels = np.asarray(image).astype(np.float32)
    finite = np.isfinite(levels)
    low = float(levels.min(where=finite, initial=np.inf))
    high = float(levels.max(where=finite, initial=-np.inf))
    whites = {"I": (255.0, 65535.0), "F": (1.0, 255.0, 65535.0)}.get(image.mode, (65535.0,))
    white = next((white for white in whites if high <= white), None)
    if low < 0 or white is None:
        white = (high - low) or 1.0
        levels -= low
    np.nan_to_num(levels, copy=False, nan=0.0, posinf=white, neginf=0.0)
    levels *= 255 / white
    return Image.fromarray(np.rint(levels, out=levels).clip(0, 255).astype(np.uint8))


def _to_srgb(
    colours: Image.Image, icc: bytes | None, notes: list[str]
) -> tuple[Image.Image, bytes | None, Image.Image]:
    """L, RGB, CMYK or LAB -> Photo's original, profile and rgb."""
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            space = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(profile.profile.xcolor_space.strip())
            if space == "RGB" and colours.mode == "L":
                colours = colours.convert("RGB")
            if space == colours.mode:
                if space == "RGB" and _is_srgb(icc):
                    return colours, None, colours
                rgb = _converted(colours, profile, _srgb())
                return (colours, icc, rgb) if space == "RGB" and _leads_back(profile) else (rgb, None, rgb)
        except (OSError, ValueError, ImageCms.PyCMSError):
            pass
    if colours.mode == "CMYK":
        notes.append("ink colours (CMYK) without a usable profile: the colours are a guess")
    elif icc:
        notes.append("the colour profile is damaged or does not fit and was ignored")
    if colours.mode == "LAB":
        rgb = _converted(colours, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), _srgb())
    else:
        rgb = colours.convert("RGB")
    return rgb, None, rgb


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _converted(picture: Image.Image, source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile) -> Image.Image:
    """From one profile to another, an RGB one."""
    converted = _transform(source, target, picture.mode).apply(picture)
    converted.info.clear()
    return converted


def _transform(
    source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile, mode: str
) -> ImageCms.ImageCmsTransform:
    """From one profile to another, an RGB one, relative to their whites and blacks."""
    return ImageCms.buildTransform(
        source,
        target,
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


@lru_cache(maxsize=8)  # a folder of photos has one or two profiles, and asking takes longer than a small photo
def _is_srgb(icc: bytes) -> bool:
    """Whether a profile does what sRGB does: there are dozens of sRGB profiles under many names."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    levels = np.linspace(0, 255, 9)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3).astype(np.uint8)
    seen = np.asarray(_converted(Image.fromarray(colours), profile, _srgb()))
    return int(np.abs(seen.astype(int) - colours).max()) <= 2


def _leads_back(profile: ImageCms.ImageCmsProfile) -> bool:
    """Whether colours can be converted to a profile; a scanner's only leads out."""
    try:
        _converted(Image.new("RGB", (1, 1)), _srgb(), profile)
    except ImageCms.PyCMSError:
        return False
    return True


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


def _metadata(image: Image.Image, notes: list[str]) -> tuple[bytes | None, Image.Transpose | None]:
    """The EXIF that may be kept, and the turn that makes the picture upright."""
    turn = None
    try:
        exif = image.getexif()
        turn = _TURNS.get(exif.get(ExifTags.Base.Orientation, 1))
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


def _pages(image: Image.Image) -> list[str]:
    if image.format == "MPO":  # a photo with its depth or gain map, not an animation
        return []
    try:
        count = getattr(image, "n_frames", 1)
    except Exception:  # the first picture is whole, and only that is wanted
        return []
    kind, parts = ("several pages", "pages") if image.format == "TIFF" else ("animated", "frames")
    return [f"{kind}: the first of {count} {parts} was taken"] if count > 1 else []


# --- out ---------------------------------------------------------------------


def can_save(path: str | os.PathLike[str]) -> bool:
    """Whether the path's suffix names a format that save_picture writes."""
    return saved_format(path) is not None


def saved_format(path: str | os.PathLike[str]) -> str | None:
    """Pillow's name of the format that save_picture writes under a path, None where it knows none."""
    return _WRITABLE.get(PurePath(path).suffix.lower())


def is_picture_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a picture by its suffix."""
    return PurePath(path).suffix.lower() in _SUFFIXES


def save_picture(
    rgb: Image.Image,
    path: str | os.PathLike[str],
    *,
    like: Photo | None = None,
    made: Mapping[str, object] | None = None,
    keep_metadata: bool = False,
    quality: int = 92,
    source: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a picture whole or not at all, in the format that the path's suffix names.

    Args:
        rgb: sRGB.
        like: the photo that rgb was made from, of the same size. Its alpha goes back on; where the format has
            none the picture goes over white. Its colour profile goes back where the format can hold one: only
            the CHANGE from like.rgb is then carried over to like.original, so that colours outside sRGB
            survive and an unchanged picture comes back exactly.
        made: how the picture was made, to be read by how_made: JSON in a PNG text, in a GIF comment, in the
            EXIF ImageDescription of the others; behind the end of a BMP, which has no room for it and which
            readers follow only as far as its own size. Of Path objects and absolute paths only the last part is
            kept.
        keep_metadata: also write like.exif; without it, no EXIF of the source.
        quality: 1 to 100, of JPEG, WebP and AVIF.
        source: the file that must not be written over.

    Returns:
        The path.

    Raises:
        BadPicture: no known suffix, the path is the source, or it cannot be written; nothing is left behind.
        ValueError: like is of another size.
    """
    path = Path(path)
    format = saved_format(path)
    if format is None:
        raise BadPicture(path.name, f"its name must end with one of {' '.join(_WRITABLE)} to be saved")
    if source is not None and _same_file(path, source):
        raise BadPicture(path.name, "this would write over the source picture; choose another name or folder")
    if like is not None and like.rgb.size != rgb.size:
        raise ValueError(f"a picture of {rgb.size} pixels cannot be saved like one of {like.rgb.size}")

    options = _record(format, made or {}, like.exif if like is not None and keep_metadata else None)
    if format in ("JPEG", "WEBP", "AVIF"):
        options["quality"] = quality
    if format == "JPEG":
        options["subsampling"] = 0
    if format == "AVIF":
        options["subsampling"] = "4:4:4"
    if format == "PNG":
        options["compress_level"] = 4  # a third of the time that Pillow's 6 takes, for files 2 to 5 % larger
    if format == "TIFF" and not keep_metadata:  # Pillow's compressed TIFFs cannot hold the camera's table
        options["compression"] = "tiff_adobe_deflate"

    picture = rgb
    if rgb.mode != "RGB" or rgb.info:  # else no copy: it may be large
        picture = rgb.convert("RGB")
        picture.info.clear()
    if like is not None and like.profile is not None and format not in _WITHOUT_PROFILE:
        picture = _in_own_colours(picture, like)
        options["icc_profile"] = like.profile
    if like is not None and like.alpha is not None:
        picture = _with_alpha(picture, like.alpha, format)
    try:
        with whole_file(path) as file:
            picture.save(file, format, **options)
            if format == "BMP" and made:
                file.seek(0, os.SEEK_END)
                file.write(_BEHIND + json.dumps(_without_folders(made)).encode())
    except (OSError, ValueError, OverflowError, RuntimeError, MemoryError, struct.error) as error:
        raise BadPicture(path.name, _why_unsaved(error, path)) from error
    return path


def _same_file(path: Path, other: str | os.PathLike[str]) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def _in_own_colours(picture: Image.Image, like: Photo) -> Image.Image:
    to_own = _transform(_srgb(), ImageCms.ImageCmsProfile(io.BytesIO(like.profile or b"")), "RGB")
    own = like.original.copy()
    height = max(1, _STRIP_PIXELS // own.width)
    for top in range(0, own.height, height):
        strip = (0, top, own.width, min(top + height, own.height))
        new, old = (to_own.apply(rgb.crop(strip)) for rgb in (picture, like.rgb))
        more, less = ImageChops.subtract(new, old), ImageChops.subtract(old, new)
        # One of the two is 0 in every channel of every pixel, so that only what ends outside 0..255 is clipped.
        own.paste(ImageChops.subtract(ImageChops.add(own.crop(strip), more), less), strip)
    return own


def _with_alpha(picture: Image.Image, alpha: Image.Image, format: str) -> Image.Image:
    if format in _OPAQUE:
        return Image.composite(picture, Image.new("RGB", picture.size, "white"), alpha)
    if format == "GIF":  # there a pixel is seen or not
        alpha = alpha.point(lambda value: 255 * (value >= 128))
    picture = picture.copy()
    picture.putalpha(alpha)
    return picture


def _record(format: str, made: Mapping[str, object], exif: bytes | None) -> dict[str, Any]:
    """The options of Pillow's save that write how a picture was made, and the EXIF to be kept."""
    text = json.dumps(_without_folders(made)) if made else ""
    options: dict[str, Any] = {}
    if format == "PNG":
        options["pnginfo"] = PngInfo()
        if text:
            options["pnginfo"].add_text("Software", _MAKER)
            options["pnginfo"].add_text(_MAKER, text)
    elif format == "GIF":
        options["comment"] = f"{_MAKER} {text}".encode() if text else b""
    elif text and format != "BMP":
        tags = Image.Exif()
        if exif is not None:
            tags.load(exif)
        tags[ExifTags.Base.Software] = _MAKER
        tags[ExifTags.Base.ImageDescription] = text
        exif = tags.tobytes()
    if exif is not None and format not in ("GIF", "BMP"):
        options["exif"] = exif
    return options


def _without_folders(value: object) -> object:
    """As JSON can hold it, with only the last part of every path: where a file lay is nobody's business."""
    if isinstance(value, Mapping):
        return {str(key): _without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
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


def how_made(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What save_picture recorded as made; None where it recorded nothing, and for what is not its work."""
    text: object = None
    with contextlib.suppress(Exception), Image.open(path, formats=_READABLE) as image:
        if image.format == "PNG":  # where getexif would decode the picture
            text = image.info[_MAKER]
        elif image.format == "GIF" and image.info["comment"].startswith(_MAKER.encode()):
            text = image.info["comment"].decode().removeprefix(_MAKER)
        elif image.format == "BMP":
            text = _tail(path).rpartition(_BEHIND)[2].decode()
        elif image.getexif().get(ExifTags.Base.Software) == _MAKER:
            text = image.getexif().get(ExifTags.Base.ImageDescription)
        record = json.loads(cast(str, text))
        return record if isinstance(record, dict) else None
    return None


def _tail(path: str | os.PathLike[str], length: int = 1 << 16) -> bytes:
    with open(path, "rb") as file:
        file.seek(-min(length, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read()


def _why_unsaved(error: Exception, path: Path) -> str:
    if isinstance(error, IsADirectoryError):
        return "it cannot be saved: there is a folder of this name"
    if isinstance(error, FileNotFoundError) and not path.parent.exists():  # /proc is there, and says so too
        return f"it cannot be saved: there is no folder {path.parent.name}"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be saved here ({error.strerror})"
    return f"it cannot be saved as {path.suffix} ({error})"


# --- folders -----------------------------------------------------------------


def list_pictures(folder: str | os.PathLike[str], *, recursive: bool = False) -> list[Path]:
    """The files in a folder that by their suffix are pictures, sorted, without the hidden ones.

    With recursive also those in its folders, without hidden folders and links to folders. A folder that may
    not be read stands in the list itself, so that it is reported when its turn comes to be opened.

    Raises:
        BadPicture: there is no such folder, or it may not be read.
    """
    folder = Path(folder)
    found: list[Path] = []
    refused: dict[Path, OSError] = {}

    def refuse(error: OSError) -> None:
        refused[Path(error.filename)] = error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [sub for sub in folders if recursive and not sub.startswith(".")]
        shown = (Path(place, file) for file in files if not file.startswith("."))
        found += [path for path in shown if is_picture_name(path)]
    if folder in refused:
        reasons = {FileNotFoundError: "there is no such folder", NotADirectoryError: "this is not a folder"}
        raise BadPicture(_name(folder), reasons.get(type(refused[folder]), "this folder may not be read"))
    return sorted([*found, *refused])


class TrainingFile(NamedTuple):
    """A picture to train on: its name in its collection, what changes when its content does, and how to come by it.

    content: a path or a file's bytes; may raise BadPicture, whose name does not matter.
    """

    name: str
    stamp: Sequence[str | int]
    content: Callable[[], Path | bytes]


def read_training_folder(
    folder: str | os.PathLike[str], size: int, *, cache: str | os.PathLike[str] | None = None
) -> tuple[npt.NDArray[np.uint8], list[BadPicture]]:
    """Every picture in a folder and the folders in it, as read_training_files gives them.

    Raises:
        BadPicture: also where there is no such folder.
    """
    return read_training_files(training_files(Path(folder)), size, cache=cache, name=_name(folder))


def training_files(folder: Path) -> list[TrainingFile]:
    """The pictures of a folder and the folders in it, in the order of list_pictures, which says what is raised."""
    files = []
    for path in list_pictures(folder, recursive=True):
        stamp: list[str | int] = []
        with contextlib.suppress(OSError):  # gone, or a link to nowhere
            found = path.stat()
            stamp = [found.st_size, found.st_mtime_ns]
        files.append(TrainingFile(path.relative_to(folder).as_posix(), stamp, partial(Path, path)))
    return files


def read_training_files(
    files: Sequence[TrainingFile], size: int, *, cache: str | os.PathLike[str] | None = None, name: str = "it"
) -> tuple[npt.NDArray[np.uint8], list[BadPicture]]:
    """Pictures to train on: short side resized, the middle cut out as a square.

    Args:
        size: the squares' side in pixels.
        cache: a folder in which the squares are kept, memory-mapped, and found again as long as the files' names
            and stamps are the same. What is written into the array does not reach the disk.
        name: of the collection, for the sentence that it has no picture.

    Returns:
        The squares, uint8 (N, 3, size, size), sRGB, alpha over white, in the order of the files; and the files that
        could not be read.

    Raises:
        BadPicture: no picture can be read, or the cache cannot be written.
    """
    bad: list[BadPicture] = []
    squares = _squares(files, size, bad)
    if cache is None:
        pictures = np.fromiter(squares, np.dtype((np.uint8, (3, size, size)))).view(np.uint8)
    else:
        key = Path(cache) / _digest(files, size)
        pictures, bad = _cached(squares, bad, key, (len(files), 3, size, size))
    if len(pictures) == 0:
        refused = f" ({len(bad)} refused; the first is {bad[0]})" if bad else ""
        raise BadPicture(name, f"it holds no readable picture{refused}")
    return pictures, bad


def _squares(files: Sequence[TrainingFile], size: int, bad: list[BadPicture]) -> Iterator[npt.NDArray[np.uint8]]:
    """The readable pictures as (3, size, size); the others go to bad."""
    for file in files:
        try:
            photo = _read(file.content(), MAX_PIXELS, enough=2 * size)
        except BadPicture as error:
            bad.append(BadPicture(file.name, error.reason))
            continue
        picture = photo.rgb if photo.alpha is None else _with_alpha(photo.rgb, photo.alpha, "JPEG")
        square = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
        yield np.asarray(square).transpose(2, 0, 1)


def _digest(files: Sequence[TrainingFile], size: int) -> str:
    """A name for what the squares depend on."""
    state: list[str | int] = [1, size]  # 1: raise it when the squares come out otherwise
    for file in files:
        state += [file.name, *file.stamp]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:32]


def _cached(
    squares: Iterator[npt.NDArray[np.uint8]], bad: list[BadPicture], key: Path, shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.uint8], list[BadPicture]]:
    """What the files key.npy and key.json hold; without them the squares and what was bad, now kept there.

    shape is that of the squares if none is bad.
    """
    kept, report = key.with_suffix(".npy"), key.with_suffix(".json")
    with contextlib.suppress(OSError, ValueError, TypeError, EOFError):
        known = [BadPicture(name, reason) for name, reason in json.loads(report.read_text(encoding="utf-8"))]
        return np.load(kept, mmap_mode="c"), known
    try:
        key.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(kept) as file:
            _npy_header(file, shape)
            # Not into a memory map: on a full disk that ends the process, where write() raises.
            count = sum(1 for square in squares if file.write(square.tobytes()))
            file.seek(0)
            _npy_header(file, (count, *shape[1:]))  # numpy leaves room in it for any count
        with whole_file(report) as file:
            file.write(json.dumps([[error.name, error.reason] for error in bad]).encode())
    except OSError as error:
        reason = f"the cache of training pictures cannot be written ({error.strerror})"
        raise BadPicture(key.parent.name, reason) from error
    return np.load(kept, mmap_mode="c" if count else None), bad


def _npy_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
