"""Odd names, odd places, two runs at once: what people met, by the command line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.test_cli import ROOT, run, sentence, translate
from translate import Translator
from translate.folders.own_results import own_results
from translate.folders.run import _quota
from translate.images.training_set import list_images
from translate.images.types import ImageError
from translate.lock import NAME, InUse, sole_use
from translate.temporary import held_folder, remove_left
from translate.training.fit import check_free

HOLD = "import sys,time; from pathlib import Path; from translate.lock import sole_use\n"
HOLD += "with sole_use(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (40, 30), (90 * number, 50, 60)).save(folder / name)
    return folder


def command(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **dict(options.pop("env", {}))}  # type: ignore[call-overload]
    line = [sys.executable, "-m", "cli", *map(os.fsencode, map(str, arguments))]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, timeout=300, **options)  # type: ignore


# --- names (R10) ---------------------------------------------------------------


def test_odd_names_do_not_stop_the_others(pictures: Path, tiny_model: Path, tmp_path: Path) -> None:
    odd = pictures / "e\x1b[31m\nx.png"
    (pictures / "a.png").rename(odd)
    loop = pictures / "loop.png"
    loop.symlink_to(loop.name)
    result = translate(odd, loop, pictures / ("n" * 300 + ".png"), pictures / "b.png", "-m", tiny_model, "-o", tmp_path)
    assert result.exit_code == 3
    assert "\x1b" not in result.output and "e\\x1b[31m\\nx.png" in result.stdout
    assert "this is a link to nowhere" in result.stderr
    assert (tmp_path / odd.name).is_file() and (tmp_path / "b.png").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_a_name_that_is_no_utf8(pictures: Path, tiny_model: Path) -> None:
    name = os.fsdecode(b"b\xff[red].png")  # with brackets that rich would take for markup
    (pictures / "a.png").rename(pictures / name)
    done = command(
        "translate", pictures / name, pictures / "b.png", "-m", tiny_model, env={"PYTHONIOENCODING": "ascii:strict"}
    )
    assert done.returncode == 0, done.stderr
    assert b"b\\udcff[red]-tiny.png" in done.stdout and b"b-tiny.png" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of its own kind")
def test_brackets_in_names_and_the_running_picture_on_a_terminal(pictures: Path, tiny_model: Path) -> None:
    (pictures / "a.png").rename(pictures / "a[red].png")
    pty = pytest.importorskip("pty", reason="this system has other terminals")
    main, worker = pty.openpty()
    line = [sys.executable, "-m", "cli", "translate", *map(str, pictures.glob("*.png")), "-m", str(tiny_model)]
    line += ["--steps", "500"]  # for the bar of each to be seen
    with open(pictures.parent / "list.txt", "wb") as listed:
        started = subprocess.Popen(
            line, cwd=ROOT, stdout=listed, stderr=worker, env={**os.environ, "COLUMNS": "80", "LINES": "24"}
        )
    os.close(worker)
    shown = b""
    while True:
        try:
            block = os.read(main, 65536)
        except OSError:
            break
        if not block:
            break
        shown += block
    assert started.wait() == 0, shown
    assert b"a[red].png" in shown and b"files" in shown
    lines = (pictures.parent / "list.txt").read_text().splitlines()
    assert sorted(Path(line).name for line in lines) == ["a[red]-tiny.png", "b-tiny.png"], "not between the bars"


def test_what_is_printed_beside_bars_has_a_line_of_its_own() -> None:
    code = "from translate.console import FileBars, echo, echo_err, progress_bars\n"
    code += (
        "with progress_bars() as bars:\n show = FileBars(bars, 3, 2)\n with show('a'): show.step()\n bars.refresh()\n"
    )
    code += " bars.refresh()\n echo('a result')\n echo_err('a note')"
    pty = pytest.importorskip("pty", reason="this system has other terminals")
    main, worker = pty.openpty()
    started = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=worker, stderr=worker)
    os.close(worker)
    shown = b""
    with contextlib.suppress(OSError):
        while block := os.read(main, 65536):
            shown += block
    assert started.wait() == 0, shown
    assert b"\x1b[2Ka result\r\n" in shown and b"\x1b[2Ka note\r\n" in shown, "after the bars were wiped out"


def test_bars_do_not_grow_with_the_pictures() -> None:
    from rich.console import Console
    from rich.progress import Progress

    from translate.console import FileBars

    bars = Progress(console=Console(file=io.StringIO(), force_terminal=True, width=80, height=24))
    show = FileBars(bars, 500, 3)
    for number in range(500):
        with show(f"{number}{'x' * 90}.jpg"):
            show.step()
    assert len(bars.tasks) == 2
    assert bars.tasks[0].completed == 500
    assert bars.tasks[1].description.startswith("499x") and len(bars.tasks[1].description) <= 33


# --- places (R9, R14, R20) -------------------------------------------------------


def test_a_slash_makes_a_folder_and_a_dash_a_pipe(pictures: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = f"{tmp_path / 'results.v2'}/"
    result = translate(pictures / "a.png", "-m", tiny_model, "-o", folder)
    assert result.exit_code == 0 and (tmp_path / "results.v2" / "a.png").is_file()
    result = translate(pictures / "a.png", "-m", tiny_model, "-o", tmp_path / "results.v3")
    assert result.exit_code == 2 and "for a folder write results.v3/" in sentence(result)
    picture = io.BytesIO()
    Image.new("RGB", (33, 22)).save(picture, "WEBP")
    done = command("translate", "-", "-m", tiny_model, input=picture.getvalue())
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as found:
        assert (found.format, found.size) == ("WEBP", (33, 22))
    done = command("translate", pictures / "a.png", "-m", tiny_model, "-o", "-")
    assert done.stdout.startswith(b"\x89PNG")
    done = command("translate", "-", "-m", tiny_model, input=b"no picture")
    assert (done.returncode, done.stdout) == (1, b"") and b"stdin: this is not a picture" in done.stderr
    for wrong in (("-", "-"), ("-", str(pictures / "a.png")), ("-", "--json")):
        assert translate(*wrong, "-m", tiny_model, "-o", "-").exit_code == 2


def test_own_results_are_not_translated_again(pictures: Path, tiny_model: Path) -> None:
    assert translate(*pictures.glob("*.png"), "-m", tiny_model).exit_code == 0
    result = translate(*pictures.glob("*.png"), "-m", tiny_model)
    assert result.exit_code == 0 and "a-tiny.png: left out, it is a result of a.png" in result.stderr
    assert sorted(path.name for path in pictures.iterdir()) == ["a-tiny.png", "a.png", "b-tiny.png", "b.png"]
    assert translate(pictures / "a-tiny.png", "-m", tiny_model).exit_code == 0, "named alone it is a source"


def test_results_of_other_batches_are_passed_over(pictures: Path, tiny_model: Path) -> None:
    (pictures / "notes.txt").touch()
    (pictures / ".hidden.png").touch()
    (pictures / "x").mkdir()
    Image.new("RGB", (40, 30), "green").save(pictures / "x" / "C.PNG")
    for target in ("r1", "r2"):
        result = run("batch", pictures, pictures / target, "-m", tiny_model, "--device", "cpu")
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("3 translated; passed over ")
    assert "3 made by cf-translate from others of them" in result.stdout
    assert "1 hidden" in result.stdout and "1 no picture by its name" in result.stdout
    result = run(
        "batch", pictures / "r1", pictures.parent / "r3", "-m", tiny_model, "--device", "cpu", "--glob", "*.png"
    )
    assert result.stdout == "3 translated\n", "results alone are sources; and the case of letters does not count"


def test_only_what_its_name_and_its_record_say_is_a_result(pictures: Path, tiny_model: Path) -> None:
    translate(pictures / "a.png", "-m", tiny_model)
    Image.new("RGB", (9, 9)).save(pictures / "b-tiny.png")  # not ours
    (pictures / "a-tiny.png").rename(pictures / "a-other.png")  # ours, of another model's name
    assert own_results(sorted(pictures.iterdir())) == {}


def test_a_training_writes_over_nothing(tmp_path: Path) -> None:
    for name in ("config.json", "log.csv", "samples", "checkpoints", "model.safetensors", "data.json", "curves.png"):
        folder = tmp_path / name.replace(".", "")
        folder.mkdir()
        (folder / name).write_text("x")
        with pytest.raises(FileExistsError, match=f"already holds {name}"):
            check_free(folder)
    (tmp_path / "album" / "pictures").mkdir(parents=True)
    (tmp_path / "album" / "pictures" / "mine.jpg").touch()
    with pytest.raises(FileExistsError, match="already holds pictures"):
        check_free(tmp_path / "album")
    (tmp_path / "free").mkdir()
    (tmp_path / "free" / "notes.txt").touch()
    check_free(tmp_path / "free")


def test_train_refuses_a_folder_of_others(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("x")
    result = run("train", "--source", pictures, "--target", pictures, "--out", tmp_path / "mine", "--minutes", 0.01)
    assert result.exit_code == 1 and "already holds config.json" in result.stderr
    assert os.listdir(tmp_path / "mine") == ["config.json"]


def test_links_into_a_training_folder_are_followed_once(pictures: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    Image.new("RGB", (9, 9)).save(more / "c.png")
    (pictures / "linked").symlink_to(more)
    (pictures / "again").symlink_to(more)
    (pictures / "circle").symlink_to(pictures)
    names = [path.relative_to(pictures).as_posix() for path in list_images(pictures, recursive=True)]
    assert names == ["a.png", "again/c.png", "b.png"]


# --- two at once (R11) -----------------------------------------------------------


def test_one_run_at_a_time(pictures: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with sole_use(out):
        result = run("batch", pictures, out, "-m", tiny_model, "--device", "cpu")
        assert result.exit_code == 1 and "another run of cf-translate is at work in out" in sentence(result)
        result = run("train", "--source", pictures, "--target", pictures, "--out", out, "--minutes", 0.01)
        assert result.exit_code == 1 and "another run of cf-translate is at work in out" in result.stderr
        assert os.listdir(out) == [NAME]
    assert run("batch", pictures, out, "-m", tiny_model, "--device", "cpu").exit_code == 0
    assert sorted(os.listdir(out)) == ["a.png", "b.png"]


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    held = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert held.stdout is not None and held.stdout.readline() == b"held\n"
    with pytest.raises(InUse), sole_use(tmp_path):
        pass
    held.kill()
    held.wait()
    with sole_use(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_folders_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    code = "import sys,time; from translate.temporary import held_folder\n"
    code += "with held_folder('cft-', sys.argv[1]) as f: (f/'upload').touch(); print(f, flush=True); time.sleep(60)"
    killed, living = (
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(2)
    )
    folders = [Path(process.stdout.readline().decode().strip()) for process in (killed, living)]  # type: ignore[union-attr]
    (tmp_path / "cft-mine").mkdir()
    killed.kill()
    killed.wait()
    with held_folder("cft-", str(tmp_path)) as mine:
        assert mine.is_dir() and not folders[0].exists() and (folders[1] / "upload").is_file()
    assert not mine.exists() and (tmp_path / "cft-mine").is_dir()
    living.kill()
    living.wait()
    assert remove_left("cft-", tmp_path) == 1


# --- callers (R16) ---------------------------------------------------------------


def test_arrays_are_pictures(tiny_model: Path) -> None:
    translator = Translator.load(tiny_model, "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    as_picture = translator(Image.fromarray(pixels)).picture
    for given in (pixels, np.asfortranarray(pixels)):
        np.testing.assert_array_equal(np.asarray(translator(given).picture), np.asarray(as_picture))
    assert translator(pixels, seed=np.int64(3), steps=np.int32(1), strength=np.float32(0.5)).provenance["seed"] == 3
    for wrong in (pixels / 255, pixels[0], torch.zeros(3, 8, 8), None, ["a.jpg"], 5, io.StringIO("text")):
        with pytest.raises(TypeError, match=r"an array of pixels is|a picture is a path"):
            translator(wrong)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="no pixels"):
        translator(pixels[:0])
    with pytest.raises(TypeError, match="batch takes a list"):
        translator.batch("a.jpg")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"seed": 2**70}, {"strength": float("nan")}, {"size": 0}, {"steps": -1}]
)
def test_numbers_out_of_range(options: dict[str, Any], tiny_model: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Translator.load(tiny_model, "cpu")(np.zeros((8, 8, 3), np.uint8), **options)


@pytest.mark.parametrize(
    "options", [{"seed": 1.5}, {"seed": None}, {"steps": 2.5}, {"steps": True}, {"size": "32"}, {"strength": "1"}]
)
def test_numbers_of_another_type(options: dict[str, Any], tiny_model: Path) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(options))} is a"):
        next(Translator.load(tiny_model, "cpu").frames(np.zeros((8, 8, 3), np.uint8), **options))


# --- sentences (R19) and the rest ----------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a video"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a video"),
        (b"\x1aE\xdf\xa3" + bytes(40), "a video"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"PK\3\4" + bytes(40), "a zip"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "a camera's raw file"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(40), "a camera's raw file"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"),
        (bytes(4000), "nothing but zeros"),
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ],
)
def test_what_it_is(content: bytes, words: str, tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "IMG_1.jpg"
    path.write_bytes(content)
    result = translate(path, "-m", tiny_model)
    assert result.exit_code == 1 and words in sentence(result)


def test_too_long_for_the_format_is_told_before_the_work(tiny_model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (3, 66_000)).save(tmp_path / "long.png")
    begin = time.monotonic()
    result = translate(tmp_path / "long.png", "-m", tiny_model, "-o", tmp_path / "long.jpg", "--steps", 1000)
    assert result.exit_code == 1 and "65,500 pixels a side" in sentence(result)
    assert time.monotonic() - begin < 60, "a thousand steps take longer"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[: len(data) // 2], "damaged or cut short"),
        (lambda data: b"", "is empty"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (lambda data: b"\x80\x04pickled" + data, "can run code"),
    ],
)
def test_a_model_that_is_none(change: object, words: str, tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(change(tiny_model.read_bytes()))  # type: ignore[operator]
    result = translate(pictures / "a.png", "-m", path)
    assert result.exit_code == 1 and words in sentence(result)


def test_the_notes_of_what_is_lost_reach_people(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGBA", (40, 30), (200, 0, 0, 99)).save(folder / "logo.jpg", "PNG")
    words = "JPEG holds no transparency"
    assert words in translate(folder / "logo.jpg", "-m", tiny_model, "-o", tmp_path / "a.jpg").stderr
    report = tmp_path / "run.jsonl"
    result = run("batch", folder, tmp_path / "out", "-m", tiny_model, "--report", report, "--device", "cpu")
    assert words in result.stderr
    assert any(words in note for note in json.loads(report.read_text())["notes"])


def test_a_reader_who_has_had_enough(pictures: Path, tiny_model: Path) -> None:
    script = f"{sys.executable} -m cli translate {pictures}/*.png -m {tiny_model} | true"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, timeout=300)
    assert b"Traceback" not in done.stderr and b"Errno" not in done.stderr and b"Broken" not in done.stderr


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, float("inf")),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, float("inf")),
        ({}, float("inf")),
    ],
)
def test_the_quota_of_a_container(files: dict[str, str], quota: float, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert _quota(tmp_path) == quota
