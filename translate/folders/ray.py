"""A plan carried out on Ray: on the cores or GPUs of one machine or many, a model and a process for each.

What becomes of a picture is decided by run.py here too: the plan is cut into the same pages, each goes to a worker
whole and through `translate_page` there. Ray keeps the workers busy, and starts one anew that is lost; its page is
then tried again, by the rule of every rerun: what is finished is skipped. What has no outcome even then is tried once
more, each picture alone, so that one that kills its worker takes no other with it.

Needs the extra `ray`. With RAY_ADDRESS in the environment that cluster does the work, else Ray is started here, for
as long as the run takes, seen by this machine only.
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from models.atomic import remove_leftovers
from models.model import Model
from translate.folders.files import provenance
from translate.folders.plan import Item, Plan, RemoteItem
from translate.folders.remote import prepared_target
from translate.folders.report import Outcome
from translate.folders.run import PAGE, cores, refusals, translate_page
from translate.options import FileOptions
from translate.pipeline import Translator

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.data import Dataset

TRIES = 3  # of a page, and then of each of its pictures alone, when workers are lost over it
MAX_BLOCKS = 50_000  # what Ray schedules by itself; of a longer plan each holds several pages
STORE = 200_000_000  # bytes of shared memory, for names and outcomes: pixels never pass through Ray

_ADDRESS = "RAY_ADDRESS"
_ENVIRONMENT = {  # Ray reads it when it is imported
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # it warns of how Ray Data makes its workers
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what it says of lost workers would go to stdout
    "RAY_ENABLE_AUTO_CONNECT": "0",  # what is still under way when a run is stopped must not start Ray again
}
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # on any system: 127.0.0.1 only, which no argument brings about


def check() -> None:
    """Import Ray, or raise ValueError with one sentence where it is not installed."""
    for name, value in (_ENVIRONMENT if _ADDRESS in os.environ else _ENVIRONMENT | _LOOPBACK).items():
        os.environ.setdefault(name, value)
    try:
        importlib.import_module("ray.data")
    except ImportError as error:
        raise ValueError("the engine ray needs the extra of that name: pip install '.[ray]'") from error


def run(
    plan: Plan,
    translator: Translator,
    options: FileOptions,
    *,
    device: str = "auto",
    workers: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    step: Callable[[], None] | None = None,
) -> Iterator[Outcome]:
    """Carry out a plan, as batch.run does; outcomes come a page at a time, in any order.

    translator: its whole model travels to the workers, so that they need not have its file. device: "cpu", one thread
    of one core for each worker; "cuda", one GPU each; "auto", GPUs where the cluster has any. workers: how many; None
    as many as the cluster has of these. All of them must see both folders of the plan under the same names, or URLs.

    stopped: asked several times a second; once it says so this ends, and the pages in hand are dropped: what of them
    is saved already is found by the next run. step: called for each step of each picture, when its outcome is known.
    Raises ValueError without the extra, for settings that the model cannot follow and for a device that is not there,
    OSError where the target folder cannot be made (elsewhere ImageError) or Ray does not work.
    """
    provenance(translator, options)
    with ExitStack() as held:
        resources = held.enter_context(_cluster(workers))
        device, there = _devices(device, resources)  # before there is a folder
        held.enter_context(prepared_target(plan.target))
        workers = min(workers or there, there)
        yield from refusals(plan)
        model = _shared(translator)
        waiting = {item.name: item for item in plan.items}
        for page in (PAGE, 1):
            if not waiting or stopped():
                break
            dataset = _dataset(list(waiting.values()), page, model, options, device, workers)
            for outcome in _outcomes(dataset, stopped):
                # A block that was lost on its way back is made a second time: by then all in it is finished.
                if waiting.pop(outcome.source, None) is None:
                    continue
                if step is not None:
                    for _ in outcome.energies:
                        step()
                yield outcome
        if isinstance(plan.target, Path):
            remove_leftovers(plan.target)  # of lost workers
        if not stopped():
            for item in waiting.values():
                yield Outcome(item.name, item.target_name, "failed", reason=f"it ended its worker {TRIES} times")


class _Worker:
    """A model on a core, or on a GPU, in a process of its own."""

    def __init__(self, model: list[ObjectRef], options: FileOptions, device: str) -> None:
        import ray

        torch.set_num_threads(1)
        self._translator = unpacked(ray.get(model[0]), device)
        self._options = options

    def __call__(self, row: dict[str, bytes]) -> list[dict[str, bytes]]:
        """A page in, its outcomes out; all at once, for Ray would take what a second try says for what the first said.

        Pickled, since the columns of Ray hold only names that are text.
        """
        outcomes = translate_page(self._translator, pickle.loads(row["page"]), self._options)
        return [{"outcome": pickle.dumps(outcome)} for outcome in outcomes]


def _dataset(
    items: Sequence[Item | RemoteItem], page: int, model: ObjectRef, options: FileOptions, device: str, workers: int
) -> Dataset:
    import ray.data

    pages = iter(items)
    rows = []
    while members := list(islice(pages, page)):
        rows.append({"page": pickle.dumps(members)})
    with warnings.catch_warnings():
        # The last argument: by itself Ray tries for ever. From 2.64 on that will have another name.
        warnings.simplefilter("ignore", DeprecationWarning)
        return ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS)).flat_map(
            _Worker,
            fn_constructor_args=([model], options, device),  # in a list Ray keeps it for workers that come later
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows)), max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=1 if device == "cuda" else 0,
            max_task_retries=TRIES - 1,
        )


def _shared(translator: Translator) -> ObjectRef:
    import ray

    return ray.put(packed(translator))


def packed(translator: Translator) -> tuple[bytes, str, str]:
    """A whole model as it travels: the content of its file, its name and its digest."""
    return translator.model.to_bytes(), translator.name, translator.digest


def unpacked(travelled: tuple[bytes, str, str], device: str) -> Translator:
    """The inverse of `packed`, on a device."""
    content, name, digest = travelled
    # The digest is that of the file that the model came from: a model that was never saved has none.
    return Translator(replace(Model.from_bytes(content), digest=digest).to(torch.device(device)), name)


def _outcomes(dataset: Dataset, stopped: Callable[[], bool]) -> Iterator[Outcome]:
    """The outcomes of all blocks that are made; who waits for Ray cannot be stopped, so a thread does."""
    rows: queue.Queue[bytes | Exception | None] = queue.Queue()
    over = threading.Event()

    def fetch() -> None:
        try:
            for row in dataset.iter_rows():
                rows.put(row["outcome"])
                if over.is_set():
                    return
            rows.put(None)
        except Exception as error:
            rows.put(error)

    threading.Thread(target=fetch, daemon=True).start()
    try:
        while not stopped():
            try:
                row = rows.get(timeout=0.2)
            except queue.Empty:
                continue
            if row is None:
                return
            if isinstance(row, Exception):
                raise OSError(f"Ray gave up ({_first_line(row)})") from row
            yield pickle.loads(row)
    finally:
        over.set()


@contextmanager
def _cluster(workers: int | None) -> Iterator[dict[str, Any]]:
    """Ray, started here unless it runs already; gives what it has of each resource."""
    check()
    import ray
    import ray.data

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ours = not ray.is_initialized()
    if ours:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if _ADDRESS not in os.environ:
            options |= {
                "address": "local",
                "num_cpus": workers or cores(),
                "object_store_memory": STORE,
                "include_dashboard": False,
            }
        try:
            with _signals_kept(), _silence():
                ray.init(**options)
        except (RuntimeError, OSError, ray.exceptions.RayError) as error:  # a ConnectionError among them
            raise OSError(f"Ray cannot be started or reached ({_first_line(error)})") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # what lost its worker too often is tried again, and then has its sentence
    try:
        yield ray.cluster_resources()
    finally:
        if ours:
            ray.shutdown()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Whoever listens to Ctrl-C and SIGTERM still does so afterwards: Ray takes the latter for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _silence() -> Iterator[None]:
    """What Ray's C++ says while it starts goes nowhere; errors come as exceptions too."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _devices(device: str, resources: dict[str, Any]) -> tuple[str, int]:
    """On what workers run, and how many can at a time."""
    there = {"cpu": int(resources.get("CPU", 0)), "cuda": int(resources.get("GPU", 0))}
    if device == "auto":
        device = "cuda" if there["cuda"] else "cpu"
    if device not in there:
        raise ValueError(f"the engine ray works on cpu or cuda, not on {device}")
    if not there[device]:
        raise ValueError(f"Ray finds no {'GPU' if device == 'cuda' else 'free core'}")
    return device, there[device]


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__).strip()
