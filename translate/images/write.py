"""Write picture files, whole or not at all, with the color profile, the alpha and the provenance they should have."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from models.atomic import whole_file
from translate.images.color import in_own_colors, with_alpha
from translate.images.formats import saved_format
from translate.images.limits import check_savable, fitting_exif, takes_profile
from translate.images.metadata import BMP_MARK, record_options, without_folders
from translate.images.types import ImageError, LoadedImage


def save_image(
    rgb: Image.Image,
    path: str | os.PathLike[str],
    *,
    like: LoadedImage | None = None,
    provenance: Mapping[str, object] | None = None,
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
            survive and an unchanged picture comes back exactly. Its resolution stays, and a WebP without loss
            stays without. limits.dropped says what else is lost.
        provenance: how the picture was made, to be read by read_provenance: JSON in a PNG text, in a GIF comment, in
            the EXIF ImageDescription of the others; behind the end of a BMP, which has no room for it and which readers
            follow only as far as its own size. Of Path objects and absolute paths only the last part is kept.
        keep_metadata: also write like.exif, as much of it as the format has room for; without it, no EXIF of the
            source.
        quality: 1 to 100, of JPEG, WebP and AVIF.
        source: the file that must not be written over.

    Returns:
        The path.

    Raises:
        ImageError: no known suffix, the path is the source, or it cannot be written; nothing is left behind.
        ValueError: like is of another size.
    """
    path = Path(path)
    check_savable(path, rgb.size)
    format = saved_format(path) or ""
    if source is not None and _same_file(path, source):
        raise ImageError(path.name, "this would write over the source picture; choose another name or folder")
    if like is not None and like.rgb.size != rgb.size:
        raise ValueError(f"a picture of {rgb.size} pixels cannot be saved like one of {like.rgb.size}")

    exif = fitting_exif(like.exif, format) if like is not None and like.exif is not None and keep_metadata else None
    options = record_options(format, provenance or {}, exif, like.dpi if like is not None else None)
    if format in ("JPEG", "WEBP", "AVIF"):
        options["quality"] = quality
    if format == "WEBP" and like is not None and like.format == "WEBP" and like.lossless:
        options |= {"lossless": True, "quality": 80}  # which is the effort here
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
    if like is not None and takes_profile(format, like.profile):
        picture = in_own_colors(picture, like)
        options["icc_profile"] = like.profile
    if like is not None and like.alpha is not None:
        picture = with_alpha(picture, like.alpha, format)
    try:
        with whole_file(path) as file:
            picture.save(file, format, **options)
            if format == "BMP" and provenance:
                file.seek(0, os.SEEK_END)
                file.write(BMP_MARK + json.dumps(without_folders(provenance)).encode())
    except (OSError, ValueError, OverflowError, RuntimeError, MemoryError, struct.error) as error:
        raise ImageError(path.name, _why_unsaved(error, path)) from error
    return path


def make_folder(target: Path) -> None:
    """Make the folder of a file that is about to be written. Raises ImageError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ImageError(target.name, f"it cannot be saved: {target.parent.name} is a file, not a folder") from error
    except OSError as error:
        raise ImageError(target.name, f"the folder {target.parent.name} cannot be made ({error.strerror})") from error


def _same_file(path: Path, other: str | os.PathLike[str]) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def _why_unsaved(error: Exception, path: Path) -> str:
    if isinstance(error, IsADirectoryError):
        return "it cannot be saved: there is a folder of this name"
    if isinstance(error, FileNotFoundError) and not path.parent.exists():  # /proc is there, and says so too
        return f"it cannot be saved: there is no folder {path.parent.name}"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be saved here ({error.strerror})"
    return f"it cannot be saved as {path.suffix} ({error})"
