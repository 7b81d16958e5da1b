"""What `cf-translate batch` is worth, on a folder of pictures of mixed size made from the samples:

python benchmarks/batch.py throughput    pictures a second, against a plain loop and against `translate a b c`
python benchmarks/batch.py kill          killed three times in the middle of 200 pictures, then run to its end
python benchmarks/batch.py bad           500 pictures, ten of them bad, each in another way
python benchmarks/batch.py memory        peak memory over 500 pictures
python benchmarks/batch.py large         24 and 100 megapixels through the whole command: seconds and peak memory

Ends with status 1 where what it shows does not hold. Throughput wants a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
MODEL = "apple2orange"
SIZES = [(256, 256), (640, 480), (480, 640), (1024, 768), (320, 240), (800, 600), (1600, 1200), (768, 1024)]
SUFFIXES = [".jpg", ".jpg", ".jpg", ".png", ".jpg", ".webp"]
COMMAND = [sys.executable, str(ROOT / "cli.py")]


def mixed_folder(folder: Path, count: int, sizes: Sequence[tuple[int, int]] = SIZES) -> list[Path]:
    """`count` pictures of all sizes and formats, no two alike, in folders of fifty."""
    samples = [Image.open(path).convert("RGB") for path in sorted((ROOT / "samples").glob("apple*.jpg"))]
    paths = []
    for number in range(count):
        width, height = sizes[number % len(sizes)]
        sample = samples[number % len(samples)].rotate(number % 7, Image.Resampling.BICUBIC, fillcolor="white")
        path = folder / f"{number // 50}" / f"{number:04}{SUFFIXES[number % len(SUFFIXES)]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        sample.resize((width, height)).save(path, quality=90)
        paths.append(path)
    return paths


def call(*arguments: object, quiet: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=quiet, text=True, check=False)


def throughput(work: Path, count: int) -> bool:
    """A plain loop of `translate` and `batch` in one process, in turns, and the two commands, in turns."""
    from translate import Translator
    from translate.folders.plan import make_plan
    from translate.folders.run import run
    from translate.images.read import open_image
    from translate.images.write import save_image
    from translate.options import FileOptions

    translator = Translator.load(MODEL, "cpu")
    turns = max(1, count // 40)
    folders = [work / f"source{turn}" for turn in range(turns)]
    for folder in folders:
        mixed_folder(folder, count // turns)

    def loop(turn: int) -> None:
        for path in sorted(folders[turn].rglob("*.*")):
            photo = open_image(path)
            result = translator(photo)
            target = work / f"loop{turn}" / path.relative_to(folders[turn])
            target.parent.mkdir(parents=True, exist_ok=True)
            save_image(result.picture, target, like=photo, provenance=result.provenance, source=path)

    def batch(turn: int) -> None:
        plan = make_plan(folders[turn], work / f"batch{turn}")
        statuses = {outcome.status for outcome in run(plan, translator, FileOptions())}
        assert statuses == {"done"}, statuses

    def translate_command(turn: int) -> None:
        paths = sorted(folders[turn].rglob("*.*"))
        assert call("translate", *paths, "-m", MODEL, "-o", work / f"t{turn}", "--device", "cpu").returncode == 0

    def batch_command(turn: int) -> None:
        assert call("batch", folders[turn], work / f"b{turn}", "-m", MODEL, "--device", "cpu").returncode == 0

    loop(0)  # the first call of a process is slower
    ratios = []
    for slow, fast in ((loop, batch), (translate_command, batch_command)):
        seconds = {slow: 0.0, fast: 0.0}
        for turn in range(turns):
            for way in (slow, fast) if turn % 2 else (fast, slow):
                seconds[way] += timed(way, turn)
        for way in (slow, fast):
            name = way.__name__.replace("_", " ")
            print(f"{name:18} {seconds[way]:7.1f} s  {count // turns * turns / seconds[way]:6.2f} pictures/s")
        ratios.append(seconds[slow] / seconds[fast])
        print(f"ratio {ratios[-1]:.2f}")
    return ratios[0] >= 1.5


def timed(work: Callable[[int], None], turn: int) -> float:
    begin = time.perf_counter()
    work(turn)
    return time.perf_counter() - begin


def digests(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def kill(work: Path, count: int) -> bool:
    """kill -9 after a sixth, a third and two thirds, then a run to the end, which makes nothing anew."""
    from translate.images.read import is_complete

    source, target, report = work / "source", work / "target", work / "report.jsonl"
    mixed_folder(source, count, [(256, 256), (320, 240), (240, 320)])
    before, made = digests(source), dict[Path, int]()
    arguments = ["batch", source, target, "-m", MODEL, "--report", report, "--device", "cpu"]

    def results() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in target.rglob("*.*") if path.suffix != ".part"}

    def good() -> bool:
        new = results()
        kept = all(new.get(path) == when for path, when in made.items())
        made.update(new)
        return kept and all(is_complete(path) for path in new) and digests(source) == before

    fine = True
    for share in (1 / 6, 1 / 3, 2 / 3):
        process = subprocess.Popen([*COMMAND, *map(str, arguments)])
        while process.poll() is None and len(results()) < share * count:
            time.sleep(0.01)
        process.kill()
        process.wait()
        parts = len(list(target.rglob("*.part")))
        fine &= good()
        print(f"killed: {len(made)} results, all whole: {fine}; {parts} temporary files left behind")
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    fine &= call(*arguments).returncode == 0 and good() and len(made) == count
    left = [path for path in target.rglob("*") if path.suffix == ".part"]
    print(f"run to its end: {len(made)} of {count} results, none made anew: {fine}; {len(left)} temporary files")
    print(f"lines of the report after the kills, all of them whole: {len(rows)}")
    return fine and not left


def bad(work: Path, count: int) -> bool:
    """Among 500 pictures ten bad ones."""
    from tests.helpers.folders import bad_files

    mixed_folder(work / "source", count - 10, [(96, 96), (128, 96)])
    names = bad_files(work / "source")
    done = call("batch", work / "source", work / "target", "-m", MODEL, "--strength", 0.2, "--device", "cpu")
    results = [path for path in (work / "target").rglob("*") if path.is_file()]
    print(done.stdout, done.stderr, f"{len(results)} results, exit code {done.returncode}", sep="")
    lines = done.stderr.splitlines()
    return done.returncode == 3 and len(results) == count - 10 and len(lines) == len(names) == 10


@contextmanager
def measured(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A command that runs, and its resident memory in MB at every tenth of a second."""
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], text=True, stdout=subprocess.DEVNULL)
    sizes: list[int] = []
    page = os.sysconf("SC_PAGE_SIZE")
    while process.poll() is None:
        try:
            pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            break
        sizes.append(int(pages) * page >> 20)
        time.sleep(0.1)
    process.wait()
    yield process, sizes


