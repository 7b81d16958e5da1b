"""A folder of pictures into another folder: carries out a plan, and goes on where an earlier run stopped.

Whether a result is finished is read from the result itself: it says how it was made and from what, by the digest of
its source. So there is no list that could be lost or be wrong, and a result that was moved, cut short or made from
another picture is seen to be so. The digest is that of all the source's bytes: sizes and times of files change when
folders are copied, and stay the same when they should not; to read a source takes a hundredth of its translation.

`standing`, `translate_group`, `Shelves`, `translate_page` and the outcomes know nothing of threads; `run` puts them to
work on the cores of one machine, ray.py on those of many. Which pictures share their forward passes may show in
the last bit of a result, so it follows from the plan alone, a page of it at a time, and not from who works on it.

All work is on files of this machine. What lies elsewhere is fetched when it is looked at, by remote_cache.py, and its
result is put up with its outcome.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from translate.folders.plan import Item, Plan, RemoteItem
from translate.folders.remote import make_ready
from translate.folders.remote_cache import Staging
from translate.folders.report import Outcome
from translate.images.read import (
    MAX_PIXELS,
    BadPicture,
    Photo,
    how_made,
    is_whole,
    open_picture,
    picture_size,
    save_picture,
)
from translate.pipeline import Result, Translator

Given = TypeVar("Given")
Made = TypeVar("Made")

# Bounds of what is in memory at a time. A pixel of a picture takes some 15 bytes, one of a working copy some 1000.
GROUP_WORKING_PIXELS = 90_000  # on a CPU, where larger groups gain nothing; four pictures of a 128 px model
ACCELERATOR_GROUPS = 4  # how many times more an accelerator takes
GROUP_PIXELS = 16_000_000
PIXELS_IN_FLIGHT = 128_000_000
PAGE = 64  # how many pictures of the plan may wait for each other; also the least that ray.py hands out
AHEAD = 16  # how many pictures, for each worker, are looked at before it is their turn
LOOKERS = 4  # threads that do so, and put up results, while a page is worked on


@dataclass(frozen=True)
class Settings:
    """What all pictures of a batch share.

    strength, steps, size, seed: as for a Translator. keep_metadata: of the source, without its place. overwrite: also
    replace files that are not the finished results of this batch. max_pixels: larger pictures are refused.
    """

    strength: float | None = None
    steps: int | None = None
    size: int | None = None
    seed: int = 0
    keep_metadata: bool = False
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS


class Stopped(Exception):
    """Somebody wants the batch to end; what was in the model is dropped."""


# --- one picture, one group --------------------------------------------------


def record(translator: Translator, settings: Settings) -> dict[str, object]:
    """How the results of a batch are made, as it is written into each of them; `standing` compares it.

    Raises ValueError for settings that the model cannot follow.
    """
    made = translator.made(strength=settings.strength, steps=settings.steps, size=settings.size, seed=settings.seed)
    return {**made, "metadata": "kept"} if settings.keep_metadata else made


def standing(item: Item, record: Mapping[str, object], *, overwrite: bool = False) -> Outcome | None:
    """What is to be said of a picture before any work on it: skipped or refused; None if it is to be translated.

    What is found at the target is skipped if it is whole, made as `record` says and made from this very source. It is
    made anew if it is empty, or is such a result but cut short. All else is left alone and the picture refused, or
    with `overwrite` replaced.
    """
    if not os.path.lexists(item.target):
        return None
    reason = _in_the_way(item, record)
    if reason is None:
        if item.target.stat().st_size and is_whole(item.target):
            return Outcome(item.name, item.target_name, "skipped")
        return None
    if overwrite and not item.target.is_dir():
        return None
    return Outcome(item.name, item.target_name, "refused", reason=reason)


def _in_the_way(item: Item, record: Mapping[str, object]) -> str | None:
    """Why what lies at the target is not, and never was, the result that is wanted there."""
    target = item.target
    if target.is_dir():
        return "there is a folder of its result's name"
    if target.is_file() and target.stat().st_size == 0:
        return None
    made = how_made(target) if target.is_file() else None
    if made is None:
        return (
            f"{item.target_name} is there already and cannot be seen to be a result of cf-translate; "
            "--overwrite replaces it"
        )
    for key in ("digest", "strength", "steps", "size", "seed", "version", "metadata"):
        if made.get(key) != record.get(key):
            was, wanted = made.get(key, "dropped"), record.get(key, "dropped")
            what = "model" if key == "digest" else key
            return (
                f"{item.target_name} was made with other settings ({what} {was}, not {wanted}); --overwrite replaces it"
            )
    if made.get("source") != source_digest(item.source):
        return f"{item.target_name} was made from another picture, or this one has changed; --overwrite replaces it"
    return None


def source_digest(path: Path) -> str:
    """The first 16 hexadecimal digits of the file's SHA-256. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def translate_group(
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
    opened: list[tuple[Item, str, Photo, float]] = []
    for item in items:
        begin = time.perf_counter()
        try:
            digest = source_digest(item.source)  # before it is opened: should it change now, the result is not finished
            photo = open_picture(item.source, max_pixels=settings.max_pixels)
            opened.append((item, digest, photo, time.perf_counter() - begin))
        except (BadPicture, OSError) as error:
            outcomes[item] = _failed(item, error, time.perf_counter() - begin)
    results = deque(_results(translator, [photo for _, _, photo, _ in opened], settings, step))
    for item, digest, photo, seconds in opened:
        result = results.popleft()
        if isinstance(result, Exception):
            outcomes[item] = _failed(item, result, seconds)
            continue
        begin = time.perf_counter()
        try:
            made = record(translator, settings)
            _save(item, result, {**made, "source": digest}, settings)
        except (BadPicture, OSError) as error:
            outcomes[item] = _failed(item, error, seconds + result.seconds)
            continue
        seconds += result.seconds + time.perf_counter() - begin
        outcomes[item] = Outcome(
            item.name, item.target_name, "done", seconds, result.energies, notes=photo.notes, steps=str(made["steps"])
        )
    return [outcomes[item] for item in items]


