"""How long one picture takes, against a generator of the CycleGAN kind, all in one run on the CPU:

python -m benchmarks.speed pairs      ours and a nine-block ResNet generator, in turns, at 256, 512 and 1024 px
python -m benchmarks.speed load       the same with the loading of the model, and the memory that it takes
python -m benchmarks.speed sizes      picture sizes and their memory; how cost grows with pixels
python -m benchmarks.speed scaling    batch sizes, steps, threads
python -m benchmarks.speed start      the command line from a cold start to its first picture, and to its help

--json FILE also writes the figures there, --plot FILE.png draws time against pixels (sizes). The generator has random
weights: its time does not depend on them. Two threads, and freed memory is kept, as the commands do. The machine should
do nothing else; where it does, trust the ratios of processor time (cpu), with OMP_WAIT_POLICY=passive, so that waiting
for a busy core does not count as work.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.memory import keep_freed_memory
from models.registry import shipped
from models.student import level_of
from translate import Translator
from translate.upsample import guided_upsample

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "samples" / "apples_on_table.jpg"
RIVALLED = ("apple2orange", "orange2apple", "cat2dog", "photo2vangogh")
MAIN = "apple2orange"
RIVALLED_AT = (256, 512, 1024)
SCALED_TO = (256, 512, 1024, 2048, 4096, 8192)
THREADS = 2
LINEAR_FROM = 1024  # px; below, the detail transfer is mostly what it does to its small copy, which has one size
FEW_ABOVE = 2048  # px; larger pictures get few turns, which their length makes up for
FORMATS_AT = 256  # px at which the generator's memory formats are compared
COLUMNS = (
    "model", "px", "ours, s", "generator, s", "ours, cpu", "its cpu", "ratio", "cpu ratio", "chain, GFLOP", "its GFLOP",
)  # fmt: skip
console = Console(width=120)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions at 256 channels, reflected at the border, with instance norm."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(256, 256, 3), nn.InstanceNorm2d(256), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


def resnet_generator(blocks: int = 9) -> nn.Sequential:
    """The generator that CycleGAN uses for pictures of 256 px (Zhu et al., ICCV 2017, appendix): 11.4 M parameters."""
    down = [(64, 128), (128, 256)]
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, 64, 7), nn.InstanceNorm2d(64), nn.ReLU()]
    for narrow, wide in down:
        layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.InstanceNorm2d(wide), nn.ReLU()]
    layers += [ResidualBlock() for _ in range(blocks)]
    for narrow, wide in reversed(down):
        enlarging = nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1)
        layers += [enlarging, nn.InstanceNorm2d(narrow), nn.ReLU()]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(64, 3, 7), nn.Tanh()).eval()


def picture_of(width: int, height: int | None = None) -> Image.Image:
    return Image.open(SAMPLE).convert("RGB").resize((width, height or width), Image.Resampling.BICUBIC)


class Cost(NamedTuple):
    """Of one piece of work, in seconds. cpu: of this process and those it has started, on all cores; other programs
    disturb it far less."""

    wall: float
    cpu: float


def cost(work: Callable[[], object]) -> Cost:
    wall, cpu = time.perf_counter(), _processor_time()
    work()
    return Cost(time.perf_counter() - wall, _processor_time() - cpu)


def _processor_time() -> float:
    done = os.times()
    return time.process_time() + done.children_user + done.children_system


def in_turns(works: Sequence[Callable[[], object]], turns: int) -> list[Cost]:
    """Median cost of each, after one turn that does not count."""
    rounds = [[cost(work) for work in works] for _ in range(turns + 1)][1:]
    return [Cost(*map(statistics.median, zip(*column, strict=True))) for column in zip(*rounds, strict=True)]


def peak_mb(work: str, before: str = "") -> float:
    """Peak resident memory of a fresh process, in MB, that runs the code `before` and then `work`. Linux only.

    With `before`: only what `work` added to what the process then held.
    """
    # Not getrusage: a new process starts with the peak of the one that made it.
    code = f"""
from benchmarks.speed import *
def kb(what): return int(next(line for line in open("/proc/self/status") if line.startswith(what)).split()[1])
{before}
held = kb("VmRSS") if {bool(before)} else 0
open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
{work}
print(kb("VmHWM") - held)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / 1024


def flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@torch.no_grad()
def chain_flops(translator: Translator, fast: bool = False) -> int:
    """Of the chain at its own strength: a step is a forward pass and a gradient of the pixels, which costs the same;
    or of the student's pass."""
    total = 0
    if fast:
        assert translator.model.student is not None
        side = level_of(translator.config)
        return flops(partial(translator.model.student.advance, torch.rand(1, 3, side, side), 1.0))
    for level in translator.config.schedule.scaled(translator.config.strength).levels:
        x = torch.rand(1, 3, level.resolution, level.resolution)
        total += 2 * level.steps * flops(partial(translator.energy.at(level.resolution), x))
    return total


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(table)


