"""Training pictures from a folder, a zip and the Hub: the same pictures, whatever they come in."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.hub import HubError
from tests.helpers.fake_hub import FakeHub, fake_hub, point_client
from translate.images.training_set import read_training_files
from translate.images.types import ImageError
from translate.training.datasets import Dataset, open_dataset


def picture(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 24, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


FILES = {
    "a.png": picture(0),
    "deep/er/b.PNG": picture(1),
    "deep/c.png": picture(2),
    "broken.jpg": picture(3)[:40],
    "notes.txt": b"no picture",
    ".hidden/d.png": picture(4),
}


def packed(files: dict[str, bytes], prefix: str = "") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(prefix + name, content)
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "apples" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "apples"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub() as server:
        point_client(monkeypatch, server.address, tmp_path / "cache")
        yield server


def read(dataset: Dataset, cache: Path | None = None) -> tuple[np.ndarray, list[str]]:
    pictures, bad = read_training_files(dataset.files, 16, cache=cache, name=dataset.shown)
    return np.array(pictures), [str(error) for error in bad]


def test_a_folder_and_a_zip_of_it_and_a_folder_in_a_zip_are_the_same(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "apples.zip").write_bytes(packed(FILES))
    (tmp_path / "pair.zip").write_bytes(
        packed({**{f"trainA/{n}": c for n, c in FILES.items()}, "trainB/z.png": picture(9)})
    )
    there = [open_dataset(p) for p in (folder, tmp_path / "apples.zip", tmp_path / "pair.zip" / "trainA")]
    (wanted, bad), *others = [read(dataset) for dataset in there]
    assert len(wanted) == 3
    assert len(bad) == 1 and bad[0].startswith("broken.jpg: ")
    for pictures, also_bad in others:
        assert np.array_equal(pictures, wanted)
        assert also_bad == bad
    assert [dataset.name for dataset in there] == ["apples", "apples", "trainA"]
    assert [dataset.shown for dataset in there] == ["apples", "apples.zip", "pair.zip/trainA"]
    assert [dataset.folder for dataset in there] == [folder, None, None]


def test_a_zip_is_kept_in_the_cache_until_it_changes(tmp_path: Path) -> None:
    archive, cache = tmp_path / "apples.zip", tmp_path / "kept"
    for seeds, count in (((0, 1), 1), ((0, 1), 1), ((0, 2), 2)):
        archive.write_bytes(packed({f"{number}.png": picture(seed) for number, seed in enumerate(seeds)}))
        read(open_dataset(archive), cache)
        assert len(list(cache.glob("*.npy"))) == count


def test_names_in_a_zip_lead_nowhere(tmp_path: Path) -> None:
    archive = tmp_path / "in" / "evil.zip"
    archive.parent.mkdir()
    names = ("../../out.png", "/abs.png", "C:\\x.png", "__MACOSX/._a.png", "ok.png")
    archive.write_bytes(packed(dict.fromkeys(names, picture(0))))
    pictures, bad = read(open_dataset(archive))
    assert len(pictures) == 3 and not bad
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["evil.zip", "in"]


def test_a_bad_file_in_a_zip_is_one_sentence_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = packed({"a.png": picture(0), "b.png": picture(1), "bomb.png": bytes(10**6)})
    place = content.index(b"a.png") + 40
    damaged = content[:place] + bytes(20) + content[place + 20 :]
    (tmp_path / "a.zip").write_bytes(damaged)
    monkeypatch.setattr("translate.training.datasets.MAX_FILE", 10**5)
    pictures, bad = read(open_dataset(tmp_path / "a.zip"))
    assert len(pictures) == 1
    assert [sentence.split(":")[0] for sentence in bad] == ["a.png", "bomb.png"]
    assert all("\n" not in sentence for sentence in bad)


@pytest.mark.parametrize("content", [b"", b"text", packed({"a.png": picture(0)})[:-30]])
def test_what_is_no_zip_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ImageError, match=r"^a\.zip: this is neither"):
        open_dataset(tmp_path / "a.zip")


def test_what_is_not_there_or_empty_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "pair.zip").write_bytes(packed({"trainA/a.png": picture(0)}))
    with pytest.raises(ImageError, match=r"pair\.zip/trainB: there is no picture in it"):
        open_dataset(tmp_path / "pair.zip" / "trainB")
    with pytest.raises(ImageError, match="no such folder"):
        open_dataset(tmp_path / "absent")


@pytest.mark.parametrize("large", [True, False])
def test_a_dataset_on_the_hub_is_the_same_and_fetched_once(
    server: FakeHub, folder: Path, tmp_path: Path, large: bool
) -> None:
    files = {f"trainA/{name}": content for name, content in FILES.items()}
    server.add("me/pair", {**files, "trainB/z.png": picture(9)}, kind="datasets", large=large)
    dataset = open_dataset("hf://datasets/me/pair/trainA")
    assert not [line for line in server.seen if "resolve" in line], "nothing is fetched before it is wanted"
    pictures, bad = read(dataset)
    wanted, wanted_bad = read(open_dataset(folder))
    assert np.array_equal(pictures, wanted) and bad == wanted_bad
    assert (dataset.name, dataset.folder) == ("trainA", None)
    server.seen.clear()
    assert np.array_equal(read(open_dataset("hf://datasets/me/pair/trainA"))[0], wanted)
    assert not [line for line in server.seen if "resolve" in line]


def test_a_zip_on_the_hub_and_a_revision(server: FakeHub) -> None:
    repository = server.add("me/pair", {"old.txt": b""}, kind="datasets")
    repository.commit({"data/pair.zip": packed({"trainA/a.png": picture(0)}), "x/b.png": picture(1)}, tag="v1")
    repository.commit({"new.txt": b""})
    assert len(read(open_dataset("hf://datasets/me/pair@v1/data/pair.zip/trainA"))[0]) == 1
    assert len(read(open_dataset("hf://datasets/me/pair@v1/x"))[0]) == 1
    assert len(read(open_dataset("hf://datasets/me/pair@v1"))[0]) == 1
    with pytest.raises(ImageError, match="no picture"):
        open_dataset("hf://datasets/me/pair/x")


def test_damaged_pictures_from_the_hub_are_never_learned_from(server: FakeHub) -> None:
    server.add("me/pair", {"a/1.png": picture(0), "a/2.png": picture(1)}, kind="datasets")
    server.tampered = True
    with pytest.raises(HubError, match="damaged"):
        read(open_dataset("hf://datasets/me/pair/a"))
    server.tampered = False
    assert len(read(open_dataset("hf://datasets/me/pair/a"))[0]) == 2


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("hf://me/pair", "hf://datasets/owner/name"),
        ("hf://datasets/me", "hf://datasets/owner/name"),
        ("hf://datasets/me/absent/x", "no me/absent"),
        ("hf://datasets/me/pair@v9/x", "no revision v9"),
        ("hf://datasets/me/../x", "no name on the Hub"),
        ("hf://datasets/me/pair/no.zip", r"holds no no\.zip"),
    ],
)
def test_what_the_hub_has_not_is_one_sentence(server: FakeHub, where: str, words: str) -> None:
    server.add("me/pair", {"a/1.png": picture(0)}, kind="datasets")
    with pytest.raises(ValueError, match=words) as caught:
        open_dataset(where)
    assert "\n" not in str(caught.value)


def test_members_of_a_zip_that_nobody_can_unpack(tmp_path: Path) -> None:
    """A damaged LZMA member, one of Deflate64 and one of Zstandard, and one behind a password; the others are read."""
    path = tmp_path / "apples.zip"
    picture = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(picture, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("deflate64.png", "good.png", "lzma.png", "secret.png", "zstd.png"):
            method = zipfile.ZIP_LZMA if name == "lzma.png" else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(name), picture.getvalue(), method)
        entries = {entry.filename: entry for entry in archive.infolist()}
    data = bytearray(path.read_bytes())
    begin = entries["lzma.png"].header_offset + 30 + len("lzma.png")
    data[begin + 9 : begin + 60] = bytes(51)
    for name, field, value in (("deflate64.png", 8, 9), ("zstd.png", 8, 93), ("secret.png", 6, 1)):
        local = entries[name].header_offset
        central = data.rindex(name.encode()) - 46
        data[local + field], data[central + field + 2] = value, value
    path.write_bytes(data)
    pictures, bad = read_training_files(open_dataset(path).files, 16)
    assert len(pictures) == 1
    reasons = {error.name: error.reason for error in bad}
    assert "Deflate64" in reasons["deflate64.png"]
    assert reasons["secret.png"] == "it is locked with a password"
    assert reasons["lzma.png"] == "the zip is damaged here"
    assert ("damaged" if sys.version_info >= (3, 14) else "Zstandard") in reasons["zstd.png"]
