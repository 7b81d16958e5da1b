"""TIFFs of all layouts: right pixels or a refusal that says why, never stripes; and never a preview for the picture."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import pytest

from tests.helpers.tiffs import tiff
from translate.images.read import image_size, open_image
from translate.images.types import ImageError

HEIGHT, WIDTH = 24, 40
y, x = np.mgrid[:HEIGHT, :WIDTH]
COLOURS = np.stack([x * 5 + 20, y * 8 + 10, 255 - x * 4], -1).astype(np.uint8)
TYPES: dict[str, Any] = {
    "8 bits": np.uint8,
    "16 bits": np.uint16,
    "32 bits": np.uint32,
    "half": np.float16,
    "float": np.float32,
}


def levels(kind: str, channels: int) -> Any:
    """The colours as numbers of a type, with an opaque alpha behind one or three channels."""
    colours = COLOURS[..., :1] if channels < 3 else COLOURS
    if channels in (2, 4):
        colours = np.concatenate([colours, np.full((HEIGHT, WIDTH, 1), 255, np.uint8)], axis=-1)
    type_: Any = np.dtype(TYPES[kind])
    if type_.kind == "f":
        return (colours / 255).astype(type_)
    return colours.astype(type_) * type_.type(np.iinfo(type_).max // 255)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_layout_has_the_right_pixels(kind: str, channels: int) -> None:
    wanted = COLOURS if channels > 2 else np.repeat(COLOURS[..., :1], 3, -1)
    blocked: list[dict[str, int]] = [{}, {"rows": 7}, {"tile": 16}]
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    layouts = itertools.product((1, 2), (1, 8), blocked, orders, (1, 2))
    for planar, compression, blocks, order, predictor in layouts:
        if (planar == 2 and channels == 1) or (predictor == 2 and (compression == 1 or kind in ("half", "float"))):
            continue
        layout: dict[str, Any] = {"planar": planar, "compression": compression, "predictor": predictor, **blocks}
        if channels in (2, 4):
            layout["tags"] = {338: (3, [2])}
        photo = open_image(tiff((levels(kind, channels), layout), order=order))
        wrong = np.abs(np.asarray(photo.rgb).astype(int) - wanted).max()
        assert wrong <= 1, (layout, order)
        assert (kind == "8 bits") or any("8 bits" in note for note in photo.notes), layout


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "32 bits", "float"])
def test_white_as_nought(kind: str) -> None:
    grey = levels(kind, 1)
    white = 1 if kind == "float" else np.iinfo(np.dtype(grey.dtype)).max
    photo = open_image(tiff((white - grey, {"photometric": 0})))
    found = np.asarray(photo.rgb)[..., 0].astype(int)
    # Of floats nobody knows the white: the brightest pixel is taken for it.
    wanted = COLOURS[..., 0].astype(int) - (COLOURS[..., 0].min() if kind == "float" else 0)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.99
    assert kind == "float" or np.abs(found - wanted).max() <= 1


def test_alpha_of_separate_planes() -> None:
    alpha = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1).astype(np.uint16)
    pixels = np.concatenate([levels("16 bits", 3), alpha], axis=-1)
    photo = open_image(tiff((pixels, {"planar": 2, "tags": {338: (3, [2])}})))
    assert photo.alpha is not None
    np.testing.assert_array_equal(np.asarray(photo.alpha), alpha[..., 0] >> 8)


def test_a_layout_that_nobody_reads_is_refused_by_name() -> None:
    packed = bytearray(tiff((levels("16 bits", 3), {"planar": 2})))
    place = packed.index(bytes([3, 1, 3, 0, 1, 0, 0, 0]))  # compression
    packed[place + 8] = 5  # LZW, of what is none
    with pytest.raises(ImageError) as raised:
        open_image(bytes(packed))
    assert "damaged" in raised.value.reason or "cut short" in raised.value.reason or "layout" in raised.value.reason
    grey = bytearray(tiff((levels("16 bits", 1), {"photometric": 0})))
    place = grey.index(bytes([3, 1, 3, 0, 1, 0, 0, 0]))
    grey[place + 8] = 5
    with pytest.raises(ImageError, match=r"1 channels of 16 bits, white as 0"):
        open_image(bytes(grey))


def test_cut_short() -> None:
    cut = bytearray(tiff((levels("32 bits", 3), {"compression": 8})))
    cut[20:60] = bytes(40)
    with pytest.raises(ImageError, match="damaged or cut short"):
        open_image(bytes(cut))


def test_the_limit_is_asked_before_odd_layouts_are_unpacked() -> None:
    with pytest.raises(ImageError, match="too large"):
        open_image(tiff((levels("16 bits", 3), {"planar": 2})), max_pixels=WIDTH * HEIGHT - 1)


SMALL = COLOURS[::4, ::4]
PREVIEW = {254: (4, [1])}


def test_a_preview_in_front_is_passed_over() -> None:
    photo = open_image(tiff((SMALL, {"tags": PREVIEW}), (COLOURS, {})))
    np.testing.assert_array_equal(np.asarray(photo.rgb), COLOURS)
    assert photo.notes == ("its first page is a preview: page 2 was taken",)
    masked = tiff((COLOURS, {}), (COLOURS[..., :1], {"tags": {254: (4, [4])}}))
    assert open_image(masked).notes == ()


def test_the_old_tag_for_previews(tmp_path: Any) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(tiff((SMALL, {"tags": {255: (3, [2])}}), (COLOURS, {"planar": 2})))
    assert open_image(path).rgb.size == (WIDTH, HEIGHT)
    assert image_size(path) == (WIDTH, HEIGHT)


def test_a_lone_preview_is_told() -> None:
    photo = open_image(tiff((COLOURS, {"tags": PREVIEW})))
    assert photo.notes == ("the file calls itself a preview of another picture: 40 x 24 pixels were taken",)


@pytest.mark.parametrize(
    "raw",
    [
        tiff((SMALL, {"tags": PREVIEW, "subs": [(COLOURS[..., 0], {"photometric": 32803})]})),  # NEF, ARW
        tiff((SMALL, {"subs": [(COLOURS, {})]})),
        tiff((COLOURS, {"tags": {50706: (1, [1, 4, 0, 0])}})),  # DNG
        tiff((COLOURS[..., 0], {"photometric": 32803})),
    ],
)
def test_raw_files_are_refused_as_such(raw: bytes) -> None:
    with pytest.raises(ImageError, match="a camera's raw file"):
        open_image(raw)


def test_reduced_copies_in_sub_directories_are_no_hindrance() -> None:
    photo = open_image(tiff((COLOURS, {"subs": [(SMALL, {"tags": PREVIEW})]})))
    np.testing.assert_array_equal(np.asarray(photo.rgb), COLOURS)
    assert photo.notes == ()


def test_a_circle_of_pages_ends() -> None:
    data = bytearray(tiff((COLOURS, {})))
    begin = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[begin : begin + 2], "little")
    data[begin + 2 + 12 * count : begin + 6 + 12 * count] = begin.to_bytes(4, "little")
    np.testing.assert_array_equal(np.asarray(open_image(bytes(data)).rgb), COLOURS)