def rivalled() -> list[str]:
    """Those of our models that are here to be compared."""
    here = [name for name in RIVALLED if name in shipped()]
    for name in RIVALLED:
        if name not in here:
            console.print(f"{name} does not ship, so it is left out.")
    return here


def pairs(turns: int, sizes: Sequence[int]) -> dict[str, Any]:
    """Ours and the generator in turns; the generator in the faster of its two memory formats."""
    generators = {
        "contiguous": resnet_generator(),
        "channels_last": resnet_generator().to(memory_format=torch.channels_last),  # type: ignore[call-overload]
    }

    @torch.inference_mode()
    def generate(memory_format: str, x: Tensor) -> None:
        generators[memory_format](x)

    figures: dict[str, Any] = {"parameters": sum(p.numel() for p in generators["contiguous"].parameters())}
    translators, rows = [Translator.load(name, "cpu") for name in rivalled()], []
    ways = [(t, fast) for t in translators for fast in (False, True) if not fast or t.model.student is not None]
    formats: dict[str, float] = {}
    for kind in 2 * list(generators):  # the second time counts
        formats[kind] = cost(partial(generate, kind, torch.rand(1, 3, FORMATS_AT, FORMATS_AT))).cpu
    kind = min(formats, key=formats.__getitem__)
    for size in sizes:
        x, picture = torch.rand(1, 3, size, size) * 2 - 1, picture_of(size)
        ours = [partial(translator, picture, fast=fast) for translator, fast in ways]
        *times, theirs = in_turns([*ours, partial(generate, kind, x)], turns)
        its_work = flops(partial(generate, kind, torch.rand(1, 3, FORMATS_AT, FORMATS_AT))) * (size / FORMATS_AT) ** 2
        for (translator, fast), time_of in zip(ways, times, strict=True):
            name = translator.name + (" --fast" if fast else "")
            ratios = time_of.wall / theirs.wall, time_of.cpu / theirs.cpu
            work = chain_flops(translator, fast) / 1e9, its_work / 1e9
            rows.append((name, size, time_of.wall, theirs.wall, time_of.cpu, theirs.cpu, *ratios, *work))
            figures[f"{name} {size}"] = dict(zip(COLUMNS, rows[-1], strict=True))
    title = f"One picture, load excluded, medians of {turns} turns, {torch.get_num_threads()} threads, generator {kind}"
    show(title, COLUMNS, rows)
    return figures


def load(turns: int, sizes: Sequence[int]) -> dict[str, Any]:
    """One picture with the loading of its model, and the memory of a process that does that."""
    columns = ("model", "ours, s", "generator, s", "ratio", "cpu ratio")
    figures: dict[str, Any] = {}
    loaded, picture, x = [], picture_of(256), torch.rand(1, 3, 256, 256)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "generator.pt"
        torch.save(resnet_generator().state_dict(), weights)

        def load_and_generate() -> None:
            fresh = resnet_generator()
            fresh.load_state_dict(torch.load(weights, weights_only=True))
            with torch.inference_mode():
                fresh(x)

        def load_and_translate(name: str) -> None:
            Translator.load(name, "cpu")(picture)

        for name in rivalled():
            ours, theirs = in_turns([partial(load_and_translate, name), load_and_generate], turns)
            loaded.append((name, ours.wall, theirs.wall, ours.wall / theirs.wall, ours.cpu / theirs.cpu))
            figures[name] = dict(zip(columns, loaded[-1], strict=True))
    show("One picture and the loading of the model, 256 px", columns, loaded)

    memory = []
    for size in sizes:
        ours_mb = peak_mb(f"Translator.load(MAIN, 'cpu')(picture_of({size}))")
        theirs_mb = peak_mb(f"with torch.inference_mode(): resnet_generator()(torch.rand(1, 3, {size}, {size}))")
        memory.append((size, ours_mb, theirs_mb))
    figures["peak_mb"] = {str(size): {"ours": ours, "generator": theirs} for size, ours, theirs in memory}
    show("Peak memory of the whole process, MB", ("px", "ours", "generator"), memory)
    return figures


def scaling(turns: int) -> dict[str, Any]:
    """What else the time of a picture grows with."""
    translator, picture = Translator.load(MAIN, "cpu"), picture_of(256)
    figures: dict[str, Any] = {}
    counts = (1, 2, 4, 8, 16, 32)
    times = {n: in_turns([partial(translator.batch, [picture] * n)], turns)[0].wall for n in counts}
    figures["batch"] = {str(n): t / n for n, t in times.items()}
    show("Batch size, 256 px", ("pictures", "seconds a picture"), [(n, t / n) for n, t in times.items()])

    steps = (0, 1, 2, 5, 10, 20, 50, 100)
    times = {n: in_turns([partial(translator, picture, steps=n, strength=1.0)], turns)[0].wall for n in steps}
    figures["steps"] = {str(n): t for n, t in times.items()}
    show("Steps a stage, 256 px", ("steps", "seconds"), list(times.items()))

    before = torch.get_num_threads()
    times = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        times[threads] = in_turns([partial(translator, picture)], 2 * turns)[0].wall
    torch.set_num_threads(before)
    figures["threads"] = {str(n): t for n, t in times.items()}
    show("Threads, 256 px", ("threads", "seconds"), list(times.items()))
    return figures


