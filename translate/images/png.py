"""What Pillow does not make of a PNG: texts of any length, large profiles, and colours told in numbers."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

from translate.images.icc import HDR, SRGB, Points, coded_profile, gamma_curve, rgb_profile, srgb_curve

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_MAX_TEXT = 1 << 20  # bytes of one text, which Pillow takes too; longer ones are left out before it sees them
_MAX_TEXTS = 32 << 20  # of all of them
_MAX_PROFILE = 64 << 20


class Colours(NamedTuple):
    """What a PNG says of its colours.

    icc: an ICC profile, its own or one that does what its numbers say; None where it is sRGB or says nothing. hdr:
    "PQ" or "HLG" where its light goes beyond white.
    """

    icc: bytes | None = None
    hdr: str | None = None


def readable(stream: IO[bytes]) -> tuple[IO[bytes], Colours]:
    """The same PNG for Pillow, without texts that it would refuse the picture for, and what it says of its colours.

    No text has to do with the pixels, and a workflow or a history of edits may have megabytes. Of a damaged file the
    stream itself comes back.
    """
    left_out: list[tuple[int, int]] = []
    texts = 0
    found: dict[bytes, bytes] = {}
    for kind, begin, length in _chunks(stream):
        if kind[0] & 0x20 and length <= _MAX_TEXT and _is_damaged(stream, kind, begin, length):
            left_out.append((begin - 8, begin + length + 4))  # nothing in it is needed for the pixels
        elif kind in _TEXTS:
            size = _text_size(stream, kind, begin, length)
            texts += size
            if size > _MAX_TEXT or texts > _MAX_TEXTS:
                left_out.append((begin - 8, begin + length + 4))
        elif kind in (b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP"):
            stream.seek(begin)
            found.setdefault(kind, stream.read(min(length, _MAX_PROFILE)))
            if kind == b"iCCP" and len(_profile(found[kind])) > _MAX_TEXT:
                left_out.append((begin - 8, begin + length + 4))
    stream.seek(0)
    return (_without(stream, left_out) if left_out else stream), _colours(found)


def _chunks(stream: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and length of the content of each chunk, as far as the file goes."""
    end = stream.seek(0, os.SEEK_END)
    place = len(SIGNATURE)
    while place + 12 <= end:
        stream.seek(place)
        length, kind = struct.unpack(">I4s", stream.read(8))
        yield kind, place + 8, length
        if kind == b"IEND":
            return
        place += 12 + length


def _is_damaged(stream: IO[bytes], kind: bytes, begin: int, length: int) -> bool:
    stream.seek(begin)
    content = stream.read(length + 4)
    return content[length:] != struct.pack(">I", zlib.crc32(kind + content[:length]))


def _text_size(stream: IO[bytes], kind: bytes, begin: int, length: int) -> int:
    """How many bytes a text takes when it is unpacked, or some number above _MAX_TEXT."""
    stream.seek(begin)
    content = stream.read(min(length, 1 << 24))
    _, _, rest = content.partition(b"\0")
    if kind == b"zTXt":
        packed = rest[1:]
    elif kind == b"iTXt" and rest[:1] == b"\1":
        packed = rest[2:].split(b"\0", 2)[-1]
    else:
        return length
    try:
        return len(zlib.decompressobj().decompress(packed, _MAX_TEXT + 1))
    except zlib.error:
        return _MAX_TEXT + 1  # damaged, and nobody needs it


def _without(stream: IO[bytes], parts: list[tuple[int, int]]) -> IO[bytes]:
    copy = io.BytesIO()
    place = 0
    for begin, end in [*parts, (1 << 62, 0)]:
        stream.seek(place)
        while place < begin and (block := stream.read(min(begin - place, 1 << 20))):
            place += copy.write(block)
        place = end
    copy.seek(0)
    return copy


def _colours(found: dict[bytes, bytes]) -> Colours:
    """By the order of the PNG specification, third edition: cICP, iCCP, sRGB, then gAMA and cHRM."""
    try:
        if (code := found.get(b"cICP")) and len(code) == 4:
            return Colours(coded_profile(code[0], code[1]), HDR.get(code[1]))
        if b"iCCP" in found:
            return Colours(_profile(found[b"iCCP"]))
        if b"sRGB" in found:
            return Colours()
        return Colours(_measured(found.get(b"gAMA"), found.get(b"cHRM")))
    except (struct.error, ValueError):
        return Colours()


def _profile(content: bytes) -> bytes:
    """The profile in an iCCP chunk; of a damaged one the chunk, which nobody takes for a profile."""
    try:
        return zlib.decompressobj().decompress(content.partition(b"\0")[2][1:], _MAX_PROFILE)
    except zlib.error:
        return content


def _measured(gamma: bytes | None, chromaticities: bytes | None) -> bytes | None:
    encoded = struct.unpack(">I", gamma)[0] / 100_000 if gamma else 0.0
    points: Points = tuple(n / 100_000 for n in struct.unpack(">8I", chromaticities)) if chromaticities else SRGB
    near = all(abs(a - b) < 0.003 for a, b in zip(points, SRGB, strict=True))
    usual = (
        not encoded or abs(encoded * 2.2 - 1) < 0.05
    )  # as libpng has it; 1 / 2.2 is what most programs write for sRGB
    if near and usual:
        return None
    return rgb_profile(SRGB if near else points, srgb_curve if usual else gamma_curve(1 / encoded))
