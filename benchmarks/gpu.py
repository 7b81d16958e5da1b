"""Trains directions on a GPU for some minutes: larger batches and finer levels than the presets.

    python -m benchmarks.gpu pack DATA --out gpu/pictures.zip  # small enough to travel; DATA: NAME/trainA, trainB
    python -m benchmarks.gpu train gpu/pictures.zip --out runs/gpu --minutes 25
    python -m benchmarks.gpu one gpu/pictures.zip DIRECTION --out RUN --minutes 25 [--set KEY=VALUE ...]

`train` runs one process for each direction, side by side on one GPU: a single one would leave it idle half of the time.
Each measures its own speed, divides the minutes among its levels, checkpoints every two minutes and stops in time.
Without a GPU it rehearses on the CPU: --minutes 1 --set batch=2 --set steps=2,2,2,2.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.memory import keep_freed_memory
from models.model import Model
from models.terms.perceptual import PerceptualEnergy
from models.terms.textured import TexturedEnergy
from models.train.curriculum import Curriculum, Phase, TrainingConfig
from models.train.data import ImageArray
from models.train.presets import things
from models.train.run_dir import Progress
from models.train.trainer import Trainer

PACKED = 256  # side of the pictures in the zip, in pixels
QUALITY = 75  # of their WebP files
SHARES = {32: 0.1, 64: 0.2, 128: 0.4, 256: 0.4}  # of the minutes, level by level
BATCHES = {32: 32, 64: 32, 128: 24, 256: 12}


@dataclass(frozen=True)
class Direction:
    """A pair of folders, and what kind of training it takes. names: of both domains, in words."""

    folders: tuple[str, str]
    names: tuple[str, str]
    shapes: bool


DIRECTIONS = {
    "apple2orange": Direction(("apple2orange/trainA", "apple2orange/trainB"), ("apples", "oranges"), False),
    "orange2apple": Direction(("apple2orange/trainB", "apple2orange/trainA"), ("oranges", "apples"), False),
    "cat2dog": Direction(("cat2dog/trainA", "cat2dog/trainB"), ("cats", "dogs"), True),
    "dog2cat": Direction(("cat2dog/trainB", "cat2dog/trainA"), ("dogs", "cats"), True),
}


def pack(data: Path, out: Path) -> None:
    """Put the training pictures of all directions into one zip, as small WebP files."""
    folders = sorted({folder for direction in DIRECTIONS.values() for folder in direction.folders})
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as zipped:
        for folder in folders:
            for path in sorted((data / folder).iterdir()):
                picture = Image.open(path).convert("RGB").resize((PACKED, PACKED), Image.Resampling.LANCZOS)
                buffer = io.BytesIO()
                picture.save(buffer, "WEBP", quality=QUALITY)
                zipped.writestr(f"{folder}/{path.stem}.webp", buffer.getvalue())
    print(f"{out}: {out.stat().st_size / 2**20:.1f} MiB")


def unpacked(pictures: Path, folder: str, size: int) -> ImageArray:
    """The pictures of one folder of the zip at a side of `size` px."""
    with zipfile.ZipFile(pictures) as zipped:
        names = sorted(name for name in zipped.namelist() if name.startswith(f"{folder}/"))
        rows = [
            Image.open(io.BytesIO(zipped.read(name))).resize((size, size), Image.Resampling.LANCZOS) for name in names
        ]
    return ImageArray(np.stack([np.asarray(row).transpose(2, 0, 1) for row in rows]))


def settings(direction: Direction, finest: int, changes: dict[str, str]) -> TrainingConfig:
    """The preset, with larger batches. changes: KEY=VALUE of the command line."""
    config = things(finest, shapes=direction.shapes)
    schedule = config.curriculum.schedule
    levels = schedule.levels
    if "steps" in changes:
        levels = tuple(replace(v, steps=n) for v, n in zip(levels, _numbers(changes["steps"]), strict=False))
    phases = tuple(
        replace(
            phase,
            batch=int(changes.get("batch", BATCHES[level.resolution])),
            learning_rate=float(changes.get("lr", phase.learning_rate)),
            r1_weight=float(changes.get("r1", phase.r1_weight)),
        )
        for phase, level in zip(config.curriculum.phases, levels, strict=True)
    )
    if "iterations" in changes:
        phases = tuple(replace(p, iterations=n) for p, n in zip(phases, _numbers(changes["iterations"]), strict=True))
    return replace(
        config, curriculum=Curriculum(replace(schedule, levels=levels), phases), sheet_every=50,
        seed=int(changes.get("seed", 0)),
    )  # fmt: skip


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def in_minutes(
    config: TrainingConfig, minutes: float, target: ImageArray, source: ImageArray, device: str
) -> TrainingConfig:
    """The same with as many iterations of each level as fit, measured on a few."""
    seconds: dict[int, list[float]] = {}

    def phases(iterations: list[int]) -> tuple[Phase, ...]:
        return tuple(replace(p, iterations=n) for p, n in zip(config.curriculum.phases, iterations, strict=True))

    levels = config.curriculum.schedule.levels
    probe = replace(config, curriculum=replace(config.curriculum, phases=phases([5] * len(levels))), sheet_every=10**6)
    last = time.monotonic()

    def note(progress: Progress) -> None:
        nonlocal last
        seconds.setdefault(progress.resolution, []).append(time.monotonic() - last)
        last = time.monotonic()

    with tempfile.TemporaryDirectory() as folder:
        Trainer(Path(folder) / "probe", probe, target, source, device=device).train(report=note)
    share = sum(SHARES[level.resolution] for level in levels)
    each = {resolution: 1.05 * min(found) for resolution, found in seconds.items()}
    counts = [max(8, int(60 * minutes * SHARES[v.resolution] / share / each[v.resolution])) for v in levels]
    print(f"seconds an iteration {each}, iterations {counts}", flush=True)
    return replace(config, curriculum=replace(config.curriculum, phases=phases(counts)))


def train_one(o: argparse.Namespace) -> None:
    """Train one direction."""
    begin = time.monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    direction, changes = DIRECTIONS[o.direction], dict(part.split("=", 1) for part in o.set)
    config = settings(direction, o.finest, changes)
    source, target = (unpacked(o.pictures, folder, config.picture_size) for folder in direction.folders)
    if "iterations" not in changes:
        config = in_minutes(config, o.minutes - (time.monotonic() - begin) / 60, target, source, device)
    trainer = Trainer(o.out, config, target, source, names=direction.names, device=device)
    if o.start:
        energy = Model.load(o.start).to(torch.device(device)).energy
        energy = energy.things if isinstance(energy, TexturedEnergy) else energy
        assert isinstance(energy, PerceptualEnergy)
        trainer.start_from(energy)

    def report(progress: Progress) -> None:
        if progress.iteration % 20 == 0 or progress.event:
            energies = f"{progress.target_energy:+.3f} {progress.chain_energy:+.3f}"
            print(
                f"{time.monotonic() - begin:6.0f} s  {progress.iteration}/{progress.iterations}  "
                f"{progress.resolution} px  beta {progress.beta:.2f}  E {energies}  R1 {progress.penalty:.4f}  "
                f"change {progress.change:.3f}  {progress.event}",
                flush=True,
            )

    trainer.train(minutes=o.minutes - (time.monotonic() - begin) / 60, save_every=120, report=report)


def train_all(o: argparse.Namespace) -> None:
    """Train the directions side by side."""
    o.out.mkdir(parents=True, exist_ok=True)
    running = {}
    for name in o.directions.split(","):
        command = [sys.executable, "-m", "benchmarks.gpu", "one", str(o.pictures), name, "--out", str(o.out / name)]
        command += ["--minutes", str(o.minutes), "--finest", str(o.finest)] + [f"--set={part}" for part in o.set]
        log = (o.out / f"{name}.log").open("w")
        running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    for name, process in running.items():
        print(f"{name}: exit status {process.wait()}, {o.out / name}.log")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("data", type=Path)
    packing.add_argument("--out", type=Path, required=True)
    packing.set_defaults(run=lambda o: pack(o.data, o.out))
    for name, run in (("train", train_all), ("one", train_one)):
        training = commands.add_parser(name)
        training.add_argument("pictures", type=Path)
        if name == "one":
            training.add_argument("direction", choices=DIRECTIONS)
            training.add_argument("--start", type=Path, help="begin with the heads of this model")
        else:
            training.add_argument("--directions", default=",".join(DIRECTIONS))
        training.add_argument("--out", type=Path, required=True)
        training.add_argument("--minutes", type=float, default=25)
        training.add_argument("--finest", type=int, default=256)
        training.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
        training.set_defaults(run=run)
    o = parser.parse_args()
    keep_freed_memory()
    o.run(o)


if __name__ == "__main__":
    main()
