"""What `cf-translate batch --engine ray` is worth, on pictures of mixed size made from the samples (needs the extra):

python benchmarks/scaling.py same       500 pictures, ten of them bad, by both engines: the same bytes and report
python benchmarks/scaling.py kill       two workers killed in the middle of 200 pictures: nothing lost, nothing doubled
python benchmarks/scaling.py workers    two workers against one, a thread each, beside the local engine
python benchmarks/scaling.py nodes      two Ray nodes simulated on this machine, and one of them lost on the way
python benchmarks/scaling.py model      what docs/scaling.md reckons with: seconds and bytes of each part of the work

Ends with status 1 where what it shows does not hold. All but kill want a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.batch import COMMAND, MODEL, call, digests, mixed_folder  # noqa: E402

SMALL = [(256, 256), (320, 240), (240, 320)]
WORKER = b"ray::MapWorker"


def same(work: Path, count: int) -> bool:
    """Both commands, one after the other, on the same folder; reports without their seconds."""
    from tests.helpers.folders import bad_files

    mixed_folder(work / "source", count - 10)
    bad = bad_files(work / "source")
    seen = []
    for engine in ("local", "ray"):
        target, report = work / engine, work / f"{engine}.jsonl"
        begin = time.perf_counter()
        done = call(
            "batch", work / "source", target, "-m", MODEL, "--engine", engine, "--report", report, "--device", "cpu"
        )
        seconds = time.perf_counter() - begin
        print(f"{engine:6} {seconds:6.1f} s, exit code {done.returncode}: {done.stdout}", end="", flush=True)
        rows = [json.loads(line) for line in report.read_text().splitlines()]
        lines = sorted(json.dumps({**row, "seconds": 0}) for row in rows)
        results = {path.relative_to(target): digest for path, digest in digests(target).items()}
        seen.append((done.returncode, done.stdout, sorted(done.stderr.splitlines()), lines, results))
    names = ("exit codes", "summaries", "sentences", "reports but for order and seconds", "results, byte for byte")
    for name, one, other in zip(names, *seen, strict=True):
        print(f"the same {name}: {one == other}")
    return seen[0] == seen[1] and len(seen[0][4]) == count - 10 and len(seen[0][2]) == len(bad)


def kill(work: Path, count: int) -> bool:
    """kill -9 of one worker after a fifth, of another after a half; Ray's other processes live on."""
    source, target, report = work / "source", work / "target", work / "report.jsonl"
    mixed_folder(source, count, SMALL)
    arguments = ["batch", source, target, "-m", MODEL, "--engine", "ray", "--report", report, "--device", "cpu"]
    process = subprocess.Popen([*COMMAND, *map(str, arguments)])
    before: dict[Path, int] = {}
    for share in (0.2, 0.5):
        while process.poll() is None and len(results(target)) < share * count:
            time.sleep(0.05)
        worker = next(workers_of(process.pid))
        os.kill(worker, signal.SIGKILL)
        before |= results(target)
        print(f"a worker killed with {len(before)} results on the disk", flush=True)
    code = process.wait()
    after = results(target)
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    kept = all(after[path] == when for path, when in before.items())
    once = Counter(row["source"] for row in rows)
    print(f"exit code {code}, {len(after)} of {count} results, none of those before made anew: {kept}")
    print(f"lines of the report: {Counter(row['status'] for row in rows)}, two for no picture: {once.total() == count}")
    return code == 0 and len(after) == len(once) == once.total() == count and kept and whole(after)


def results(target: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in target.rglob("*.*") if path.suffix != ".part"}


def whole(paths: dict[Path, int]) -> bool:
    from translate.images.read import is_complete

    return all(is_complete(path) for path in paths)


