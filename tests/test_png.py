"""PNGs whose texts, profiles and colours Pillow does not make anything of."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from translate.images.read import image_size, is_complete, open_image
from translate.images.write import save_image

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)
LINEAR = struct.pack(">I", 100_000)
P3_D65 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB_POINTS = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def png(info: PngInfo | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    PICTURE.save(stream, "PNG", pnginfo=info, **options)
    return stream.getvalue()


def with_chunks(*chunks: tuple[bytes, bytes], behind: bool = False) -> bytes:
    """A PNG with further chunks before its pixels, or behind them."""
    plain = png()
    place = len(plain) - 12 if behind else 33
    made = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return plain[:place] + made + plain[place:]


def test_long_texts_are_no_damage(tmp_path: Path) -> None:
    packed, plain, many = PngInfo(), PngInfo(), PngInfo()
    packed.add_text("workflow", "x" * 3_000_000, zip=True)
    plain.add_itxt("prompt", "ä" * 3_000_000)
    for number in range(80):
        many.add_text(f"key{number}", "y" * 900_000)
    for number, info in enumerate((packed, plain, many)):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png(info))
        np.testing.assert_array_equal(np.asarray(open_image(path).rgb), PIXELS)
        assert image_size(path) == PICTURE.size
        assert is_complete(path)


def test_long_texts_behind_the_pixels() -> None:
    content = b"Comment\0\0" + zlib.compress(b"x" * 5_000_000)
    np.testing.assert_array_equal(np.asarray(open_image(with_chunks((b"zTXt", content), behind=True)).rgb), PIXELS)
    broken = with_chunks((b"zTXt", b"Comment\0\0no zlib"))
    np.testing.assert_array_equal(np.asarray(open_image(broken).rgb), PIXELS)


def test_a_text_that_would_fill_the_memory_is_not_unpacked() -> None:
    bomb = zlib.compressobj(9)
    content = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(512)) + bomb.flush()
    np.testing.assert_array_equal(np.asarray(open_image(with_chunks((b"zTXt", b"a\0\0" + content))).rgb), PIXELS)


def test_a_large_profile(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    large = profile.ljust(2_000_000, b"\0")
    photo = open_image(png(icc_profile=large))
    assert photo.notes == ()
    np.testing.assert_array_equal(np.asarray(photo.rgb), PIXELS)


def test_turned_by_what_stands_behind_a_long_text(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    info = PngInfo()
    info.add_text("workflow", "x" * 3_000_000, zip=True)
    assert open_image(png(info, exif=exif)).rgb.size == (12, 16)


@pytest.mark.parametrize(
    ("chunks", "wanted"),
    [
        ([(b"gAMA", LINEAR)], 188),  # a linear half is sRGB's 188
        ([(b"cICP", bytes([1, 8, 0, 1]))], 188),
        ([(b"gAMA", struct.pack(">I", 45455))], 128),  # what most programs write for sRGB
        ([(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", SRGB_POINTS)], 128),
        ([(b"sRGB", b"\0"), (b"gAMA", LINEAR)], 128),  # sRGB goes before gAMA
        ([(b"cICP", bytes([1, 13, 0, 1])), (b"gAMA", LINEAR)], 128),  # and cICP before all
        ([(b"cICP", bytes([2, 2, 0, 1]))], 128),  # unspecified
        ([(b"cHRM", bytes(32)), (b"gAMA", LINEAR)], 128),  # points that span nothing
    ],
)
def test_grey_by_its_numbers(chunks: list[tuple[bytes, bytes]], wanted: int) -> None:
    data = with_chunks(*chunks)
    half = io.BytesIO()
    Image.new("RGB", (4, 4), (128, 128, 128)).save(half, "PNG")
    plain = half.getvalue()
    data = plain[:33] + data[33 : 33 + len(data) - len(png())] + plain[33:]
    assert abs(int(np.asarray(open_image(data).rgb)[0, 0, 0]) - wanted) <= 1


@pytest.mark.parametrize("chunk", [(b"cHRM", P3_D65), (b"cICP", bytes([12, 13, 0, 1]))])
def test_wide_colours_stay_what_they_are(chunk: tuple[bytes, bytes], tmp_path: Path) -> None:
    photo = open_image(with_chunks(chunk))
    assert photo.profile is not None
    assert np.abs(np.asarray(photo.rgb).astype(int) - PIXELS).max() > 20, "sRGB is another picture"
    path = save_image(photo.rgb, tmp_path / "same.png", like=photo)
    again = open_image(path)
    np.testing.assert_array_equal(np.asarray(again.original), PIXELS)
    np.testing.assert_array_equal(np.asarray(again.rgb), np.asarray(photo.rgb))


def test_hdr_is_told() -> None:
    for code, name in ((16, "PQ"), (18, "HLG")):
        photo = open_image(with_chunks((b"cICP", bytes([9, code, 0, 1]))))
        assert any(name in note for note in photo.notes)


def test_sixteen_bits_of_colour_are_told() -> None:
    header = struct.pack(">2I5B", 2, 1, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + bytes(range(12)))), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    assert open_image(data).notes == ("16 bits a channel: read at 8 bits",)
