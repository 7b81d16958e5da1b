"""Colour profiles for pictures that say in numbers what their colours are: by PNG's gAMA, cHRM and cICP, AVIF's nclx.

ITU-T H.273 numbers primaries and transfer functions; ICC.1:2001-04 says how a profile with a matrix is laid out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Curve = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
Points = tuple[float, float, float, float, float, float, float, float]  # x, y of white, red, green, blue

_D65 = (0.3127, 0.3290)
SRGB: Points = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE: Points = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_GAMMA = 563 / 256
_PRIMARIES: dict[int, Points] = {
    1: SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])
_ENTRIES = 1024  # of the table of a curve


def gamma_curve(gamma: float) -> Curve:
    """Light is the value to the power of gamma."""
    return lambda value: value**gamma


def srgb_curve(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """IEC 61966-2-1."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


_TRANSFERS: dict[int, Curve] = {
    **dict.fromkeys((1, 6, 14, 15), srgb_curve),  # BT.709's number, on pictures that everybody shows with sRGB's curve
    4: gamma_curve(2.2),
    5: gamma_curve(2.8),
    8: gamma_curve(1.0),
    13: srgb_curve,
}
HDR = {16: "PQ", 18: "HLG"}  # transfers whose light goes beyond the white of a screen


def coded_profile(primaries: int, transfer: int) -> bytes | None:
    """The profile of a pair of code points; None for sRGB itself, and where one of them is unspecified or unknown.

    The curve of HDR pictures is taken for sRGB's: only their primaries are looked at.
    """
    points = _PRIMARIES.get(primaries)
    curve = srgb_curve if transfer in HDR else _TRANSFERS.get(transfer)
    if points is None or curve is None or (points == SRGB and curve is srgb_curve):
        return None
    return rgb_profile(points, curve)


def rgb_profile(points: Points, curve: Curve) -> bytes:
    """An RGB profile of version 2: a matrix, adapted to D50 after Bradford, and one curve for all three channels.

    points: x, y of white, red, green and blue, 0..1. Raises ValueError for points that span no colours.
    """
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in _pairs(points))
    matrix = np.stack(primaries, axis=1)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
        raise ValueError("these primaries span no colours")
    matrix = matrix * np.linalg.solve(matrix, white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white)) @ _BRADFORD @ matrix
    levels = (curve(np.linspace(0, 1, _ENTRIES)).clip(0, 1) * 65535).round().astype(">u2")
    text = b"RGB\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67),
        b"cprt": b"text\0\0\0\0" + b"public domain\0",
        b"wtpt": _xyz(_D50),
        b"rXYZ": _xyz(adapted[:, 0]),
        b"gXYZ": _xyz(adapted[:, 1]),
        b"bXYZ": _xyz(adapted[:, 2]),
        b"rTRC": b"curv\0\0\0\0" + struct.pack(">I", _ENTRIES) + levels.tobytes(),
    }
    return _laid_out(tags, {b"gTRC": b"rTRC", b"bTRC": b"rTRC"})


def _pairs(points: Points) -> list[tuple[float, float]]:
    pairs = [(points[n], points[n + 1]) for n in range(0, 8, 2)]
    if any(y <= 0 for _, y in pairs):
        raise ValueError("these primaries span no colours")
    return pairs


def _xyz(value: npt.NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(part * 65536) for part in value.tolist()))


def _laid_out(tags: dict[bytes, bytes], shared: dict[bytes, bytes]) -> bytes:
    """The tags behind a header. shared: further names of tags that are there."""
    begin = 128 + 4 + 12 * (len(tags) + len(shared))
    places: dict[bytes, tuple[int, int]] = {}
    body = b""
    for name, content in tags.items():
        places[name] = begin + len(body), len(content)
        body += content + bytes(-len(content) % 4)
    places |= {name: places[other] for name, other in shared.items()}
    table = struct.pack(">I", len(places))
    table += b"".join(name + struct.pack(">2I", *place) for name, place in places.items())
    header = struct.pack(">I4x", begin + len(body)) + bytes([2, 0x10, 0, 0]) + b"mntrRGB XYZ "
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(_D50)[8:] + bytes(48)
    return header + table + body