def workers_of(parent: int) -> Iterator[int]:
    """The workers of Ray among all that a process has started, which names each by its title."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            ancestor = int(place.name)
            if not (place / "cmdline").read_bytes().startswith(WORKER):
                continue
            while ancestor > 1 and ancestor != parent:
                ancestor = int(Path(f"/proc/{ancestor}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if ancestor == parent:
            yield int(place.name)


def timed_run(engine: str, source: Path, target: Path, workers: int | None) -> float:
    """Seconds of one engine in this process, Ray's start with it."""
    from translate import Translator
    from translate.folders import ray as ray_engine
    from translate.folders import run as batch
    from translate.folders.plan import make_plan
    from translate.options import FileOptions

    run: Callable[..., Any] = batch.run if engine == "local" else ray_engine.run
    translator = Translator.load(MODEL, "cpu")
    begin = time.perf_counter()
    statuses = Counter(
        outcome.status for outcome in run(make_plan(source, target), translator, FileOptions(), workers=workers)
    )
    seconds = time.perf_counter() - begin
    assert set(statuses) <= {"done", "skipped"}, statuses
    rate = statuses.total() / seconds
    print(f"{engine:6} {workers or 'all'} worker(s) {seconds:7.1f} s  {rate:6.2f} pictures/s", flush=True)
    return seconds


def workers(work: Path, count: int) -> bool:
    """One against two, by both engines. Of Ray's seconds its start is a part: some five."""
    mixed_folder(work / "source", count)
    timed_run("local", work / "source", work / "warm", 2)  # the first call of a process is slower
    seconds = {}
    for engine, number in (("local", 1), ("ray", 1), ("ray", 2), ("local", 2)):
        seconds[engine, number] = timed_run(engine, work / "source", work / f"{engine}{number}", number)
    ratios = {engine: seconds[engine, 1] / seconds[engine, 2] for engine in ("local", "ray")}
    print(f"two workers against one: local {ratios['local']:.2f}, ray {ratios['ray']:.2f}")
    print(f"ray against local: {seconds['local', 1] / seconds['ray', 1]:.2f} with one, ", end="")
    print(f"{seconds['local', 2] / seconds['ray', 2]:.2f} with two")
    return ratios["ray"] >= 1.6


def nodes(work: Path, count: int) -> bool:
    """Nodes of one core each: one, two, and two of which one is taken away after a quarter."""
    from translate.folders import ray as ray_engine

    ray_engine.check()
    import ray
    from ray.cluster_utils import Cluster

    mixed_folder(work / "source", count)
    fine = True
    seconds = []
    for name, number, lose in (("one", 1, False), ("two", 2, False), ("lost", 2, True)):
        head = {"num_cpus": 1, "object_store_memory": ray_engine.STORE, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        other = None
        for _ in range(number - 1):
            other = cluster.add_node(num_cpus=1, object_store_memory=ray_engine.STORE)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.CRITICAL)
        try:
            target = work / name
            if not lose:
                seconds.append(timed_run("ray", work / "source", target, None))
            else:
                fine &= lose_node(cluster, other, work / "source", target, count)
        finally:
            ray.shutdown()
            cluster.shutdown()
        fine &= len(results(target)) == count and whole(results(target))
    print(f"two nodes against one: {seconds[0] / seconds[1]:.2f}")
    return fine


def lose_node(cluster: Any, node: Any, source: Path, target: Path, count: int) -> bool:
    import threading

    from translate import Translator
    from translate.folders import ray as ray_engine
    from translate.folders.plan import make_plan
    from translate.options import FileOptions

    def lose() -> None:
        while len(results(target)) < count / 4:
            time.sleep(0.1)
        cluster.remove_node(node, allow_graceful=False)
        print(f"a node lost with {len(results(target))} results on the disk", flush=True)

    threading.Thread(target=lose, daemon=True).start()
    outcomes = list(ray_engine.run(make_plan(source, target), Translator.load(MODEL, "cpu"), FileOptions()))
    statuses = Counter(outcome.status for outcome in outcomes)
    print(f"of {count} pictures: {dict(statuses)}")
    return len({outcome.source for outcome in outcomes}) == len(outcomes) == count and statuses["failed"] == 0


