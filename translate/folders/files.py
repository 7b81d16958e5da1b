"""From files to files: open, translate, save with provenance. Command line, folders and page all go this way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from translate.folders.plan import Item
from translate.images.limits import check_savable, dropped
from translate.images.metadata import source_digest
from translate.images.read import MAX_PIXELS, open_image
from translate.images.types import ImageError, LoadedImage
from translate.images.write import make_folder, save_image
from translate.options import FileOptions
from translate.pipeline import Result, Translator
from translate.trajectory import Frame


class Stopped(Exception):
    """Raised by a callback to end a run; images that are in the model are dropped."""


@dataclass(frozen=True)
class Saved:
    """A file that was translated. provenance: what stands in the target. seconds: of all the work on it. notes: what
    people should know about the reading, and about what the target's format could not keep."""

    item: Item
    result: Result
    provenance: Mapping[str, object]
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """A file that was not translated. reason: one sentence."""

    item: Item
    reason: str
    seconds: float


def provenance(translator: Translator, options: FileOptions) -> dict[str, object]:
    """The provenance of every result of these options; each result's own also names its source.

    Raises ValueError for options that the model cannot follow.
    """
    found = translator.provenance(options.sampling)
    return {**found, "metadata": "kept"} if options.keep_metadata else found


def open_source(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[LoadedImage, str]:
    """An image file and its digest. Raises ImageError."""
    try:
        digest = source_digest(path)  # before it is opened: if it changes now, its result does not count as finished
    except OSError:
        digest = ""  # there is nothing to open either, and open_image has the better words for it
    return open_image(path, max_pixels=max_pixels), digest


def save_result(
    picture: Image.Image,
    target: Path,
    like: LoadedImage,
    provenance: Mapping[str, object],
    *,
    source: Path | None = None,
    keep_metadata: bool = False,
) -> Path:
    """Write a result in the form of its source, with its provenance; its folder is made. Raises ImageError."""
    make_folder(target)
    return save_image(picture, target, like=like, provenance=provenance, keep_metadata=keep_metadata, source=source)


def translate_files(
    translator: Translator,
    items: Sequence[Item],
    options: FileOptions,
    *,
    callback: Callable[[Frame], None] | None = None,
    check: Callable[[Item], None] = lambda item: None,
) -> Iterator[Saved | Failed]:
    """Translate files; those of one working shape share their forward passes. One that fails does not stop the others.

    All images are in memory at once, and nothing is saved before all of them are translated. callback: called after
    each step of each image; what it raises as `Stopped` comes out here. check: called before an item is saved; may
    raise ImageError. Yields in the order of the items.
    """
    opened: dict[Item, tuple[LoadedImage, str] | Failed] = {}
    seconds: dict[Item, float] = {}
    for item in items:
        begin = time.perf_counter()
        try:
            photo, digest = open_source(item.source, options.max_pixels)
            check_savable(item.target, photo.rgb.size)
            opened[item] = photo, digest
        except ImageError as error:
            opened[item] = Failed(item, why_failed(error), time.perf_counter() - begin)
        seconds[item] = time.perf_counter() - begin
    photos = [found[0] for found in opened.values() if not isinstance(found, Failed)]
    results = deque(_results(translator, photos, options, callback))
    for item, found in opened.items():
        if isinstance(found, Failed):
            yield found
            continue
        result, begin = results.popleft(), time.perf_counter()
        try:
            if isinstance(result, Exception):
                raise result
            check(item)
            record = {**provenance(translator, options), "source": found[1]}
            save_result(
                result.picture, item.target, result.photo, record,
                source=item.source, keep_metadata=options.keep_metadata,
            )  # fmt: skip
        except Exception as error:  # whatever one image does to the model or the disk, the others go on
            yield Failed(item, why_failed(error), seconds[item])
            continue
        notes = (*result.photo.notes, *dropped(result.photo, item.target, keep_metadata=options.keep_metadata))
        yield Saved(item, result, record, seconds[item] + result.seconds + time.perf_counter() - begin, notes)


def _results(
    translator: Translator,
    photos: list[LoadedImage],
    options: FileOptions,
    callback: Callable[[Frame], None] | None,
) -> list[Result | Exception]:
    """What the model makes of each image; if it fails at all of them together it gets them one by one."""
    try:
        return list(translator.batch(photos, options.sampling, callback=callback))
    except Stopped:
        raise
    except Exception as error:
        if len(photos) == 1:
            return [error]
        return [result for photo in photos for result in _results(translator, [photo], options, callback)]


def why_failed(error: Exception) -> str:
    """One sentence on why an image has no result."""
    if isinstance(error, ImageError):
        return error.reason
    if isinstance(error, OSError):
        return f"it could not be read or saved ({error.strerror or type(error).__name__})"
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return "there is not enough memory for it"
    return f"the model failed at it ({' '.join(str(error).split())[:200] or type(error).__name__})"
