"""What each format keeps of a photo. The table in docs/pictures.md is made here: python -m tests.test_kept."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.test_png import with_chunks
from translate.images.limits import check_savable, dropped
from translate.images.metadata import read_provenance
from translate.images.read import open_image
from translate.images.types import ImageError, LoadedImage
from translate.images.write import save_image

DOCUMENT = Path(__file__).parent.parent / "docs" / "pictures.md"
FORMATS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WebP": ".webp",
    "AVIF": ".avif",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
}
PIXELS = np.random.default_rng(1).integers(0, 256, (24, 32, 3)).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)
MADE = {"model": "m", "digest": "d", "seed": 3}


def encoded(picture: Image.Image = PICTURE, format: str = "PNG", **options: object) -> LoadedImage:
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return open_image(stream.getvalue())


def with_alpha(values: tuple[int, ...]) -> LoadedImage:
    picture = PICTURE.copy()
    picture.putalpha(Image.fromarray(np.resize(np.array(values, np.uint8), (24, 32))))
    return encoded(picture)


def exif(length: int) -> bytes:
    tags = Image.Exif()
    tags[ExifTags.Base.Make] = "Camera"
    tags[ExifTags.Base.Artist] = "A" * length
    return tags.tobytes()


def p3() -> bytes:
    from translate.images.icc import coded_profile

    return coded_profile(12, 13) or b""


ROWS: dict[str, tuple[Callable[[], LoadedImage], Callable[[LoadedImage, LoadedImage], bool]]] = {
    "colour profile (ICC)": (lambda: encoded(icc_profile=p3()), lambda a, b: a.profile == b.profile),
    "colours in numbers (gAMA, cHRM, cICP of PNG)": (
        lambda: open_image(with_chunks((b"cICP", bytes([12, 13, 0, 1])))),
        lambda a, b: a.profile == b.profile,
    ),
    "resolution (dpi)": (
        lambda: encoded(dpi=(300, 150)),
        lambda a, b: b.dpi is not None and np.allclose(a.dpi or (), b.dpi, atol=0.6),
    ),
    "transparency": (
        lambda: with_alpha((0, 255)),
        lambda a, b: b.alpha is not None and np.array_equal(np.asarray(a.alpha), np.asarray(b.alpha)),
    ),
    "half transparency": (
        lambda: with_alpha((0, 100, 255)),
        lambda a, b: b.alpha is not None and np.array_equal(np.asarray(a.alpha), np.asarray(b.alpha)),
    ),
    "EXIF, with `--keep-metadata`": (lambda: encoded(exif=exif(10)), lambda a, b: has_artist(b, 10)),
    "EXIF of 65 kB, with `--keep-metadata`": (lambda: encoded(exif=exif(65_000)), lambda a, b: has_artist(b, 65_000)),
    "more than 256 colours": (encoded, lambda a, b: len(b.rgb.getcolors(1 << 20) or ()) > 256),
}
OWN = {"how it was made": lambda path: read_provenance(path) == MADE}


def has_artist(photo: LoadedImage, length: int) -> bool:
    tags = Image.Exif()
    tags.load(photo.exif or b"")
    return len(str(tags.get(ExifTags.Base.Artist, ""))) == length


def cell(row: str, format: str, folder: Path) -> str:
    """kept, or how it is told that it is not; what is lost without a word is an error."""
    make, same = ROWS[row]
    photo = make()
    path = folder / f"result{FORMATS[format]}"
    keep = "EXIF" in row
    save_image(photo.rgb, path, like=photo, provenance=MADE, keep_metadata=keep)
    notes = [
        note for note in dropped(photo, path, keep_metadata=keep) if note != "GIF holds 256 colours" or "256" in row
    ]
    kept = same(photo, open_image(path))
    assert kept != bool(notes), (row, format, notes)
    return "kept" if kept else f"note: “{notes[0]}”"


def table(folder: Path) -> str:
    lines = [f"| | {' | '.join(FORMATS)} |", f"| --- |{' --- |' * len(FORMATS)}"]
    for row in ROWS:
        lines.append(f"| {row} | {' | '.join(cell(row, format, folder) for format in FORMATS)} |")
    for row, same in OWN.items():
        cells = []
        for suffix in FORMATS.values():
            save_image(PICTURE, folder / f"own{suffix}", provenance=MADE)
            cells.append("kept" if same(folder / f"own{suffix}") else "lost")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    lines.append(f"| longest side in pixels | {' | '.join(map(longest, FORMATS))} |")
    return "\n".join(lines) + "\n"


def longest(format: str) -> str:
    """By trying: the last side at which a picture may be saved."""
    low, high = 1, 1 << 20
    while low < high:
        middle = (low + high + 1) // 2
        try:
            check_savable(f"a{FORMATS[format]}", (middle, 3))
            low = middle
        except ImageError:
            high = middle - 1
    return "any" if low == 1 << 20 else f"{low:,}"


def test_the_document_says_what_each_format_keeps(tmp_path: Path) -> None:
    assert table(tmp_path) in DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("format", ["JPEG", "WebP", "GIF", "AVIF"])
def test_the_longest_side_can_be_saved_and_read(format: str, tmp_path: Path) -> None:
    side = int(longest(format).replace(",", ""))
    path = tmp_path / f"long{FORMATS[format]}"
    assert open_image(save_image(Image.new("RGB", (side, 3)), path)).rgb.size == (side, 3)
    with pytest.raises(ImageError, match=r"at most .* pixels a side, this picture .*; save it as \.png"):
        save_image(Image.new("RGB", (3, side + 1)), path)


def test_resolutions_in_all_ways_of_telling(tmp_path: Path) -> None:
    exif_dpi = Image.Exif()
    exif_dpi.update(
        {ExifTags.Base.XResolution: 240.0, ExifTags.Base.YResolution: 120.0, ExifTags.Base.ResolutionUnit: 2}
    )
    for format in ("WEBP", "AVIF", "JPEG"):
        assert encoded(format=format, exif=exif_dpi).dpi == (240, 120)
    for format in ("JPEG", "TIFF", "BMP"):
        assert encoded(format=format, dpi=(240, 120)).dpi == pytest.approx((240, 120), abs=0.1)
    for format in ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF"):
        assert encoded(format=format).dpi is None, "nobody said any"
    exif_dpi[ExifTags.Base.Orientation] = 6
    assert encoded(format="JPEG", exif=exif_dpi).dpi == (120, 240), "turned with the picture"
    centimetres = tmp_path / "cm.tif"
    PICTURE.save(centimetres, resolution_unit="cm", x_resolution=118.11, y_resolution=118.11)
    assert open_image(centimetres).dpi == pytest.approx((300, 300), abs=0.1)


def test_lossless_webp_stays_so(tmp_path: Path) -> None:
    for alpha in (False, True):
        picture = PICTURE.copy()
        if alpha:
            picture.putalpha(200)
        photo = encoded(picture, "WEBP", lossless=True, exif=exif(3))
        assert photo.lossless
        again = open_image(save_image(photo.rgb, tmp_path / "same.webp", like=photo))
        assert again.lossless
        np.testing.assert_array_equal(np.asarray(again.rgb), PIXELS)
    assert not encoded(format="WEBP", quality=80).lossless
    assert not encoded().lossless


def test_a_png_named_jpg(tmp_path: Path) -> None:
    path = tmp_path / "logo.jpg"
    picture = PICTURE.copy()
    picture.putalpha(128)
    picture.save(path, "PNG")
    notes = dropped(open_image(path), path)
    assert notes == (
        "this is a PNG with the name of a JPEG; the result is a JPEG, as its name says",
        "JPEG holds no transparency: the picture is put on white",
    )


def test_adobe_rgb_of_cameras(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[ExifTags.IFD.Exif] = {ExifTags.Base.ColorSpace: 0xFFFF, ExifTags.IFD.Interop: {1: "R03"}}
    photo = encoded(Image.new("RGB", (8, 8), (200, 100, 50)), "JPEG", exif=tags, quality=100)
    assert photo.profile is not None
    seen = np.array(photo.rgb.getpixel((0, 0)))
    assert np.abs(seen - (227, 100, 42)).max() <= 2, "by the published matrix of Adobe RGB (1998)"
    tags[ExifTags.IFD.Exif] = {ExifTags.Base.ColorSpace: 1}
    assert encoded(format="JPEG", exif=tags).profile is None


def test_gain_maps_are_told() -> None:
    xmp = b'<x:xmpmeta xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    assert any("gain map" in note for note in encoded(format="JPEG", xmp=xmp).notes)
    stream = io.BytesIO()
    PICTURE.save(stream, "MPO", save_all=True, append_images=[PICTURE.resize((8, 8))])
    assert open_image(stream.getvalue()).notes == ()
    assert any("gain map" in note for note in open_image(stream.getvalue() + b"hdrgainmap").notes)


def test_avif_that_tells_its_colours_in_numbers() -> None:
    stream = io.BytesIO()
    PICTURE.save(stream, "AVIF", quality=90)
    data = bytearray(stream.getvalue())
    place = data.index(b"colrnclx") + 8
    struct.pack_into(">2H", data, place, 12, 13)
    assert open_image(bytes(data)).profile is not None
    struct.pack_into(">2H", data, place, 9, 16)
    assert any("PQ" in note for note in open_image(bytes(data)).notes)
    assert open_image(stream.getvalue()).notes == ()


def test_ink_is_told() -> None:
    assert any("sRGB" in note or "guess" in note for note in encoded(PICTURE.convert("CMYK"), "JPEG").notes)


def test_xmp_and_iptc_are_told_of_where_metadata_is_asked_for(tmp_path: Path) -> None:
    photo = encoded(format="JPEG", xmp=b"<x:xmpmeta/>")
    assert dropped(photo, "a.jpg") == ()
    assert dropped(photo, "a.jpg", keep_metadata=True) == ("of the metadata only EXIF is kept, XMP and IPTC are not",)


def test_large_entries_go_first(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[ExifTags.Base.Make] = "Camera"
    tags[ExifTags.IFD.Exif] = {ExifTags.Base.UserComment: b"c" * 65_000, ExifTags.Base.ISOSpeedRatings: 400}
    photo = encoded(exif=tags.tobytes())
    path = save_image(photo.rgb, tmp_path / "a.jpg", like=photo, provenance=MADE, keep_metadata=True)
    kept = Image.open(path).getexif()
    assert kept[ExifTags.Base.Make] == "Camera"
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 400
    assert read_provenance(path) == MADE


def test_a_profile_that_no_jpeg_can_hold(tmp_path: Path) -> None:
    profile = p3().ljust(17_000_000, b"\0")
    photo = encoded(icc_profile=profile)
    assert photo.profile is not None
    path = save_image(photo.rgb, tmp_path / "a.jpg", like=photo)
    assert Image.open(path).info.get("icc_profile") is None
    assert dropped(photo, path) == ("JPEG has no room for the colour profile: the colours become sRGB",)
    assert np.abs(np.asarray(open_image(path).rgb).astype(int) - np.asarray(photo.rgb)).mean() < 6


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        print(table(Path(place)), end="")
