"""What a file is that cannot be read as a picture, told by its first bytes, for the sentence that refuses it."""

from __future__ import annotations

import codecs
import contextlib
from typing import IO

from translate.images.tiff import RAW

HEAD = 512  # bytes that are looked at
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RAWS = (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb", b"\0MRM", b"ARRI")
_BEGINNINGS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"8BPS",), "this is a Photoshop document"),
    ((b"\0\0\1\0", b"\0\0\2\0"), "this is an icon (ICO)"),
    ((b"\xff\x0a", b"\0\0\0\x0cJXL "), "this is a JPEG XL"),
    ((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), "this is a JPEG 2000"),
    ((b"v/1\x01",), "this is an OpenEXR picture"),
    ((b"#?RADIANCE", b"#?RGBE"), "this is a Radiance HDR picture"),
    ((b"qoif",), "this is a QOI picture"),
    ((b"DDS ",), "this is a DirectDraw surface (DDS)"),
    ((b"gimp xcf",), "this is a GIMP picture (XCF)"),
    ((b"SIMPLE  =",), "this is a FITS picture"),
    ((b"P1\n", b"P2\n", b"P3\n", b"P4\n", b"P5\n", b"P6\n", b"P7\n", b"PF\n"), "this is a Netpbm picture"),
    ((b"\xd7\xcd\xc6\x9a", b"\1\0\0\0"), "this is a Windows metafile"),
)
_NO_PICTURES: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"OggS", b"FLV\1"), "a video"),
    ((b"ID3", b"fLaC", b"\xff\xfb"), "a sound"),
    ((b"PK\3\4", b"PK\5\6"), "a zip, or a document that is one"),
    ((b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ"), "an archive"),
    ((b"\xd0\xcf\x11\xe0",), "an Office document"),
    ((b"SQLite format 3",), "a database"),
    ((b"\0\5\x16\7", b"\0\5\x16\0"), "what a Mac keeps beside a file (its name begins with ._)"),
    ((b"\0\0\0\1Bud1",), "a Mac's notes on a folder (.DS_Store)"),
    ((b"\x7fELF", b"MZ"), "a program"),
)
_LISTED = "JPEG, PNG, WebP, AVIF, TIFF, BMP and GIF are"


def is_heic(head: bytes) -> bool:
    brands = head[8:64] if head[4:8] == b"ftyp" else b""
    return any(brand in brands for brand in (b"heic", b"heix", b"heim", b"hevc", b"hevx"))


def camera_raw(head: bytes) -> bool:
    """Whether it is a camera's raw file by its first bytes; DNG, NEF and ARW begin as TIFFs do, see tiff.py."""
    return head.startswith(_RAWS) or head[8:10] == b"CR" or (head[4:8] == b"ftyp" and head[8:12] == b"crx ")


def what_else(head: bytes) -> str:
    """Why a file that no decoder knows is refused."""
    if not head:
        return "the file is empty"
    if not head.strip(b"\0"):
        return "the file holds nothing but zeros, as after a copy that broke off"
    if camera_raw(head):
        return RAW.format("")
    if _is_video(head):
        return "this is a video, not a picture"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "this is a sound, not a picture"
    for beginnings, kind in _NO_PICTURES:
        if head.startswith(beginnings):
            return f"this is {kind}, not a picture"
    for beginnings, kind in _BEGINNINGS:
        if head.startswith(beginnings):
            return f"{kind}, which cannot be read; export it as PNG first"
    if head[128:132] == b"DICM":
        return "this is a DICOM picture, which cannot be read; export it as PNG first"
    if head.startswith(_PICTURES) or head[4:8] == b"ftyp" or head[8:12] == b"WEBP":
        return "the file is damaged: it begins like a picture but cannot be read as one"
    if b"<svg" in head:
        return "SVG drawings cannot be read; export it as PNG first"
    if head.startswith(b"%PDF"):
        return "this is not a picture we can read (PDF?)"
    if head.startswith(b"version https://git-lfs"):
        return "this is a Git LFS pointer and not the picture itself; fetch it with git lfs pull"
    with contextlib.suppress(UnicodeDecodeError):
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last letter may be cut in two
        if "\0" not in text:
            lowered = text.lstrip("\ufeff \r\n\t").lower()
            if lowered.startswith(("<!doctype html", "<html")):
                return "this is a web page and not a picture; perhaps the download failed"
            return "this is not a picture we can read (text file?)"
    return f"this is not a picture we can read; {_LISTED}"


def _is_video(head: bytes) -> bool:
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI "
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return True
    brand = head[8:12]
    return head[4:8] == b"ftyp" and (
        brand.startswith((b"qt", b"mp4", b"iso", b"M4V", b"3gp", b"3g2", b"avc1", b"dash", b"F4V", b"MSNV"))
        and b"avif" not in head[8:64]
    )


def odd_jpeg(stream: IO[bytes]) -> str | None:
    """Why a JPEG of a kind that no ordinary decoder reads is refused; None for the others, and for damaged ones."""
    stream.seek(2)
    while len(segment := stream.read(4)) == 4 and segment[0] == 0xFF:
        kind, length = segment[1], int.from_bytes(segment[2:], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            bits = stream.read(1)
            if kind in (0xC3, 0xC7, 0xCB, 0xCF):
                return "this is a lossless JPEG, which cannot be read; save it as PNG or TIFF"
            if bits and bits[0] != 8:
                return f"this is a JPEG of {bits[0]} bits, which cannot be read; save it with 8 bits"
            return None
        stream.seek(length - 2, 1)
    return None