def model(work: Path, count: int) -> bool:
    """Each part alone, on one core."""
    from translate import Translator
    from translate.folders import ray as ray_engine
    from translate.folders.existing import existing_result
    from translate.folders.files import provenance
    from translate.folders.plan import Item, make_plan
    from translate.folders.run import translate_page
    from translate.images.formats import is_image_name
    from translate.options import FileOptions

    translator, settings = Translator.load(MODEL, "cpu"), FileOptions()
    import torch

    torch.set_num_threads(1)
    paths = mixed_folder(work / "source", count)
    plan = make_plan(work / "source", work / "target")
    list(translate_page(translator, plan.items[:4], FileOptions(overwrite=True)))
    begin, worked = time.perf_counter(), time.process_time()
    outcomes = list(translate_page(translator, plan.items[4:], settings))
    each = (time.process_time() - worked) / len(outcomes)
    clock = (time.perf_counter() - begin) / len(outcomes)
    read = sum(path.stat().st_size for path in paths) / count
    made = [path for path in (work / "target").rglob("*") if is_image_name(path)]
    written = sum(path.stat().st_size for path in made) / len(made)
    print(f"a picture: {each:.3f} s of a core ({clock:.3f} s by the clock), {1 / each:.2f} pictures/s")
    print(f"           {read / 1e3:.0f} kB read, {written / 1e3:.0f} kB written")
    wanted = provenance(translator, settings)
    begin = time.perf_counter()
    assert all(existing_result(item, wanted) is not None for item in plan.items if isinstance(item, Item))
    print(f"a finished picture is looked at in {(time.perf_counter() - begin) / count * 1e3:.1f} ms")

    many = 20_000
    for number in range(many):
        path = work / "many" / f"{number // 1000:03}" / f"product-{number:08}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(paths[0], path)
    tracemalloc.start()
    begin = time.perf_counter()
    long = make_plan(work / "many", work / "none")
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    traced = time.perf_counter() - begin
    begin = time.perf_counter()
    make_plan(work / "many", work / "none")
    seconds = time.perf_counter() - begin
    print(f"a plan of {many}: {many / seconds:.0f} pictures/s ({traced:.1f} s under tracemalloc), ", end="")
    print(f"{held / many:.0f} bytes a picture")
    assert len(long.items) == many

    ray_engine.check()
    import ray.data

    begin = time.perf_counter()
    with ray_engine._cluster(2):
        print(f"Ray starts in {time.perf_counter() - begin:.1f} s")
        for blocks in (200, 2000):
            rows = [{"page": b"x" * 10_000} for _ in range(blocks)]
            begin = time.perf_counter()
            dataset = ray.data.from_items(rows, override_num_blocks=blocks)
            put = time.perf_counter() - begin
            made_rows = dataset.flat_map(_Idle, compute=ray.data.ActorPoolStrategy(size=2), num_cpus=1)
            assert sum(1 for _ in made_rows.iter_rows()) == blocks
            seconds = time.perf_counter() - begin
            print(f"{blocks} blocks that take no time: {seconds:.1f} s, {put:.1f} of them to hand them to Ray")
    return True


class _Idle:
    def __call__(self, row: dict[str, bytes]) -> list[dict[str, bytes]]:
        return [{"outcome": b"y" * 10_000}]


SHOWS: dict[str, tuple[Callable[[Path, int], bool], int]] = {
    "same": (same, 500),
    "kill": (kill, 200),
    "workers": (workers, 256),
    "nodes": (nodes, 256),
    "model": (model, 64),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("show", choices=SHOWS)
    parser.add_argument("--count", type=int, help="how many pictures; default: as said above")
    arguments = parser.parse_args()
    show, count = SHOWS[arguments.show]
    with tempfile.TemporaryDirectory() as work:
        fine = show(Path(work), arguments.count or count)
    print("holds" if fine else "DOES NOT HOLD")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