def _results(
    translator: Translator, photos: list[Photo], settings: Settings, step: Callable[[], None] | None
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
        raise BadPicture(item.target.name, "its result's folder is a link, which may lead anywhere")
    folder.mkdir(parents=True, exist_ok=True)
    save_picture(
        result.picture,
        item.target,
        like=result.photo,
        made=made,
        keep_metadata=settings.keep_metadata,
        source=item.source,
    )


def _failed(item: Item | RemoteItem, error: Exception, seconds: float) -> Outcome:
    if isinstance(error, BadPicture):
        reason = error.reason
    elif isinstance(error, OSError):
        reason = f"it could not be read or saved ({error.strerror or type(error).__name__})"
    elif isinstance(error, MemoryError) or "memory" in str(error).lower():
        reason = "there is not enough memory for it"
    else:
        reason = f"the model failed at it ({' '.join(str(error).split())[:200] or type(error).__name__})"
    return Outcome(item.name, item.target_name, "failed", seconds, reason=reason)


# --- the run -----------------------------------------------------------------


class Shelves:
    """Where pictures wait for others of their working shape, as paths, until there are enough for a group.

    No group is larger than the bounds at the top of this file allow. They are to be emptied after each page.
    """

    def __init__(self, translator: Translator, settings: Settings) -> None:
        self._translator, self._settings = translator, settings
        self._room = GROUP_WORKING_PIXELS * (1 if translator.device.type == "cpu" else ACCELERATOR_GROUPS)
        self._shelves: dict[tuple[int, int], list[tuple[Item, int]]] = {}

    def put(self, item: Item, sides: tuple[int, int] | None) -> Iterator[Group]:
        """Add a picture of this width and height, and take away the groups that are ready; one of None is alone."""
        if sides is None or not all(sides):
            yield Group((item,), 0)
            return
        pixels = sides[0] * sides[1]
        shape = self._translator.working_shape(*sides, self._settings.size)
        shelf = self._shelves.setdefault(shape, [])
        if shelf and sum(size for _, size in shelf) + pixels > GROUP_PIXELS:
            yield self._take(shape)
            shelf = self._shelves.setdefault(shape, [])
        shelf.append((item, pixels))
        if (len(shelf) + 1) * shape[0] * shape[1] > self._room or pixels > GROUP_PIXELS:
            yield self._take(shape)

    def rest(self) -> Iterator[Group]:
        """Take away what is left."""
        while self._shelves:
            yield self._take(next(iter(self._shelves)))

    def _take(self, shape: tuple[int, int]) -> Group:
        members = self._shelves.pop(shape)
        return Group(tuple(item for item, _ in members), sum(pixels for _, pixels in members))


@dataclass(frozen=True)
class Group:
    """Pictures that go through the model together, and how many pixels they have in all."""

    items: tuple[Item, ...]
    pixels: int


def survey(plan: Plan, translator: Translator, settings: Settings) -> Iterator[Outcome]:
    """What `run` would make of a plan, as far as can be said without opening a source."""
    wanted = record(translator, settings)
    yield from refusals(plan)
    with Staging(only_standing=True) as staging, ThreadPoolExecutor(LOOKERS) as lookers:

        def look(item: Item | RemoteItem) -> Outcome:
            found = _look(item, wanted, settings, staging)
            if isinstance(found, Outcome):
                return found
            return staging.put(Outcome(item.name, item.target_name, "planned"))

        yield from _ahead(lookers, look, plan.items, AHEAD)


def translate_page(translator: Translator, items: Sequence[Item | RemoteItem], settings: Settings) -> Iterator[Outcome]:
    """What `run` does with a page of a plan; the model is in this thread alone."""
    wanted = record(translator, settings)
    shelves = Shelves(translator, settings)
    with Staging() as staging, ThreadPoolExecutor(LOOKERS) as lookers:

        def look(item: Item | RemoteItem) -> tuple[Item | Outcome, tuple[int, int] | None]:
            found = _look(item, wanted, settings, staging)
            return found, None if isinstance(found, Outcome) else picture_size(found.source)

        def outcomes() -> Iterator[Outcome]:
            for found, sides in _ahead(lookers, look, items, AHEAD):
                if isinstance(found, Outcome):
                    yield found
                    continue
                for group in shelves.put(found, sides):
                    yield from translate_group(translator, group.items, settings)
            for group in shelves.rest():
                yield from translate_group(translator, group.items, settings)

        yield from _ahead(lookers, staging.put, outcomes(), AHEAD)


def run(
    plan: Plan,
    translator: Translator,
    settings: Settings,
    *,
    workers: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    step: Callable[[], None] | None = None,
) -> Iterator[Outcome]:
    """Carry out a plan; yields what becomes of each picture, as it is known, the plan's refusals first.

    Every worker takes a group through all of its way, from the file to the file, on one core: while one is in the
    model, others decode and encode, and no core waits for another inside an operation. So torch is held to one thread
    a worker as long as this runs. workers: None as many as there are cores.

    stopped: asked at every step of a chain; once it says so, pictures that are past the model are still saved, the
    others dropped, and this ends. step: called after each step of each picture, by the workers. Raises ValueError for
    settings that the model cannot follow, and OSError where the target folder cannot be made, elsewhere BadPicture.
    """
    wanted = record(translator, settings)
    yield from refusals(plan)
    make_ready(plan.target)
    workers = workers or _workers(translator)
    over = threading.Event()

    def look(item: Item | RemoteItem) -> tuple[Item | Outcome, tuple[int, int] | None]:
        found = _look(item, wanted, settings, staging)
        return found, None if isinstance(found, Outcome) else picture_size(found.source)

    def after_step() -> None:
        if over.is_set() or stopped():
            raise Stopped
        if step is not None:
            step()

    def translate(group: Group) -> list[Outcome]:
        try:
            if over.is_set() or stopped():
                raise Stopped
            outcomes = translate_group(translator, group.items, settings, step=after_step)
            return [staging.put(outcome) for outcome in outcomes]
        except Stopped:
            return []

    in_flight: dict[Future[list[Outcome]], int] = {}

    def start(group: Group) -> Iterator[Outcome]:
        while in_flight and (len(in_flight) > workers or sum(in_flight.values()) + group.pixels > PIXELS_IN_FLIGHT):
            yield from _finished(in_flight)
        in_flight[pool.submit(translate, group)] = group.pixels

    shelves = Shelves(translator, settings)
    with (
        _threads_restored(),
        Staging() as staging,
        ThreadPoolExecutor(workers) as lookers,
        ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        try:
            for number, (found, sides) in enumerate(_ahead(lookers, look, plan.items, AHEAD * workers), 1):
                if stopped():
                    break
                if isinstance(found, Outcome):
                    yield found
                else:
                    for group in shelves.put(found, sides):
                        yield from start(group)
                if number % PAGE == 0 or number == len(plan.items):
                    for group in shelves.rest():
                        yield from start(group)
            while in_flight:
                yield from _finished(in_flight)
        finally:
            over.set()  # whoever has lost interest does not wait for the chains


def refusals(plan: Plan) -> Iterator[Outcome]:
    """What the plan itself refused."""
    for refusal in plan.refused:
        yield Outcome(refusal.name, None, "refused", reason=refusal.reason)


def _look(
    item: Item | RemoteItem, wanted: Mapping[str, object], settings: Settings, staging: Staging
) -> Item | Outcome:
    """What is to be said of a picture before any work on it, or else the picture, at hand."""
    try:
        here = staging.fetch(item)
        found = standing(here, wanted, overwrite=settings.overwrite)
        if found is None:
            return here
    except (BadPicture, OSError) as error:
        found = _failed(item, error, 0)
    return staging.put(found)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers(translator: Translator) -> int:
    return 1 if translator.device.type == "mps" else cores()  # Metal's queue is not made for several threads


@contextlib.contextmanager
def _threads_restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _finished(in_flight: dict[Future[list[Outcome]], int]) -> Iterator[Outcome]:
    for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
        del in_flight[future]
        yield from future.result()


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[Given], Made], items: Iterable[Given], count: int
) -> Iterator[Made]:
    """As map, in the pool, up to `count` items ahead of who takes them; what has not begun is dropped with this."""
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