def picture_sizes(turns: int, sizes: Sequence[int]) -> dict[str, Any]:
    """How the time and the memory of a picture grow with its pixels."""
    translator = Translator.load(MAIN, "cpu")
    columns = ("px", "megapixels", "whole, s", "detail, s", "whole, cpu", "detail, cpu", "chain, MB", "all, MB")
    *_, small = translator.frames(picture_of(256))
    change = small.source, small.state, small.upsampling
    (fixed,) = in_turns([partial(guided_upsample, np.asarray(picture_of(64)), *change)], turns)
    rows, detail = [], {}
    for size in sizes:
        picture = picture_of(size)
        works: list[Callable[[], object]] = [
            partial(translator, picture),
            partial(guided_upsample, np.asarray(picture), *change),
        ]
        all_of_it, detail[size] = in_turns(works, turns if size <= FEW_ABOVE else 2)
        ready = f"""from translate.images.read import open_image
translator, picture = Translator.load(MAIN, 'cpu'), open_image(picture_of({size}))"""
        chain_mb = peak_mb("list(translator.frames(picture))", before=ready)
        all_mb = peak_mb("translator(picture)", before=ready)
        costs = all_of_it.wall, detail[size].wall, all_of_it.cpu, detail[size].cpu
        rows.append((size, size * size / 1e6, *costs, chain_mb, all_mb))
    figures: dict[str, Any] = {str(row[0]): dict(zip(columns, row, strict=True)) for row in rows}
    title = "Picture size"
    large = [size for size in sizes if size >= LINEAR_FROM]
    if len(large) > 1:
        pixels = [size * size for size in large]
        whole = _exponent(pixels, [detail[size].cpu for size in large])
        growing = _exponent(pixels, [detail[size].cpu - fixed.cpu for size in large])
        figures["detail_exponent"] = {"whole": whole, "growing": growing, "fixed_cpu_s": fixed.cpu}
        title += f"; cpu of the detail transfer: pixels to the power of {whole:.2f}, less its fixed part {growing:.2f}"
    show(title, columns, rows)
    return figures


def _exponent(pixels: Sequence[float], times: Sequence[float]) -> float:
    """Slope of log time over log pixels, by least squares."""
    return statistics.linear_regression([math.log(p) for p in pixels], [math.log(t) for t in times]).slope


def plot_sizes(figures: dict[str, Any], path: Path) -> None:
    """Draw processor time against pixels, of the whole picture and of the detail transfer alone."""
    from matplotlib.figure import Figure

    rows = [row for row in figures.values() if "megapixels" in row]
    figure = Figure((6, 4), layout="constrained")
    axes = figure.subplots()
    for name, mark in (("whole, cpu", "o-"), ("detail, cpu", "s-")):
        axes.loglog([row["megapixels"] for row in rows], [row[name] for row in rows], mark, label=name)
    axes.set(xlabel="megapixels", ylabel="processor seconds", title=f"One picture through {MAIN}")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path)


def start(turns: int) -> dict[str, Any]:
    """The command line, cold, against what cannot be saved: python, torch and one translation."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.jpg"
        picture_of(256).save(picture)
        cli, numbers = [sys.executable, str(ROOT / "cli.py")], iter(range(10**6))

        def run(*arguments: str) -> None:
            environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
            subprocess.run(arguments, check=True, capture_output=True, env=environment)

        def translate() -> None:
            run(*cli, "translate", str(picture), "-m", MAIN, "-o", str(Path(folder) / f"{next(numbers)}.jpg"))

        translator = Translator.load(MAIN, "cpu")
        costs = in_turns(
            [
                translate,
                lambda: run(sys.executable, "-c", "import torch"),
                lambda: translator(picture),
                lambda: run(*cli, "--help"),
            ],
            turns,
        )
    columns = ("", "command", "import torch", "one translation", "ratio", "--help")
    rows, figures = [], {}
    for name, (whole, torch_alone, one, help_alone) in zip(Cost._fields, zip(*costs, strict=True), strict=True):
        rows.append((f"{name}, s", whole, torch_alone, one, whole / (torch_alone + one), help_alone))
        figures[name] = dict(zip(columns[1:], rows[-1][1:], strict=True))
    show(f"A cold start, medians of {turns}", columns, rows)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pairs", "load", "sizes", "scaling", "start"])
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", help="of the pictures, px")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="a PNG of time against pixels, for sizes")
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(THREADS)
    if options.what == "pairs":
        figures = pairs(options.turns, options.sizes or RIVALLED_AT)
    elif options.what == "load":
        figures = load(options.turns, options.sizes or RIVALLED_AT)
    elif options.what == "sizes":
        figures = picture_sizes(options.turns, options.sizes or SCALED_TO)
        if options.plot:
            plot_sizes(figures, options.plot)
    elif options.what == "scaling":
        figures = scaling(options.turns)
    else:
        figures = start(options.turns)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
