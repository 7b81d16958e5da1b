"""Modes, alpha and color profiles: any mode to sRGB, and a change in sRGB back into the profile of the source."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageCms

from translate.images.formats import OPAQUE
from translate.images.types import LoadedImage

_STRIP_PIXELS = 1 << 20  # of a large picture, converted at a time


def split_alpha(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
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


def to_srgb(colours: Image.Image, icc: bytes | None, notes: list[str]) -> tuple[Image.Image, bytes | None, Image.Image]:
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
                if space == "CMYK":
                    notes.append("ink colours (CMYK): the result is sRGB")
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


def in_own_colors(picture: Image.Image, like: LoadedImage) -> Image.Image:
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


def with_alpha(picture: Image.Image, alpha: Image.Image, format: str) -> Image.Image:
    if format in OPAQUE:
        return Image.composite(picture, Image.new("RGB", picture.size, "white"), alpha)
    if format == "GIF":  # there a pixel is seen or not
        alpha = alpha.point(lambda value: 255 * (value >= 128))
    picture = picture.copy()
    picture.putalpha(alpha)
    return picture
