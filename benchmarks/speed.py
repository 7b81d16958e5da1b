"""How long one picture takes, against a generator of the CycleGAN kind, all in one run on the CPU:

python benchmarks/speed.py pairs      ours and a nine-block ResNet generator, in turns, at 256, 512 and 1024 px
python benchmarks/speed.py scaling    picture sizes, batch sizes, steps, threads; the exponent of the detail transfer
python benchmarks/speed.py start      the command line from a cold start to its first picture

--json FILE also writes the figures there. The machine should do nothing else. The generator has random weights: its
time does not depend on them.
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
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.checkpoint import load_model
from models.zoo import locate, shipped
from translate import Translator
from translate.detail import carry

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "samples" / "apples_on_table.jpg"
RIVALLED = [name for name in ("apple2orange", "photo2vangogh") if name in shipped()]
MAIN = "apple2orange"
COLUMNS = ("model", "px", "ours, s", "generator, s", "ratio", "its format", "chain, GFLOP", "generator, GFLOP")
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


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def in_turns(works: Sequence[Callable[[], object]], turns: int) -> list[float]:
    """Median seconds of each, after one turn that does not count."""
    rounds = [[seconds(work) for work in works] for _ in range(turns + 1)][1:]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def peak_mb(code: str) -> float:
    """Peak resident memory of a fresh process that runs `code`, in MB. Linux only."""
    # Not getrusage: a new process starts with the peak of the one that made it.
    ending = "\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    done = subprocess.run([sys.executable, "-c", code + ending], cwd=ROOT, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / 1024


def flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@torch.no_grad()
def chain_flops(translator: Translator) -> int:
    """Of the chain at its own strength: a step is a forward pass and a gradient of the pixels, which costs the same."""
    ladder = translator.config.ladder.with_steps(translator.config.strength)
    energy, _ = load_model(locate(translator.name))
    total = 0
    for stage in ladder.stages:
        x = torch.rand(1, 3, stage.resolution, stage.resolution)
        total += 2 * stage.steps * flops(partial(energy, x, stage.resolution))
    return total


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(table)


def pairs(turns: int) -> dict[str, Any]:
    """Ours and the generator in turns; the generator in the faster of its two memory formats."""
    generators = {
        "contiguous": resnet_generator(),
        "channels_last": resnet_generator().to(memory_format=torch.channels_last),  # type: ignore[call-overload]
    }

    @torch.inference_mode()
    def generate(memory_format: str, x: Tensor) -> None:
        generators[memory_format](x)

    figures: dict[str, Any] = {"parameters": sum(p.numel() for p in generators["contiguous"].parameters())}
    rows = []
    for name in RIVALLED:
        translator = Translator.load(name, "cpu")
        for size in (256, 512, 1024):
            x = torch.rand(1, 3, size, size) * 2 - 1
            trial = in_turns([partial(generate, memory_format, x) for memory_format in generators], 2)
            faster = min(zip(trial, generators, strict=True))[1]
            ours, theirs = in_turns([partial(translator, picture_of(size)), partial(generate, faster, x)], turns)
            work = chain_flops(translator), flops(partial(generate, faster, x))
            rows.append((name, size, ours, theirs, ours / theirs, faster, work[0] / 1e9, work[1] / 1e9))
            figures[f"{name} {size}"] = dict(zip(COLUMNS, rows[-1], strict=True))
    show(f"One picture, load excluded, medians of {turns} pairs, {torch.get_num_threads()} threads", COLUMNS, rows)

    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "generator.pt"
        torch.save(generators["contiguous"].state_dict(), weights)
        picture, x = picture_of(256), torch.rand(1, 3, 256, 256)

        def load_and_generate() -> None:
            fresh = resnet_generator()
            fresh.load_state_dict(torch.load(weights, weights_only=True))
            with torch.inference_mode():
                fresh(x)

        ours, theirs = in_turns([lambda: Translator.load(MAIN, "cpu")(picture), load_and_generate], turns)
        megabytes = weights.stat().st_size / 1e6
    figures["with load"] = {"ours_s": ours, "generator_s": theirs, "ratio": ours / theirs, "generator_mb": megabytes}
    show("The same with the loading of the model, 256 px", ("ours, s", "generator, s", "ratio"),
         [(ours, theirs, ours / theirs)])  # fmt: skip

    memory = []
    for size in (256, 1024):
        ours = peak_mb(f"from benchmarks.speed import *; Translator.load(MAIN, 'cpu')(picture_of({size}))")
        theirs = peak_mb(
            "from benchmarks.speed import *\n"
            f"with torch.inference_mode(): resnet_generator()(torch.rand(1, 3, {size}, {size}))"
        )
        memory.append((size, ours, theirs))
    figures["peak_mb"] = {str(size): {"ours": ours, "generator": theirs} for size, ours, theirs in memory}
    show("Peak memory of the whole process, MB", ("px", "ours", "generator"), memory)
    return figures


def scaling(turns: int) -> dict[str, Any]:
    """What the time of a picture grows with."""
    translator = Translator.load(MAIN, "cpu")
    figures: dict[str, Any] = {}

    sizes = [256, 512, 1024, 2048, 4096, 8192]
    whole, detail = {}, {}
    small = next(iter(translator.frames(picture_of(256))))
    for size in sizes:
        picture = picture_of(size)
        works: list[Callable[[], object]] = [
            partial(translator, picture),
            partial(carry, np.asarray(picture), small.source, small.state),
        ]
        whole[size], detail[size] = in_turns(works, turns if size < 4096 else 2)
    exponent = _exponent([s * s for s in sizes if s >= 1024], [detail[s] for s in sizes if s >= 1024])
    figures["sizes"] = {str(s): {"whole_s": whole[s], "detail_s": detail[s]} for s in sizes}
    figures["detail_exponent"] = exponent
    rows = [(s, s * s / 1e6, whole[s], detail[s], whole[s] - detail[s]) for s in sizes]
    columns = ("px", "megapixels", "whole, s", "detail transfer, s", "the rest, s")
    show(f"Picture size; the detail transfer grows with pixels to the power of {exponent:.2f}", columns, rows)

    picture = picture_of(256)
    times = {n: in_turns([partial(translator.batch, [picture] * n)], turns)[0] for n in (1, 2, 4, 8, 16, 32)}
    figures["batch"] = {str(n): t / n for n, t in times.items()}
    show("Batch size, 256 px", ("pictures", "seconds a picture"), [(n, t / n) for n, t in times.items()])

    counts = (0, 1, 2, 5, 10, 20, 50, 100)
    times = {n: in_turns([partial(translator, picture, steps=n, strength=1.0)], turns)[0] for n in counts}
    figures["steps"] = {str(n): t for n, t in times.items()}
    show("Steps a stage, 256 px", ("steps", "seconds"), list(times.items()))

    before = torch.get_num_threads()
    times = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        times[threads] = in_turns([partial(translator, picture)], 2 * turns)[0]
    torch.set_num_threads(before)
    figures["threads"] = {str(n): t for n, t in times.items()}
    show("Threads, 256 px", ("threads", "seconds"), list(times.items()))
    return figures


def _exponent(pixels: Sequence[float], times: Sequence[float]) -> float:
    """Slope of log time over log pixels, by least squares."""
    return statistics.linear_regression([math.log(p) for p in pixels], [math.log(t) for t in times]).slope


def start(turns: int) -> dict[str, Any]:
    """The command line, cold, against what cannot be saved: python, torch and one translation."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.jpg"
        picture_of(256).save(picture)
        command = [sys.executable, str(ROOT / "cli.py"), "translate", str(picture), "-m", MAIN, "-o"]
        numbers = iter(range(10**6))

        def run(arguments: Sequence[str]) -> None:
            subprocess.run(arguments, check=True, capture_output=True, env=os.environ)

        whole, torch_alone = in_turns(
            [
                lambda: run([*command, str(Path(folder) / f"{next(numbers)}.jpg")]),
                lambda: run([sys.executable, "-c", "import torch"]),
            ],
            turns,
        )
        translator = Translator.load(MAIN, "cpu")
        (one,) = in_turns([lambda: translator(picture)], turns)
    ratio = whole / (torch_alone + one)
    show(f"A cold start, medians of {turns}", ("command, s", "import torch, s", "one translation, s", "ratio"),
         [(whole, torch_alone, one, ratio)])  # fmt: skip
    return {"command_s": whole, "import_torch_s": torch_alone, "translation_s": one, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pairs", "scaling", "start"])
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    work = {"pairs": pairs, "scaling": scaling, "start": start}[options.what]
    figures = work(options.turns)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
