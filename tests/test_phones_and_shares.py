"""What phones, scanners, cameras, network shares and Windows make of pictures; each after public reports."""

from __future__ import annotations

import errno
import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.atomic import write_whole
from tests.helpers.tiffs import tiff
from tests.test_png import with_chunks
from translate.folders.naming import Output, result_path
from translate.folders.plan import make_plan
from translate.images.read import is_complete, open_image
from translate.images.training_set import list_images, read_training_files
from translate.images.types import ImageError
from translate.training.datasets import open_dataset
from translate.web.results import pack, safe_name

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(5000)


def encoded(format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    PICTURE.save(stream, format, **options)
    return stream.getvalue()


JPEG = encoded("JPEG", quality=95)


@pytest.mark.parametrize(
    "data",
    [
        JPEG[:-2] + VIDEO,  # a phone's panorama: no end, but a film behind it
        JPEG + VIDEO,  # a motion photo
        encoded("MPO", save_all=True, append_images=[PICTURE])[:-300],  # the second picture cut by an upload
        encoded("PNG") + bytes(4000),  # what an editor for screenshots left of the larger picture before
        with_chunks((b"tIME", b"abcd"))[:41] + b"x" + with_chunks((b"tIME", b"abcd"))[42:],  # a wrong sum nobody needs
        encoded("WEBP") + b"trailer",
        encoded("GIF")[:-1],
    ],
)
def test_whole_pictures_with_something_odd_around_them(data: bytes, tmp_path: Path) -> None:
    assert open_image(data).rgb.size in (PICTURE.size, (16, 12))
    (tmp_path / "a").write_bytes(data)
    assert is_complete(tmp_path / "a")


def test_a_turn_that_only_xmp_tells() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    xmp += b'<r:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></r:RDF></x:xmpmeta>'
    assert open_image(encoded("JPEG", xmp=xmp)).rgb.size == (24, 32)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (JPEG.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c", 1), "a JPEG of 12 bits"),
        (JPEG.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc3\0\x11\x08", 1), "a lossless JPEG"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(60), "what a Mac keeps beside a file"),
        (JPEG[: len(JPEG) // 2], "cut short"),
    ],
)
def test_sentences(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        open_image(data)


def test_a_page_of_a_scanner_is_no_preview() -> None:
    """Multi-function devices mark each page of a document with the bit for that."""
    photo = open_image(tiff((PIXELS, {"tags": {254: (4, [2])}}), (PIXELS, {"tags": {254: (4, [2])}})))
    assert photo.notes == ("several pages: the first of 2 pages was taken",)


def test_a_scan_in_centimetres_and_a_bitmap_from_the_top() -> None:
    photo = open_image(tiff((PIXELS, {"tags": {282: (5, [118, 1]), 283: (5, [118, 1]), 296: (3, [3])}})))
    assert photo.dpi == pytest.approx((299.72, 299.72))
    data = encoded("BMP")
    pixels = np.asarray(open_image(data[:22] + struct.pack("<i", -24) + data[26:]).rgb)
    np.testing.assert_array_equal(pixels, PIXELS[::-1])


def test_folders_that_systems_keep_for_themselves(tmp_path: Path) -> None:
    for folder in ("2024", "@eaDir/IMG_1.jpg", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "SYNOPHOTO_THUMB_M.jpg").write_bytes(JPEG)
    (tmp_path / "._IMG_1.jpg").write_bytes(b"\0\5\x16\7")
    assert [item.name for item in make_plan(tmp_path, tmp_path / "out").items] == ["2024/SYNOPHOTO_THUMB_M.jpg"]
    assert list_images(tmp_path, recursive=True) == [tmp_path / "2024" / "SYNOPHOTO_THUMB_M.jpg"]


def test_a_zip_with_the_slashes_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "pair.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("trainA/a.jpg"), JPEG)
        archive.writestr(zipfile.ZipInfo("trainB/b.jpg"), JPEG)
    path.write_bytes(path.read_bytes().replace(b"trainA/", b"trainA\\").replace(b"trainB/", b"trainB\\"))
    pictures, bad = read_training_files(open_dataset(path / "trainA").files, 16)
    assert len(pictures) == 1 and not bad


def test_a_machine_without_a_clock_packs_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    os.utime(tmp_path / "a.jpg", (0, 0))
    with zipfile.ZipFile(pack([tmp_path / "a.jpg"], tmp_path / "all.zip")) as archive:
        assert archive.namelist() == ["01-a.jpg"]


@pytest.mark.parametrize(("number", "fails"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_mounts_that_cannot_bring_to_the_disk(
    number: int, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(file: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    if fails:
        with pytest.raises(OSError):
            write_whole(tmp_path / "a", b"x")
        assert list(tmp_path.iterdir()) == []
    else:
        write_whole(tmp_path / "a", b"x")
        assert (tmp_path / "a").read_bytes() == b"x"


def test_names_of_windows_and_cameras() -> None:
    for name in ("st.tms[0].png", "xxx .jpg", "F.O.O..jpg", "100%.JPG", "été.jpeg", "a;b&c.webp"):
        path = Path("in") / name
        assert result_path(path, None, "m") == Path("in") / f"{path.stem}-m{path.suffix}"
        assert result_path(path, Output.of("out/"), "m") == Path("out") / name
    assert Output.of("R.I.P./").is_folder and Output.of("..").is_folder and Output.of("out").is_folder
    assert not Output.of("a.b/c.jpg").is_folder
    assert safe_name("C:\\fakepath\\con.<script>.jpg".replace("\\", "/")) == "con_script"
    assert safe_name("é" * 200 + ".jpg") == "é" * 60


def test_one_bad_card_reader_does_not_stop_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)

    def open_of_a_dying_card(self: Path, *arguments: object, **options: object) -> object:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "open", open_of_a_dying_card)
    with pytest.raises(ImageError, match=r"a\.jpg: it could not be read \(Input/output error\)"):
        open_image(tmp_path / "a.jpg")
