"""Where training pictures come from: a folder, a zip, or a dataset on the Hugging Face Hub.

trainA                                    a folder, with the folders in it
apples.zip, pair.zip/trainA               a zip, or a folder in one; nothing is unpacked
hf://datasets/owner/name/trainA           a folder of a dataset on the Hub, also owner/name@revision
hf://datasets/owner/name/pair.zip/trainA  a zip there
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

from models.atomic import whole_file
from translate.images.formats import is_image_name, is_shown
from translate.images.training_set import TrainingFile, training_files
from translate.images.types import ImageError

RECORD = "data.json"  # what a run folder calls the description of its training pictures
HUB = "hf://"
MAX_FILE = 512 * 2**20  # of a picture in a zip or on the Hub, in bytes, however small it is packed
MAX_ZIP = 64 * 2**30
_ENCRYPTED = 1  # a bit of the flags of a file in a zip
_PACKED = {6: "implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
_AT_ONCE = 8  # downloads side by side


@dataclass(frozen=True)
class Dataset:
    """Pictures to train on.

    shown: the collection for people and cards, without the folders of this machine around it. name: the domain in
    words, if nobody gives a better one. files: what is read. folder: the folder on this disk, if it is one.
    """

    shown: str
    name: str
    files: Sequence[TrainingFile]
    folder: Path | None = None


def open_dataset(where: str | os.PathLike[str]) -> Dataset:
    """Find the pictures of a folder, a zip or a Hub dataset; none of them is read or fetched yet.

    Raises ImageError where there is no such thing, HubError for what the Hub has not.
    """
    text = os.fspath(where)
    if text.startswith(HUB):
        return _on_the_hub(text)
    path = Path(text)
    for archive in (path, *path.parents):
        if archive.is_file():
            inside = path.relative_to(archive).as_posix()
            return _in_zip(
                archive, "" if inside == "." else inside, shown=f"{archive.name}/{inside}".removesuffix("/.")
            )
    folder = Path(os.path.realpath(path))
    return Dataset(folder.name, folder.name, training_files(path), folder)


def _in_zip(archive: Path, inside: str, shown: str) -> Dataset:
    name = PurePosixPath(inside).name or archive.stem
    try:
        with zipfile.ZipFile(archive) as zipped:
            entries = zipped.infolist()
        for entry in entries:  # old programs of Windows write such names
            entry.filename = entry.filename.replace("\\", "/")
    except Exception as error:  # a damaged list of the zip's files may bring about anything
        raise ImageError(archive.name, "this is neither a folder of pictures nor a zip that can be read") from error
    opened = cache(partial(zipfile.ZipFile, archive))  # once for all the files, when the first one is wanted
    prefix = f"{inside}/" if inside else ""
    files = [
        TrainingFile(
            entry.filename.removeprefix(prefix), [entry.file_size, entry.CRC], partial(_unzipped, opened, entry)
        )
        for entry in sorted(entries, key=lambda entry: entry.filename)
        if entry.filename.startswith(prefix) and not entry.is_dir() and _is_shown(entry.filename)
    ]
    if not files:
        raise ImageError(shown, "there is no picture in it")
    return Dataset(shown, name, files)


def _unzipped(opened: Callable[[], zipfile.ZipFile], entry: zipfile.ZipInfo) -> bytes:
    """The content of one file, in memory: whatever its name says, nothing is written anywhere."""
    try:
        with opened().open(entry) as packed:
            content = packed.read(MAX_FILE + 1)
    except Exception as error:  # each way of packing has its own errors
        raise ImageError(entry.filename, _why_packed(entry, error)) from error
    if len(content) > MAX_FILE:
        raise ImageError(entry.filename, f"it would unpack to more than {MAX_FILE >> 20} MB")
    return content


def _why_packed(entry: zipfile.ZipInfo, error: Exception) -> str:
    if isinstance(error, NotImplementedError):  # which is a RuntimeError
        kind = _PACKED.get(entry.compress_type, f"method {entry.compress_type}")
        return f"it is packed in a way that cannot be read ({kind}); pack the zip anew with ordinary compression"
    if entry.flag_bits & _ENCRYPTED or isinstance(error, RuntimeError):
        return "it is locked with a password"
    if isinstance(error, MemoryError):
        return "there is not enough memory to unpack it"
    if isinstance(error, OSError) and error.strerror:
        return f"it could not be read ({error.strerror})"
    return "the zip is damaged here"


def _on_the_hub(where: str) -> Dataset:
    from models import hub

    found = re.fullmatch(r"hf://datasets/([^/]+/[^/]+)(?:/(.*?))?/?", where)
    if found is None:
        raise ImageError(where, "pictures on the Hub are given as hf://datasets/owner/name/folder")
    name, path = hub.parse_name(found[1]), found[2] or ""
    archive, dot_zip, inside = path.partition(".zip")
    if dot_zip and (not inside or inside.startswith("/")):
        file = hub.cached(name, archive + dot_zip, "dataset") or hub.fetch(name, archive + dot_zip, "dataset", MAX_ZIP)
        return _in_zip(file, inside.strip("/"), where)
    # From here on at one commit, so that the pictures and the list of them belong together.
    fixed = hub.HubName(name.repository, hub.commit_of(name, "dataset"))
    listed = {file: stamp for file, stamp in hub.listing(fixed, path).items() if _is_shown(file)}
    if not listed:
        raise ImageError(where, "there is no picture in it; tables (parquet) of pictures are not read")

    @cache
    def fetched() -> Mapping[str, Path]:
        def fetch(file: str) -> Path:
            return hub.cached(fixed, file, "dataset") or hub.fetch(fixed, file, "dataset", MAX_FILE)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            waiting = {file: pool.submit(fetch, file) for file in listed}
            try:
                return {file: done.result() for file, done in waiting.items()}
            except BaseException:  # where one cannot be had, the others need not be tried
                pool.shutdown(cancel_futures=True)
                raise

    prefix = f"{path}/" if path else ""
    files = [
        TrainingFile(file.removeprefix(prefix), stamp, partial(lambda file: fetched()[file], file))
        for file, stamp in listed.items()
    ]
    return Dataset(where, PurePosixPath(path).name or name.repository.partition("/")[2], files)


def _is_shown(name: str) -> bool:
    """Whether a file is a picture by its name, and neither it nor a folder around it is hidden or the system's."""
    return is_image_name(name) and all(map(is_shown, PurePosixPath(name).parts))


def record(run: Path, domains: Mapping[str, Mapping[str, Any]]) -> None:
    """Write into a run folder what it is trained on, for its card: {"source" | "target": {...}}. Raises OSError."""
    with whole_file(run / RECORD) as file:
        file.write(json.dumps(domains, indent=1).encode())


def described(dataset: Dataset, pictures: int, left_out: int, digest: str) -> dict[str, Any]:
    """One domain for `record`. digest: of the pictures as they are learned from; see models.train.data.ImageArray."""
    return {"from": dataset.shown, "pictures": pictures, "left_out": left_out, "digest": digest}
