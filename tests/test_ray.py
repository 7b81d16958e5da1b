"""Ray: the same plan, results and report as on one machine, whatever becomes of the workers."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app
from tests.helpers.folders import FAST, ROOT, bad_files, digests, draw, start, statuses, wait_for
from translate import Translator
from translate.folders import ray as ray_engine
from translate.folders import run as batch
from translate.folders.plan import RemoteItem, make_plan
from translate.folders.report import Outcome
from translate.images.read import is_complete
from translate.options import FileOptions, SamplingOptions

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None,
    reason="the extra ray is not installed",
)
NAMES = [f"{number}.png" for number in range(12)]


@pytest.fixture(scope="module")
def translator(tiny_model: Path) -> Translator:
    return Translator.load(tiny_model, device="cpu")


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """One Ray for all tests in this process, of two cores, whatever the machine has."""
    with ray_engine._cluster(2):
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve pictures of two shapes, in three pages."""
    monkeypatch.setattr(batch, "PAGE", 4)
    monkeypatch.setattr(ray_engine, "PAGE", 4)
    for number, name in enumerate(NAMES):
        draw(tmp_path / "source" / name, [(40, 30), (30, 40)][number // 3 % 2], number)
    return tmp_path / "source"


def translated(source: Path, target: Path, translator: Translator, settings: FileOptions = FAST, **options: Any) -> Any:
    outcomes = list(ray_engine.run(make_plan(source, target), translator, settings, **options))
    assert len({outcome.source for outcome in outcomes}) == len(outcomes)
    return {outcome.source: outcome for outcome in outcomes}


def without_seconds(outcomes: dict[str, Outcome]) -> list[Outcome]:
    return sorted((replace(outcome, seconds=0) for outcome in outcomes.values()), key=lambda outcome: outcome.source)


# --- without it ---------------------------------------------------------------------------------------


def test_without_the_extra_one_sentence_names_it(
    tiny_model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    arguments = ["batch", folder, tmp_path / "t", "-m", tiny_model, "--engine", "ray", "--report", tmp_path / "r.jsonl"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 1
    assert result.stderr == "error: the engine ray needs the extra of that name: pip install '.[ray]'\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_nothing_of_ray_is_imported_otherwise() -> None:
    code = "import sys, cli, translate.folders.run, translate.folders.ray; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# --- with it ------------------------------------------------------------------------------------------


@needs_ray
def test_both_engines_make_the_same_results_and_the_same_report(
    ray_here: None, translator: Translator, folder: Path, tmp_path: Path
) -> None:
    bad, steps = bad_files(folder), list[int]()
    local = {o.source: o for o in batch.run(make_plan(folder, tmp_path / "local"), translator, FAST)}
    outcomes = translated(folder, tmp_path / "ray", translator, step=lambda: steps.append(1))
    assert {name for name, outcome in outcomes.items() if outcome.status != "done"} == set(bad)
    assert without_seconds(outcomes) == without_seconds(local)
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")
    assert len(steps) == len(NAMES) * translator.check(steps=1, size=16)


@needs_ray
def test_every_kind_of_model_makes_the_same_bytes_on_workers(
    ray_here: None, any_model: Path, folder: Path, tmp_path: Path
) -> None:
    """With its probe, its gate and its noise: all of a model has to travel."""
    translator, settings = Translator.load(any_model, device="cpu"), FileOptions(SamplingOptions(seed=3))
    local = {o.source: o for o in batch.run(make_plan(folder, tmp_path / "local"), translator, settings)}
    outcomes = translated(folder, tmp_path / "ray", translator, settings)
    assert without_seconds(outcomes) == without_seconds(local)
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")
    assert digests(tmp_path / "ray") != digests(folder)


@needs_ray
def test_workers_fetch_and_put_what_lies_elsewhere(
    ray_here: None, translator: Translator, folder: Path, tmp_path: Path
) -> None:
    """By a file system that all processes have: here a folder again, but reached as a store is."""
    (folder / "bad.jpg").write_bytes(b"no picture")
    local = {o.source: o for o in batch.run(make_plan(folder, tmp_path / "local"), translator, FAST)}
    (tmp_path / "ray").mkdir()
    plan = make_plan(f"dir://source::file://{tmp_path}", f"dir://ray::file://{tmp_path}")
    assert all(isinstance(item, RemoteItem) for item in plan.items)
    outcomes = {outcome.source: outcome for outcome in ray_engine.run(plan, translator, FAST)}
    assert without_seconds(outcomes) == without_seconds(local)
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")
    again = {outcome.source: outcome for outcome in ray_engine.run(plan, translator, FAST)}
    assert set(statuses(again).values()) == {"skipped", "failed"}


@needs_ray
def test_a_rerun_finishes_the_rest(ray_here: None, translator: Translator, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    plan = make_plan(folder, target)
    for _ in zip(range(5), batch.run(plan, translator, FAST, workers=1), strict=False):
        pass
    before = {path.name: path.stat().st_mtime_ns for path in target.iterdir()}
    assert 5 <= len(before) < len(NAMES)
    (target / ".cf-translate-0123456789abcdef.part").write_bytes(b"of a worker that was lost")
    outcomes = translated(folder, target, translator)
    assert {name for name, outcome in outcomes.items() if outcome.status == "skipped"} == set(before)
    assert {name: (target / name).stat().st_mtime_ns for name in before} == before
    assert set(digests(target)) == set(NAMES)
    assert set(statuses(translated(folder, target, translator)).values()) == {"skipped"}


def worker_that(after_group: Any) -> type:
    """A worker in whose process a function is called after each group, with its outcomes."""

    class Fragile(ray_engine._Worker):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            real = batch.translate_bucket

            def translate_bucket(*arguments: Any, **options: Any) -> list[Outcome]:
                outcomes = real(*arguments, **options)
                after_group(outcomes)
                return outcomes

            batch.translate_bucket = translate_bucket

    return Fragile


@needs_ray
def test_a_lost_worker_loses_nothing_and_doubles_nothing(
    ray_here: None, translator: Translator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, target = tmp_path / "log", tmp_path / "target"

    def die_once(outcomes: list[Outcome]) -> None:
        names = [outcome.source for outcome in outcomes]
        last = "5.png" in names and not (log.exists() and "5.png" in log.read_text())
        with log.open("a") as file:
            file.write("".join(f"{name}\n" for name in names))
        if last:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ray_engine, "_Worker", worker_that(die_once))
    outcomes = translated(folder, target, translator)
    assert set(outcomes) == set(NAMES)
    assert sorted(log.read_text().split()) == sorted(NAMES)  # each was made once
    assert outcomes["5.png"].status == "skipped"
    assert {outcome.status for outcome in outcomes.values()} == {"done", "skipped"}
    assert set(digests(target)) == set(NAMES)
    assert all(is_complete(path) for path in target.iterdir())


@needs_ray
def test_a_picture_that_ends_its_workers_takes_no_other_with_it(
    ray_here: None, translator: Translator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"

    def die(outcomes: list[Outcome]) -> None:
        if any(outcome.source == "6.png" for outcome in outcomes):
            (target / "6.png").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ray_engine, "_Worker", worker_that(die))
    outcomes = translated(folder, target, translator)
    assert set(outcomes) == set(NAMES)
    assert {name for name, outcome in outcomes.items() if outcome.status == "failed"} == {"6.png"}
    assert outcomes["6.png"].reason == "it ended its worker 3 times"
    assert set(digests(target)) == set(NAMES) - {"6.png"}


@needs_ray
def test_stopped_in_the_middle(ray_here: None, translator: Translator, folder: Path, tmp_path: Path) -> None:
    enough = threading.Event()
    outcomes = []
    for outcome in ray_engine.run(
        make_plan(folder, tmp_path / "t"), translator, FAST, workers=1, stopped=enough.is_set
    ):
        outcomes.append(outcome)
        enough.set()
    assert 0 < len(outcomes) < len(NAMES)
    assert set(translated(folder, tmp_path / "t", translator)) == set(NAMES)


@needs_ray
def test_devices_that_are_not_there(ray_here: None, translator: Translator, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Ray finds no GPU"):
        translated(folder, tmp_path / "t", translator, device="cuda")
    with pytest.raises(ValueError, match="the engine ray works on cpu or cuda, not on mps"):
        translated(folder, tmp_path / "t", translator, device="mps")
    assert not (tmp_path / "t").exists()


@needs_ray
def test_the_command_starts_a_ray_of_its_own_and_says_nothing_of_it(tiny_model: Path, folder: Path) -> None:
    bad = bad_files(folder)
    target, report = folder.with_name("target"), folder.with_name("report.jsonl")
    process = start(folder, target, tiny_model, "--engine", "ray", "--report", report)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (3, "12 translated, 1 refused, 9 failed\n")
    assert sorted(line.partition(":")[0] for line in err.splitlines()) == sorted(bad)
    assert len(report.read_text().splitlines()) == len(NAMES) + len(bad)


@needs_ray
def test_a_signal_ends_it_in_good_order(translator: Translator, tiny_model: Path, tmp_path: Path) -> None:
    source, target, report = tmp_path / "source", tmp_path / "target", tmp_path / "report.jsonl"
    for number in range(300):
        draw(source / f"{number}.png", (150, 90), number)
    process = start(source, target, tiny_model, "--engine", "ray", "--report", report)
    wait_for(target, 70, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM
    assert err == "SIGTERM: stopped; the same command goes on from here\n"
    results = [path for path in target.iterdir() if path.suffix == ".png"]
    assert 70 <= len(results) < 300
    assert all(is_complete(path) for path in results)
    said = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    assert {row["target"] for row in said} <= {path.name for path in results}
    again = batch.run(make_plan(source, target), translator, FileOptions(SamplingOptions(strength=2, steps=10)))
    assert len({o.source for o in again if o.status == "skipped"}) == len(results)
