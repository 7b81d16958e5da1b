"""Folders of pictures: list them; read them as squares to train on, memory-mapped from a cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from models.atomic import whole_file
from translate.images.color import with_alpha
from translate.images.formats import is_image_name, is_shown
from translate.images.read import MAX_PIXELS, read_reduced
from translate.images.types import ImageError, source_name


def list_images(folder: str | os.PathLike[str], *, recursive: bool = False) -> list[Path]:
    """The files in a folder that by their suffix are pictures, sorted, without the hidden ones.

    With recursive also those in its folders, without hidden ones; links to folders are followed, each folder is looked
    at once. A folder that may not be read stands in the list itself, so that it is reported when its turn comes to be
    opened.

    Raises:
        ImageError: there is no such folder, or it may not be read.
    """
    folder = Path(folder)
    found: list[Path] = []
    refused: dict[Path, OSError] = {}

    def refuse(error: OSError) -> None:
        refused[Path(error.filename)] = error

    seen = {os.path.realpath(folder)}
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        inner = sorted(sub for sub in folders if recursive and is_shown(sub))
        # Real folders first: what they hold shall not be called by the name of a link that leads to it.
        inner.sort(key=lambda sub: os.path.islink(os.path.join(place, sub)))
        folders.clear()
        for sub in inner:
            if (end := os.path.realpath(os.path.join(place, sub))) not in seen:
                seen.add(end)
                folders.append(sub)
        shown = (Path(place, file) for file in files if not file.startswith("."))
        found += [path for path in shown if is_image_name(path)]
    if folder in refused:
        reasons = {FileNotFoundError: "there is no such folder", NotADirectoryError: "this is not a folder"}
        raise ImageError(source_name(folder), reasons.get(type(refused[folder]), "this folder may not be read"))
    return sorted([*found, *refused])


class TrainingFile(NamedTuple):
    """A picture to train on: its name in its collection, what changes when its content does, and how to come by it.

    content: a path or a file's bytes; may raise ImageError, whose name does not matter.
    """

    name: str
    stamp: Sequence[str | int]
    content: Callable[[], Path | bytes]


def read_training_folder(
    folder: str | os.PathLike[str], size: int, *, cache: str | os.PathLike[str] | None = None
) -> tuple[npt.NDArray[np.uint8], list[ImageError]]:
    """Every picture in a folder and the folders in it, as read_training_files gives them.

    Raises:
        ImageError: also where there is no such folder.
    """
    return read_training_files(training_files(Path(folder)), size, cache=cache, name=source_name(folder))


def training_files(folder: Path) -> list[TrainingFile]:
    """The pictures of a folder and the folders in it, in the order of list_images, which says what is raised."""
    files = []
    for path in list_images(folder, recursive=True):
        stamp: list[str | int] = []
        with contextlib.suppress(OSError):  # gone, or a link to nowhere
            found = path.stat()
            stamp = [found.st_size, found.st_mtime_ns]
        files.append(TrainingFile(path.relative_to(folder).as_posix(), stamp, partial(Path, path)))
    return files


def read_training_files(
    files: Sequence[TrainingFile], size: int, *, cache: str | os.PathLike[str] | None = None, name: str = "it"
) -> tuple[npt.NDArray[np.uint8], list[ImageError]]:
    """Pictures to train on: short side resized, the middle cut out as a square.

    Args:
        size: the squares' side in pixels.
        cache: a folder in which the squares are kept, memory-mapped, and found again as long as the files' names
            and stamps are the same. What is written into the array does not reach the disk.
        name: of the collection, for the sentence that it has no picture.

    Returns:
        The squares, uint8 (N, 3, size, size), sRGB, alpha over white, in the order of the files; and the files that
        could not be read.

    Raises:
        ImageError: no picture can be read, or the cache cannot be written.
    """
    bad: list[ImageError] = []
    squares = _squares(files, size, bad)
    if cache is None:
        pictures = np.fromiter(squares, np.dtype((np.uint8, (3, size, size)))).view(np.uint8)
    else:
        key = Path(cache) / _digest(files, size)
        pictures, bad = _cached(squares, bad, key, (len(files), 3, size, size))
    if len(pictures) == 0:
        refused = f" ({len(bad)} refused; the first is {bad[0]})" if bad else ""
        raise ImageError(name, f"it holds no readable picture{refused}")
    return pictures, bad


def _squares(files: Sequence[TrainingFile], size: int, bad: list[ImageError]) -> Iterator[npt.NDArray[np.uint8]]:
    """The readable pictures as (3, size, size); the others go to bad."""
    for file in files:
        try:
            photo = read_reduced(file.content(), MAX_PIXELS, enough=2 * size)
        except ImageError as error:
            bad.append(ImageError(file.name, error.reason))
            continue
        picture = photo.rgb if photo.alpha is None else with_alpha(photo.rgb, photo.alpha, "JPEG")
        square = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
        yield np.asarray(square).transpose(2, 0, 1)


def _digest(files: Sequence[TrainingFile], size: int) -> str:
    """A name for what the squares depend on."""
    state: list[str | int] = [1, size]  # 1: raise it when the squares come out otherwise
    for file in files:
        state += [file.name, *file.stamp]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:32]


def _cached(
    squares: Iterator[npt.NDArray[np.uint8]], bad: list[ImageError], key: Path, shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.uint8], list[ImageError]]:
    """What the files key.npy and key.json hold; without them the squares and what was bad, now kept there.

    shape is that of the squares if none is bad.
    """
    kept, report = key.with_suffix(".npy"), key.with_suffix(".json")
    with contextlib.suppress(OSError, ValueError, TypeError, EOFError):
        known = [ImageError(name, reason) for name, reason in json.loads(report.read_text(encoding="utf-8"))]
        return np.load(kept, mmap_mode="c"), known
    try:
        key.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(kept) as file:
            _npy_header(file, shape)
            # Not into a memory map: on a full disk that ends the process, where write() raises.
            count = sum(1 for square in squares if file.write(square.tobytes()))
            file.seek(0)
            _npy_header(file, (count, *shape[1:]))  # numpy leaves room in it for any count
        with whole_file(report) as file:
            file.write(json.dumps([[error.name, error.reason] for error in bad]).encode())
    except OSError as error:
        reason = f"the cache of training pictures cannot be written ({error.strerror})"
        raise ImageError(key.parent.name, reason) from error
    return np.load(kept, mmap_mode="c" if count else None), bad


def _npy_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
