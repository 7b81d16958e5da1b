"""Builds TIFF files of any layout from arrays, byte by byte: what is read must not come from the library under test."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_CODES = {1: "B", 2: "c", 3: "H", 4: "I", 5: "I", 7: "B"}


def tiff(*pages: tuple[NDArray[Any], Mapping[str, Any]], order: Literal["<", ">"] = "<") -> bytes:
    """Pages of (H, W) or (H, W, channels) with settings: planar 1 or 2, compression 1, 8 or 5 by name, photometric,
    rows of a strip, tile side, tags {number: (type, values)}, subs: pages in sub-IFDs."""
    out = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 0))
    link = 4
    for array, settings in pages:
        begin = _page(out, array, settings, order)
        struct.pack_into(order + "I", out, link, begin)
        link = begin + 2 + 12 * struct.unpack_from(order + "H", out, begin)[0]
    return bytes(out)


def _page(out: bytearray, array: NDArray[Any], settings: Mapping[str, Any], order: Literal["<", ">"]) -> int:
    array = array if array.ndim == 3 else array[..., None]
    height, width, channels = array.shape
    planar, compression = settings.get("planar", 1), settings.get("compression", 1)
    rows, tile, predictor = settings.get("rows", height), settings.get("tile", 0), settings.get("predictor", 1)
    planes = [array[..., n : n + 1] for n in range(channels)] if planar == 2 else [array]
    blocks = []
    for plane in planes:
        if tile:
            padded = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)))
            blocks += [
                padded[y : y + tile, x : x + tile] for y in range(0, height, tile) for x in range(0, width, tile)
            ]
        else:
            blocks += [plane[y : y + rows] for y in range(0, height, rows)]
    offsets, counts = [], []
    for block in blocks:
        if predictor == 2:
            block = np.concatenate([block[:, :1], np.diff(block, axis=1)], axis=1).astype(array.dtype)
        content = np.ascontiguousarray(block).astype(array.dtype.newbyteorder(order)).tobytes()
        content = zlib.compress(content) if compression == 8 else content
        offsets.append(len(out))
        counts.append(len(content))
        out += content + bytes(len(content) % 2)
    kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    photometric = settings.get("photometric", 1 if channels < 3 else 2)
    tags: dict[int, tuple[int, Sequence]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [array.dtype.itemsize * 8] * channels),
        259: (3, [compression]),
        262: (3, [photometric]),
        277: (3, [channels]),
        284: (3, [planar]),
        339: (3, [kind] * channels),
    }
    if predictor != 1:
        tags[317] = (3, [predictor])
    if tile:
        tags |= {322: (4, [tile]), 323: (4, [tile]), 324: (4, offsets), 325: (4, counts)}
    else:
        tags |= {273: (4, offsets), 278: (4, [rows]), 279: (4, counts)}
    if subs := settings.get("subs"):
        tags[330] = (4, [_page(out, sub[0], sub[1], order) for sub in subs])
    tags |= settings.get("tags", {})
    begin_blobs = {}
    entries = b""
    for number, (type_, values) in sorted(tags.items()):
        raw = struct.pack(f"{order}{len(values)}{_CODES[type_]}", *values)
        count = len(values) // (2 if type_ == 5 else 1)
        if len(raw) > 4:
            begin_blobs[number] = len(out)
            out += raw + bytes(len(raw) % 2)
            raw = struct.pack(order + "I", begin_blobs[number])
        entries += struct.pack(order + "HHI", number, type_, count) + raw.ljust(4, b"\0")
    begin = len(out)
    out += struct.pack(order + "H", len(tags)) + entries + bytes(4)
    return begin