def memory(work: Path, count: int) -> bool:
    """The last fifth of the run takes no more than the second one, within 5 %."""
    mixed_folder(work / "source", count)
    with measured("batch", work / "source", work / "target", "-m", MODEL, "--strength", 0.3, "--device", "cpu") as (
        process,
        sizes,
    ):
        fifth = len(sizes) // 5
        peaks = [max(sizes[part * fifth : (part + 1) * fifth]) for part in range(5)]
    print("peak of each fifth of the run, MB:", *peaks)
    return process.returncode == 0 and peaks[4] <= 1.05 * max(peaks[1], peaks[2])


def large(work: Path, count: int) -> bool:
    """24 and 100 megapixels, sRGB and Display P3, JPEG and PNG, each alone; then three of 24 in one folder."""
    from tests.helpers.image_files import rgb_profile

    sample = Image.open(ROOT / "samples" / "apples_on_table.jpg").convert("RGB")
    fine = True
    for name, size, profile, copies in [
        ("small.jpg", (640, 480), False, 1),
        ("24.jpg", (6000, 4000), False, 1),
        ("24.png", (6000, 4000), False, 1),
        ("24 P3.jpg", (6000, 4000), True, 1),
        ("24.jpg", (6000, 4000), False, 3),
        ("100.jpg", (11547, 8660), False, 1),
        ("100 P3.jpg", (11547, 8660), True, 1),
    ]:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            source, target = Path(folder) / "source", Path(folder) / "target"
            source.mkdir()
            picture = sample.resize(size, Image.Resampling.BICUBIC)
            picture.paste(Image.effect_noise((size[0] // 4, size[1] // 4), 60).convert("RGB"))
            options: dict[str, Any] = {"icc_profile": rgb_profile("Display P3")} if profile else {}
            for copy in range(copies):
                picture.save(source / f"{copy} {name}", quality=92, **options)
            begin = time.perf_counter()
            with measured("batch", source, target, "-m", MODEL, "--device", "cpu") as (process, sizes):
                seconds = time.perf_counter() - begin
            print(f"{copies} x {name:12} {seconds:6.1f} s, peak {max(sizes):5} MB", flush=True)
            fine &= process.returncode == 0 and max(sizes) < 3500
            for path in target.iterdir():
                with Image.open(path) as result:
                    fine &= result.size == size
    return fine


SHOWS: dict[str, tuple[Callable[[Path, int], bool], int]] = {
    "throughput": (throughput, 200),
    "kill": (kill, 200),
    "bad": (bad, 500),
    "memory": (memory, 500),
    "large": (large, 1),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("show", choices=SHOWS)
    parser.add_argument("--count", type=int, help="how many pictures; default: as said above")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    show, count = SHOWS[arguments.show]
    with tempfile.TemporaryDirectory() as work:
        fine = show(Path(work), arguments.count or count)
    print("holds" if fine else "DOES NOT HOLD")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
