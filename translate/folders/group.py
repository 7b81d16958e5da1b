"""Pictures that go through the model together: opened, translated, saved, each with its outcome."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from translate.folders.existing import provenance, source_digest
from translate.folders.plan import Item, RemoteItem
from translate.folders.report import Outcome
from translate.folders.settings import Settings
from translate.images.read import open_image
from translate.images.types import ImageError, LoadedImage
from translate.images.write import save_image
from translate.pipeline import Result, Translator


class Stopped(Exception):
    """Somebody wants the batch to end; what was in the model is dropped."""


def translate_bucket(
    translator: Translator,
    items: Sequence[Item],
    settings: Settings,
    *,
    step: Callable[[], None] | None = None,
) -> list[Outcome]:
    """Open, translate and save some pictures; those of one working shape share their forward passes.

    All of them are in memory at once. One that fails is one outcome and the others go on. step: called after each step
    of each picture; what it raises ends the chain and comes out here, before any of the pictures is saved.
    """
    outcomes: dict[Item, Outcome] = {}
    opened: list[tuple[Item, str, LoadedImage, float]] = []
    for item in items:
        begin = time.perf_counter()
        try:
            digest = source_digest(item.source)  # before it is opened: should it change now, the result is not finished
            photo = open_image(item.source, max_pixels=settings.max_pixels)
            opened.append((item, digest, photo, time.perf_counter() - begin))
        except (ImageError, OSError) as error:
            outcomes[item] = failed(item, error, time.perf_counter() - begin)
    results = deque(_results(translator, [photo for _, _, photo, _ in opened], settings, step))
    for item, digest, photo, seconds in opened:
        result = results.popleft()
        if isinstance(result, Exception):
            outcomes[item] = failed(item, result, seconds)
            continue
        begin = time.perf_counter()
        try:
            made = provenance(translator, settings)
            _save(item, result, {**made, "source": digest}, settings)
        except (ImageError, OSError) as error:
            outcomes[item] = failed(item, error, seconds + result.seconds)
            continue
        seconds += result.seconds + time.perf_counter() - begin
        outcomes[item] = Outcome(
            item.name, item.target_name, "done", seconds, result.energies, notes=photo.notes, steps=str(made["steps"])
        )
    return [outcomes[item] for item in items]


def _results(
    translator: Translator, photos: list[LoadedImage], settings: Settings, step: Callable[[], None] | None
) -> list[Result | Exception]:
    """What the model makes of each photo; if it fails at all of them together it gets them one by one."""
    try:
        return list(
            translator.batch(
                photos,
                strength=settings.strength,
                steps=settings.steps,
                size=settings.size,
                seed=settings.seed,
                watch=None if step is None else lambda frame: step(),
            )
        )
    except Stopped:
        raise
    except Exception as error:  # whatever one picture does to the model, the others go on
        if len(photos) == 1:
            return [error]
        return [result for photo in photos for result in _results(translator, [photo], settings, step)]


def _save(item: Item, result: Result, made: Mapping[str, object], settings: Settings) -> None:
    folder = item.target.parent
    if folder.resolve() != folder:  # the plan's folders are free of links
        raise ImageError(item.target.name, "its result's folder is a link, which may lead anywhere")
    folder.mkdir(parents=True, exist_ok=True)
    save_image(
        result.picture,
        item.target,
        like=result.photo,
        made=made,
        keep_metadata=settings.keep_metadata,
        source=item.source,
    )


def failed(item: Item | RemoteItem, error: Exception, seconds: float) -> Outcome:
    if isinstance(error, ImageError):
        reason = error.reason
    elif isinstance(error, OSError):
        reason = f"it could not be read or saved ({error.strerror or type(error).__name__})"
    elif isinstance(error, MemoryError) or "memory" in str(error).lower():
        reason = "there is not enough memory for it"
    else:
        reason = f"the model failed at it ({' '.join(str(error).split())[:200] or type(error).__name__})"
    return Outcome(item.name, item.target_name, "failed", seconds, reason=reason)
