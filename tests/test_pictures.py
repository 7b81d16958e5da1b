"""Pictures of every kind in, and out again."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.helpers.image_files import (
    BLUE,
    BOMB,
    GREEN,
    GREY,
    PRIMARIES,
    READABLE,
    RED,
    TABLE,
    UNREADABLE,
    WHITE,
    Kind,
    corner,
    encode,
    exif,
    full_exif,
    hidden_red,
    linear_to_srgb,
    noise,
    png_by_hand,
    rainbow,
    rgb_profile,
    table,
)
from translate.images import formats, training_set
from translate.images.metadata import read_provenance
from translate.images.read import open_image
from translate.images.training_set import list_images, read_training_folder
from translate.images.types import ImageError, LoadedImage, Source
from translate.images.write import save_image

# What Pillow warns of while it reads damaged and huge files; that users never see it has a test of its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

# --- material: profiles and files made by hand ----------------------------------------------------------


def off(image: Image.Image, place: tuple[int, int], colour: tuple[int, ...]) -> int:
    """By how many levels a pixel is not what it should be."""
    return int(np.abs(np.asarray(image)[place[1], place[0]].astype(int) - colour).max())


def equal(one: Image.Image, other: Image.Image) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other))


# --- the table ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", READABLE, ids=lambda kind: kind.id)
def test_readable(kind: Kind) -> None:
    photo = open_image(kind.file())
    assert (photo.rgb.mode, photo.rgb.size, photo.format) == ("RGB", kind.size, kind.format)
    assert photo.rgb.info == {}
    for place, colour in kind.pixels.items():
        assert off(photo.rgb, place, colour) <= kind.within, (place, photo.rgb.getpixel(place))
    assert (photo.alpha is not None) == bool(kind.alpha)
    for place, value in kind.alpha.items():
        assert photo.alpha is not None
        assert photo.alpha.getpixel(place) == value
    assert (photo.profile is not None) == kind.profile
    assert (photo.original is photo.rgb) == (not kind.profile)
    assert photo.original.size == photo.rgb.size
    assert len(photo.notes) == (1 if kind.note else 0), photo.notes
    assert kind.note in "".join(photo.notes)


@pytest.mark.parametrize(("file", "reason"), [case[1:] for case in UNREADABLE], ids=[case[0] for case in UNREADABLE])
def test_unreadable(tmp_path: Path, file: Callable[[], bytes], reason: str) -> None:
    path = tmp_path / "apple.jpg"
    path.write_bytes(file())
    for source in (path, path.read_bytes()):
        with pytest.raises(ImageError) as raised:
            open_image(source)
        assert reason in raised.value.reason
        assert str(raised.value) == f"{'apple.jpg' if source is path else 'picture'}: {raised.value.reason}"
        assert "\n" not in str(raised.value)
        assert str(tmp_path) not in str(raised.value)


DOCUMENT = Path(__file__).parents[1] / "docs" / "pictures.md"


def test_the_document_says_what_becomes_of_every_kind() -> None:
    """python -m tests.test_pictures writes its table."""
    assert table() in DOCUMENT.read_text(encoding="utf-8")
    assert len(READABLE) + len(UNREADABLE) >= 30


def test_whatever_is_damaged_gives_a_photo_or_one_sentence() -> None:
    chance = random.Random(0)
    image = corner()
    seeds = [
        *(encode(image, format, exif=full_exif(6).tobytes()) for format in ("JPEG", "PNG", "WEBP", "AVIF")),
        *(encode(image, format) for format in ("GIF", "BMP", "TIFF")),
    ]
    for seed in seeds:
        for _ in range(40):
            damaged = bytearray(seed)
            for _ in range(chance.choice((1, 3, 20))):
                damaged[chance.randrange(min(len(seed), 300))] = chance.randrange(256)
            try:
                photo = open_image(
                    bytes(damaged[: chance.choice((None, chance.randrange(len(seed))))]), max_pixels=10**6
                )
            except ImageError as bad:
                assert "\n" not in str(bad)
            else:
                assert photo.rgb.mode == "RGB"


# --- in: sources and limits -----------------------------------------------------------------------------


def test_every_kind_of_source_gives_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(corner(), "PNG", exif=exif(Orientation=3)))
    with path.open("rb") as file, Image.open(path) as image:
        file.read()  # a source that has been read once is read from its start
        sources: list[Source] = [
            path,
            str(path),
            path.read_bytes(),
            file,
            io.BytesIO(path.read_bytes()),
            image,
        ]
        photos = [open_image(source) for source in sources]
    assert all(equal(photo.rgb, photos[0].rgb) for photo in photos)
    assert [photo.name for photo in photos] == ["a.png", "a.png", "picture", "a.png", "picture", "a.png"]


def test_a_pillow_picture_is_left_as_it_is() -> None:
    image = hidden_red()
    before = image.tobytes()
    photo = open_image(image)
    photo.rgb.paste(GREY, (0, 0, 30, 10))
    assert (image.mode, image.tobytes(), photo.format, photo.name) == ("RGBA", before, "PNG", "picture")


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "really a png.jpg"
    path.write_bytes(encode(corner(), "PNG"))
    assert open_image(path).format == "PNG"


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"^gone\.jpg: there is no such file$"):
        open_image(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match=r": this is a folder, not a picture$"):
        open_image(tmp_path)
    with pytest.raises(ImageError, match="no pixels"):
        open_image(Image.new("RGB", (0, 5)))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        with pytest.raises(ImageError, match=r"pipe\.jpg: this is not an ordinary file"):
            open_image(tmp_path / "pipe.jpg")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # chmod does not stop the superuser, who may run the tests
    with pytest.raises(ImageError, match="may not be read"):
        open_image(tmp_path / "locked.jpg")


def test_heic_names_the_package_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match="pip install pillow-heif"):
        open_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))


def test_limits() -> None:
    file = encode(corner(), "PNG")
    assert open_image(file, max_pixels=800).rgb.size == (40, 20)
    with pytest.raises(ImageError, match=r"too large; the limit is 0\.0005 megapixels"):
        open_image(file, max_pixels=500)
    with pytest.raises(ImageError, match="too large"):
        open_image(corner(), max_pixels=500)
    # 108 megapixels in a file of a fair size are let in; that nothing is in it is noticed by the decoder.
    with pytest.raises(ImageError) as raised:
        open_image(png_by_hand((12_000, 9_000), 1, 0, b"", extra=bytes(200_000)))
    assert "too large" not in raised.value.reason
    assert "bomb" not in raised.value.reason


@pytest.mark.parametrize(("mode", "format"), [("RGB", "PNG"), ("L", "PNG"), ("RGB", "JPEG")])
def test_blank_pictures_of_30_megapixels_are_no_bombs(mode: str, format: str) -> None:
    assert open_image(encode(Image.new(mode, (6000, 5000), "white"), format)).rgb.size == (6000, 5000)


def test_a_bad_picture_crosses_process_borders() -> None:
    bad = pickle.loads(pickle.dumps(ImageError("a.jpg", "the file is empty")))
    assert (type(bad), bad.name, bad.reason, str(bad)) == (
        ImageError,
        "a.jpg",
        "the file is empty",
        "a.jpg: the file is empty",
    )
    assert isinstance(bad, ValueError)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    folder = Path(__file__).parents[1]
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True)


def test_the_import_is_light() -> None:
    done = run_python("import sys, translate.images.read; print({'torch', 'gradio', 'typer'} & set(sys.modules))")
    assert done.stdout.strip() == "set()"


def test_pillow_says_nothing_over_our_heads(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_by_hand((10_000, 10_000), 1, 0, BOMB))
    (tmp_path / "b.png").write_bytes(encode(corner(), "PNG", exif=b"Exif\0\0II*\0rubbish"))
    code = f"from translate.images.training_set import *; print(read_training_folder({str(tmp_path)!r}, 8)[1])"
    done = run_python(code)
    assert "bomb" in done.stdout
    assert done.stderr == ""


# --- colours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
def test_wide_colours_are_seen_as_the_formulas_say(name: str) -> None:
    photo = open_image(encode(rainbow(), "PNG", icc_profile=rgb_profile(name)))
    linear = (np.asarray(rainbow()) / 255) ** (563 / 256)
    wanted = 255 * linear_to_srgb(linear @ np.array(PRIMARIES[name]).T @ np.linalg.inv(PRIMARIES["sRGB"]).T)
    assert np.abs(np.asarray(photo.rgb) - wanted).max() <= 2
    assert np.abs(np.asarray(photo.rgb).astype(int) - np.asarray(rainbow())).max() > 20  # not so by chance


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_an_unchanged_wide_picture_comes_back_exactly(tmp_path: Path, name: str, suffix: str) -> None:
    photo = open_image(encode(rainbow(), "PNG", icc_profile=rgb_profile(name)))
    with Image.open(save_image(photo.rgb, tmp_path / f"b{suffix}", like=photo)) as back:
        assert equal(back, rainbow())
        assert back.info["icc_profile"] == rgb_profile(name)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_the_profile_goes_with_every_format_that_can_hold_it(tmp_path: Path, suffix: str) -> None:
    photo = open_image(encode(corner(), "PNG", icc_profile=rgb_profile("Display P3")))
    again = open_image(save_image(photo.rgb, tmp_path / f"b{suffix}", like=photo))
    assert again.profile == rgb_profile("Display P3")
    assert off(again.original, (35, 15), BLUE) <= 9


@pytest.mark.parametrize("suffix", [".bmp", ".gif"])
def test_without_a_profile_the_colours_are_srgb(tmp_path: Path, suffix: str) -> None:
    photo = open_image(encode(corner(), "PNG", icc_profile=rgb_profile("Adobe RGB")))
    again = open_image(save_image(photo.rgb, tmp_path / f"b{suffix}", like=photo))
    assert again.profile is None
    assert equal(again.rgb, photo.rgb)


def test_a_change_of_a_wide_picture_is_the_change_that_was_made(tmp_path: Path) -> None:
    photo = open_image(encode(Image.new("RGB", (4, 4), (120, 130, 140)), "PNG", icc_profile=rgb_profile("Display P3")))
    changed = Image.new("RGB", (4, 4), (200, 120, 40))
    again = open_image(save_image(changed, tmp_path / "b.png", like=photo))
    assert np.abs(np.asarray(again.rgb).astype(int) - np.asarray(changed)).max() <= 2


# --- out ------------------------------------------------------------------------------------------------

SUFFIXES = [".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif"]
MADE = {
    "model": "apple2orange",
    "steps": [10, 10],
    "strength": 0.8,
    "seed": 0,
    "note": "Äpfel",
    "none": None,
    "ok": True,
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_saved_and_read_again(tmp_path: Path, suffix: str) -> None:
    path = save_image(corner(), tmp_path / f"b{suffix}", provenance=MADE)
    photo = open_image(path)
    assert photo.rgb.size == (40, 20)
    assert off(photo.rgb, (5, 5), RED) <= 9
    assert read_provenance(path) == MADE
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pictures_of_others_have_no_record(tmp_path: Path, suffix: str) -> None:
    path = save_image(corner(), tmp_path / f"b{suffix}")
    assert read_provenance(path) is None


def test_how_made_of_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encode(corner(), "JPEG", exif=exif(ImageDescription='{"a": 1}', Software="other")))
    (tmp_path / "b.gif").write_bytes(encode(corner(), "GIF", comment=b"\xff no text"))
    (tmp_path / "c.gif").write_bytes(encode(corner(), "GIF", comment=b'{"a": 1}'))
    (tmp_path / "d.png").write_bytes(encode(corner(), "PNG"))
    (tmp_path / "e.png").write_bytes(b"text")
    files = ("a.jpg", "b.gif", "c.gif", "d.png", "e.png", "f.png")
    assert [read_provenance(tmp_path / name) for name in files] == [None] * 6


def test_a_record_names_no_folders(tmp_path: Path) -> None:
    made = {
        "model": tmp_path / "m.safetensors",
        "source": str(tmp_path / "a.jpg"),
        "hub": "owner/name",
        "w": r"C:\me\b.jpg",
        "seed": np.int64(3),
    }
    path = save_image(corner(), tmp_path / "b.png", provenance=made)
    assert read_provenance(path) == {
        "model": "m.safetensors",
        "source": "a.jpg",
        "hub": "owner/name",
        "w": "b.jpg",
        "seed": 3,
    }
    assert tmp_path.name.encode() not in path.read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif", ".tif", ".gif", ".jpg", ".bmp"])
def test_alpha_goes_back_where_it_can(tmp_path: Path, suffix: str) -> None:
    photo = open_image(encode(hidden_red(), "PNG"))
    again = open_image(save_image(photo.rgb, tmp_path / f"b{suffix}", like=photo))
    assert photo.alpha is not None
    if suffix in (".jpg", ".bmp"):
        assert again.alpha is None
        assert off(again.rgb, (15, 5), (127, 191, 127)) <= 5
        assert off(again.rgb, (3, 5), WHITE) <= 2
    else:
        assert again.alpha is not None
        wanted = (0, 255, 255) if suffix == ".gif" else (0, 128, 255)
        assert np.abs(np.asarray(again.alpha)[5, (3, 15, 26)].astype(int) - wanted).max() <= 2
        assert off(again.rgb, (15, 5), GREEN) <= 9


def test_of_exif_only_what_is_asked_for_and_never_the_place(tmp_path: Path) -> None:
    photo = open_image(encode(corner(), "JPEG", exif=full_exif(6)))
    assert photo.exif is not None
    for suffix in (".jpg", ".png", ".webp", ".avif", ".tif"):
        with Image.open(save_image(photo.rgb, tmp_path / f"without{suffix}", like=photo)) as plain:
            assert ExifTags.Base.Make not in plain.getexif()
        path = save_image(photo.rgb, tmp_path / f"with{suffix}", like=photo, keep_metadata=True, provenance=MADE)
        assert b"secret place" not in path.read_bytes()
        assert read_provenance(path) == MADE
        with Image.open(path) as kept:
            tags = kept.getexif()
            assert (tags[ExifTags.Base.Make], tags[ExifTags.Base.Model]) == ("Maker", "Model 1")
            assert tags.get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.ISOSpeedRatings: 400}
            assert not tags.get_ifd(ExifTags.IFD.GPSInfo)
            assert ExifTags.Base.Orientation not in tags
            assert kept.size == (20, 40)


def test_exif_of_a_tiff_is_not_its_layout(tmp_path: Path) -> None:
    photo = open_image(encode(corner(), "TIFF", exif=full_exif().tobytes()))
    path = save_image(photo.rgb, tmp_path / "b.jpg", like=photo, keep_metadata=True)
    with Image.open(path) as kept:
        tags = dict(kept.getexif())
        assert tags.pop(ExifTags.Base.Make) == "Maker"
        assert not {ExifTags.Base.StripOffsets, ExifTags.Base.ImageWidth, ExifTags.Base.BitsPerSample} & set(tags)


def test_the_thumbnail_is_not_kept() -> None:
    # An EXIF block of two tables: Make in the first, the JPEG of a thumbnail in the second.
    first = struct.pack("<HHHI4sI", 1, ExifTags.Base.Make, 2, 4, b"abc\0", 26)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, 9, 0)
    block = b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + second + b"THUMBNAIL"
    photo = open_image(encode(corner(), "JPEG", exif=block))
    assert photo.exif is not None
    assert b"abc" in photo.exif
    assert b"THUMBNAIL" not in photo.exif


def test_what_hangs_on_a_pillow_picture_is_not_saved(tmp_path: Path) -> None:
    data = encode(corner(), "PNG", exif=full_exif(), icc_profile=rgb_profile("Adobe RGB"))
    for suffix in SUFFIXES:
        with Image.open(io.BytesIO(data)) as image, Image.open(save_image(image, tmp_path / f"b{suffix}")) as saved:
            assert "icc_profile" not in saved.info
            assert not {ExifTags.Base.Make, ExifTags.IFD.GPSInfo} & set(saved.getexif())


def test_can_save() -> None:
    assert all(formats.can_save(f"b{suffix}") for suffix in SUFFIXES)
    assert not any(formats.can_save(name) for name in ("b.heic", "b.svg", "b"))


def test_refused_names_and_sizes(tmp_path: Path) -> None:
    for name in ("b.xyz", "b"):
        with pytest.raises(ImageError, match=r"its name must end with one of \.jpg"):
            save_image(corner(), tmp_path / name)
    with pytest.raises(ValueError, match="cannot be saved like"):
        save_image(corner(size=(10, 10)), tmp_path / "b.png", like=open_image(corner()))
    with pytest.raises(ImageError, match=r"b\.webp: WebP has at most 16,383 pixels a side"):
        save_image(Image.new("RGB", (17_000, 1)), tmp_path / "b.webp")
    with pytest.raises(ImageError, match=r"b\.jpg: JPEG has at most 65,500 pixels a side"):
        save_image(Image.new("RGB", (66_000, 1)), tmp_path / "b.jpg")
    assert list(tmp_path.iterdir()) == []


def test_never_over_the_source(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(encode(corner(), "PNG"))
    before = source.read_bytes()
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "sub").mkdir()
    for path in (source, tmp_path / "link.png", tmp_path / "sub" / ".." / "a.png"):
        with pytest.raises(ImageError, match="write over the source"):
            save_image(corner(), path, source=source)
    assert source.read_bytes() == before
    save_image(corner(), tmp_path / "b.png", source=source)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for path, reason in [
        (tmp_path / "file" / "b.png", "Not a directory"),
        (tmp_path / "gone" / "b.png", "there is no folder gone"),
        (tmp_path / "folder.png", "there is a folder of this name"),
        *([(Path("/proc/b.png"), "cannot be saved here")] if Path("/proc").is_dir() else []),
    ]:
        with pytest.raises(ImageError, match=reason) as raised:
            save_image(corner(), path)
        assert str(tmp_path) not in str(raised.value)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "folder.png"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), ImageError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["full disk", "Ctrl-C"],
)
def test_a_failing_save_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException]
) -> None:
    path = save_image(corner(), tmp_path / "b.png")
    before = path.read_bytes()

    def fail(image: Image.Image, file: io.BytesIO, *_: object, **__: object) -> None:
        file.write(b"half a picture")
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(raised, match="No space" if raised is ImageError else None):
        save_image(corner().rotate(90), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["b.png"]


def test_the_picture_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    save = Image.Image.save

    def watch(image: Image.Image, file: io.BytesIO, format: str, **options: object) -> None:
        save(image, file, format, **options)
        seen.append([path.name for path in list_images(tmp_path)])

    monkeypatch.setattr(Image.Image, "save", watch)
    save_image(corner(), tmp_path / "b.png")
    assert seen == [[]]  # while it was written, no picture was to be seen
    assert [path.name for path in list_images(tmp_path)] == ["b.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_results_have_the_usual_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        path = save_image(corner(), tmp_path / "b.png")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


def test_quality_is_quality(tmp_path: Path) -> None:
    sizes = [save_image(noise(), tmp_path / "b.jpg", quality=quality).stat().st_size for quality in (30, 92)]
    assert sizes[0] < sizes[1]


def test_jpeg_keeps_fine_colours(tmp_path: Path) -> None:
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = RED
    stripes[:, 1::2] = BLUE
    photo = open_image(save_image(Image.fromarray(stripes), tmp_path / "b.jpg"))
    assert np.abs(np.asarray(photo.rgb).astype(int) - stripes).mean() < 5  # 89 at half the colour resolution


def test_a_photo_is_what_it_says() -> None:
    photo = open_image(corner())
    assert isinstance(photo, LoadedImage)
    with pytest.raises(AttributeError):
        photo.name = "other"  # type: ignore[misc]


# --- folders --------------------------------------------------------------------------------------------


def test_list_pictures(tmp_path: Path) -> None:
    for name in [
        "b.JPG",
        "a.png",
        "c.txt",
        ".hidden.png",
        "sub/d.heic",
        "sub/deep/e.webp",
        ".thumbs/f.png",
        "folder.png/g.gif",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert names == ["a.png", "b.JPG"]
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(str(tmp_path), recursive=True)]
    assert names == ["a.png", "b.JPG", "folder.png/g.gif", "sub/d.heic", "sub/deep/e.webp"]


def test_folders_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"^gone: there is no such folder$"):
        list_images(tmp_path / "gone")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"^a\.png: this is not a folder$"):
        list_images(tmp_path / "a.png")
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def refuse(path: str | os.PathLike[str]) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [path.name for path in list_images(tmp_path, recursive=True)] == ["a.png", "locked"]
    with pytest.raises(ImageError, match=r"^locked: this folder may not be read$"):
        list_images(tmp_path / "locked")


@pytest.fixture
def training_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "apples"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_bytes(encode(corner(), "PNG"))
    (folder / "b.jpg").write_bytes(encode(Image.new("RGB", (600, 400), GREEN), "JPEG"))
    (folder / "c.jpg").write_bytes(b"text")
    (folder / "readme.txt").write_bytes(b"text")
    (folder / "sub" / "d.png").write_bytes(encode(hidden_red(), "PNG"))
    return folder


def test_training_folder(training_folder: Path) -> None:
    squares, bad = read_training_folder(training_folder, 8)
    assert (squares.dtype.name, squares.shape) == ("uint8", (3, 3, 8, 8))
    assert [str(error) for error in bad] == ["c.jpg: this is not a picture we can read (text file?)"]
    # a.png, 40 x 20: of its middle the left upper quarter is red
    for place, colour in {(1, 1): RED, (6, 1): BLUE, (1, 6): BLUE}.items():
        assert np.abs(squares[0][:, place[0], place[1]].astype(int) - colour).max() <= 5
    assert np.abs(squares[1].astype(int) - np.reshape(GREEN, (3, 1, 1))).max() <= 2
    assert np.abs(squares[2][:, 4, 4].astype(int) - (127, 191, 127)).max() <= 1  # half-clear green over white


def test_training_pictures_of_the_right_size_are_not_touched(tmp_path: Path) -> None:
    picture = rainbow()
    (tmp_path / "a.png").write_bytes(encode(picture, "PNG"))
    squares, _ = read_training_folder(tmp_path, 64)
    assert equal(Image.fromarray(squares[0].transpose(1, 2, 0)), picture)


def test_training_pictures_are_antialiased(tmp_path: Path) -> None:
    lines = np.zeros((256, 256, 3), np.uint8)
    lines[::2] = 255
    (tmp_path / "a.png").write_bytes(encode(Image.fromarray(lines), "PNG"))
    (tmp_path / "b.jpg").write_bytes(encode(Image.fromarray(lines), "JPEG", quality=95))
    squares, _ = read_training_folder(tmp_path, 16)
    assert np.abs(squares.astype(int) - 128).max() <= 3


def test_a_quickly_read_jpeg_is_as_sharp(tmp_path: Path) -> None:
    """JPEGs may be decoded at a half, a quarter or an eighth of their size, but not so that one sees it."""
    blocks = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    picture = Image.fromarray(np.kron(blocks, np.ones((64, 64, 1), np.uint8)))
    (tmp_path / "a.png").write_bytes(encode(picture, "PNG"))
    (tmp_path / "b.jpg").write_bytes(encode(picture, "JPEG", quality=95))
    for size in (24, 96, 100, 384):
        squares, _ = read_training_folder(tmp_path, size)
        assert np.abs(squares[0].astype(int) - squares[1]).mean() < 3


def test_a_training_folder_without_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "apples"
    with pytest.raises(ImageError, match="no such folder"):
        read_training_folder(folder, 8)
    folder.mkdir()
    with pytest.raises(ImageError, match=r"^apples: it holds no readable picture$"):
        read_training_folder(folder, 8)
    (folder / "a.jpg").write_bytes(b"")
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        with pytest.raises(ImageError, match=r"picture \(1 refused; the first is a\.jpg: the file is empty\)$"):
            read_training_folder(folder, 8, cache=cache)


def test_cache(training_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "deep" / "cache"
    plain, plain_bad = read_training_folder(training_folder, 8)
    first, first_bad = read_training_folder(training_folder, 8, cache=cache)
    with monkeypatch.context() as patch:
        patch.setattr(training_set, "read_reduced", lambda *_, **__: pytest.fail("its square is kept, yet it was read"))
        second, second_bad = read_training_folder(training_folder, 8, cache=cache)
    for squares, bad in ((first, first_bad), (second, second_bad)):
        assert np.array_equal(squares, plain)
        assert list(map(str, bad)) == list(map(str, plain_bad))
        assert isinstance(squares, np.memmap)
        assert squares.dtype == np.uint8
    first[:], second[:] = 0, 1  # reaches neither the disk nor each other
    assert np.array_equal(read_training_folder(training_folder, 8, cache=cache)[0], plain)
    assert first.max() == 0
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


def test_the_cache_notices_every_change(training_folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def count() -> int:
        read_training_folder(training_folder, 8, cache=cache)
        return len(list(cache.glob("*.npy")))

    assert (count(), count()) == (1, 1)
    (training_folder / "a.png").rename(training_folder / "z.png")
    assert (count(), count()) == (2, 2)
    os.utime(training_folder / "z.png", (1, 1))
    assert (count(), count()) == (3, 3)
    (training_folder / "c.jpg").unlink()
    assert (count(), count()) == (4, 4)
    read_training_folder(training_folder, 16, cache=cache)
    assert count() == 5


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_damaged_cache_is_made_anew(training_folder: Path, tmp_path: Path, suffix: str) -> None:
    plain, _ = read_training_folder(training_folder, 8, cache=tmp_path / "cache")
    wanted = np.array(plain)
    (kept,) = (tmp_path / "cache").glob(f"*{suffix}")
    for damage in (kept.read_bytes()[:-5], b"", b"rubbish"):
        kept.unlink()
        kept.write_bytes(damage)
        squares, bad = read_training_folder(training_folder, 8, cache=tmp_path / "cache")
        assert np.array_equal(squares, wanted)
        assert len(bad) == 1


def test_a_cache_that_cannot_be_written(training_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="cache of training pictures cannot be written"):
        read_training_folder(training_folder, 8, cache=tmp_path / "file")


def test_an_interrupted_cache_leaves_nothing(
    training_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, calls = training_set.read_reduced, []

    def interrupt(*args: object, **options: object) -> LoadedImage:
        calls.append(args)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return read(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training_set, "read_reduced", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_training_folder(training_folder, 8, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_record_is_json_in_the_open(tmp_path: Path) -> None:
    """Other programs can read it: the names are a promise."""
    with Image.open(save_image(corner(), tmp_path / "b.png", provenance=MADE)) as image:
        assert json.loads(image.info["cf-translate"]) == MADE
        assert image.info["Software"] == "cf-translate"
    with Image.open(save_image(corner(), tmp_path / "b.jpg", provenance=MADE)) as image:
        assert json.loads(image.getexif()[ExifTags.Base.ImageDescription]) == MADE
        assert image.getexif()[ExifTags.Base.Software] == "cf-translate"


if __name__ == "__main__":
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(TABLE)
    DOCUMENT.write_text(before + table() + rest[rest.find("\n\n") + 1 :], encoding="utf-8")
