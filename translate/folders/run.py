"""A folder of pictures into another folder: carries out a plan, and goes on where an earlier run stopped.

existing.py, files.py and buckets.py know nothing of threads; `run` puts them to work on the cores of one machine,
ray.py on those of many. Which pictures share their forward passes may show in the last bit of a result, so it follows
from the plan alone, a page of it at a time, and not from who works on it.

All work is on files of this machine. What lies elsewhere is fetched when it is looked at, by remote_cache.py, and its
result is put up with its outcome.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

import torch

from translate.folders.buckets import Bucket, ShapeBuckets
from translate.folders.existing import existing_result
from translate.folders.files import Failed, Stopped, provenance, translate_files, why_failed
from translate.folders.plan import Item, Plan, RemoteItem
from translate.folders.remote import prepared_target, real_path
from translate.folders.remote_cache import RemoteCache
from translate.folders.report import Outcome
from translate.images.read import image_size
from translate.images.types import ImageError
from translate.options import FileOptions
from translate.pipeline import Translator

Given = TypeVar("Given")
Made = TypeVar("Made")
PIXELS_IN_FLIGHT = 128_000_000
PAGE = 64  # how many pictures of the plan may wait for each other; also the least that ray.py hands out
PREFETCH = 16  # how many pictures, for each worker, are looked at before it is their turn
LOOKERS = 4  # threads that do so, and put up results, while a page is worked on


def preview(plan: Plan, translator: Translator, options: FileOptions) -> Iterator[Outcome]:
    """What `run` would make of a plan, as far as can be said without opening a source."""
    wanted = provenance(translator, options)
    yield from refusals(plan)
    with RemoteCache(only_standing=True) as cache, ThreadPoolExecutor(LOOKERS) as lookers:

        def look(item: Item | RemoteItem) -> Outcome:
            found = _look(item, wanted, options, cache)
            if isinstance(found, Outcome):
                return found
            return cache.put(Outcome(item.name, item.target_name, "planned"))

        yield from _ahead(lookers, look, plan.items, PREFETCH)


def translate_page(
    translator: Translator, items: Sequence[Item | RemoteItem], options: FileOptions
) -> Iterator[Outcome]:
    """What `run` does with a page of a plan; the model is in this thread alone."""
    wanted = provenance(translator, options)
    buckets = ShapeBuckets(translator, options)
    with RemoteCache() as cache, ThreadPoolExecutor(LOOKERS) as lookers:

        def look(item: Item | RemoteItem) -> tuple[Item | Outcome, tuple[int, int] | None]:
            found = _look(item, wanted, options, cache)
            return found, None if isinstance(found, Outcome) else image_size(found.source)

        def outcomes() -> Iterator[Outcome]:
            for found, sides in _ahead(lookers, look, items, PREFETCH):
                if isinstance(found, Outcome):
                    yield found
                    continue
                for bucket in buckets.put(found, sides):
                    yield from translate_bucket(translator, bucket.items, options)
            for bucket in buckets.rest():
                yield from translate_bucket(translator, bucket.items, options)

        yield from _ahead(lookers, cache.put, outcomes(), PREFETCH)


def translate_bucket(
    translator: Translator,
    items: Sequence[Item],
    options: FileOptions,
    *,
    step: Callable[[], None] | None = None,
) -> list[Outcome]:
    """Open, translate and save some pictures; see files.translate_files. step: called after each step of each picture;
    when it raises Stopped, none of them is saved."""
    callback = None if step is None else lambda frame: step()
    outcomes = []
    for done in translate_files(translator, items, options, callback=callback, check=_refuse_links):
        name, target = done.item.name, done.item.target_name
        if isinstance(done, Failed):
            outcomes.append(Outcome(name, target, "failed", done.seconds, reason=done.reason))
        else:
            notes, steps = done.notes, str(done.provenance["steps"])
            outcomes.append(Outcome(name, target, "done", done.seconds, done.result.energies, notes=notes, steps=steps))
    return outcomes


def _refuse_links(item: Item) -> None:
    folder = item.target.parent
    if real_path(folder) != folder:  # the plan's folders are free of links
        raise ImageError(item.target.name, "its result's folder is a link, which may lead anywhere")


def run(
    plan: Plan,
    translator: Translator,
    options: FileOptions,
    *,
    workers: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    step: Callable[[], None] | None = None,
) -> Iterator[Outcome]:
    """Carry out a plan; yields what becomes of each picture, as it is known, the plan's refusals first.

    Every worker takes a bucket through all of its way, from the file to the file, on one core: while one is in the
    model, others decode and encode, and no core waits for another inside an operation. So torch is held to one thread
    a worker as long as this runs. workers: None as many as there are cores.

    stopped: asked at every step of a chain; once it says so, pictures that are past the model are still saved, the
    others dropped, and this ends. step: called after each step of each picture, by the workers. Raises ValueError for
    options that the model cannot follow, InUse where another run has the target folder, and OSError where that cannot
    be made, elsewhere ImageError.
    """
    wanted = provenance(translator, options)
    workers = workers or _workers(translator)
    over = threading.Event()

    def look(item: Item | RemoteItem) -> tuple[Item | Outcome, tuple[int, int] | None]:
        found = _look(item, wanted, options, cache)
        return found, None if isinstance(found, Outcome) else image_size(found.source)

    def after_step() -> None:
        if over.is_set() or stopped():
            raise Stopped
        if step is not None:
            step()

    def translate(bucket: Bucket) -> list[Outcome]:
        try:
            if over.is_set() or stopped():
                raise Stopped
            outcomes = translate_bucket(translator, bucket.items, options, step=after_step)
            return [cache.put(outcome) for outcome in outcomes]
        except Stopped:
            return []

    in_flight: dict[Future[list[Outcome]], int] = {}

    def start(bucket: Bucket) -> Iterator[Outcome]:
        while in_flight and (len(in_flight) > workers or sum(in_flight.values()) + bucket.pixels > PIXELS_IN_FLIGHT):
            yield from _finished(in_flight)
        in_flight[pool.submit(translate, bucket)] = bucket.pixels

    buckets = ShapeBuckets(translator, options)
    with (
        prepared_target(plan.target),
        _threads_restored(),
        RemoteCache() as cache,
        ThreadPoolExecutor(workers) as lookers,
        ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        try:
            yield from refusals(plan)
            for number, (found, sides) in enumerate(_ahead(lookers, look, plan.items, PREFETCH * workers), 1):
                if stopped():
                    break
                if isinstance(found, Outcome):
                    yield found
                else:
                    for bucket in buckets.put(found, sides):
                        yield from start(bucket)
                if number % PAGE == 0 or number == len(plan.items):
                    for bucket in buckets.rest():
                        yield from start(bucket)
            while in_flight:
                yield from _finished(in_flight)
        finally:
            over.set()  # whoever has lost interest does not wait for the chains


def refusals(plan: Plan) -> Iterator[Outcome]:
    """What the plan itself refused."""
    for refusal in plan.refused:
        yield Outcome(refusal.name, None, "refused", reason=refusal.reason)


def _look(
    item: Item | RemoteItem, wanted: Mapping[str, object], options: FileOptions, cache: RemoteCache
) -> Item | Outcome:
    """What is to be said of a picture before any work on it, or else the picture, at hand."""
    try:
        here = cache.fetch(item)
        found = existing_result(here, wanted, overwrite=options.overwrite)
        if found is None:
            return here
    except (ImageError, OSError) as error:
        found = Outcome(item.name, item.target_name, "failed", reason=why_failed(error))
    return cache.put(found)


def cores() -> int:
    """How many cores this process may use, also by the quota of a container."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(there, _quota())))


def _quota(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores that the container's control group may use at a time; infinity without one."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # version 2: "max 100000" or "150000 100000"
        quota, period = (root / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # version 1: -1 for none
        quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    return math.inf


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
