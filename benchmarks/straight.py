"""Coarse to fine against training at the final size from the start: the same trunk, pictures, losses and time.

    python -m benchmarks.straight DATA/cat2dog --shape --out runs/straight

DATA/cat2dog holds trainA, trainB, testA and testB. Trains an A -> B model of 128 px in two ways, each with two seeds,
one after the other, in equal processor time: coarse to fine (the preset, every phase cut to --share of it), and
straight, with as many steps on 128 px as the schedule has in all. The straight ones get as many iterations as fit into
the time that coarse to fine took, by the speed of the first few, so that their learning rates have fallen as well when
it is over. Prints the figures of `cf-translate evaluate` on the test pictures (KID x100, rate, LPIPS).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from models.errors import Diverged
from models.memory import keep_freed_memory
from models.terms.votes import VotesConfig
from models.train.curriculum import Curriculum, TrainingConfig
from models.train.data import ImageArray
from models.train.presets import things
from models.train.run_dir import read_config
from models.train.trainer import Trainer
from translate import Translator
from translate.images.training_set import read_training_folder
from translate.metrics.evaluation import open_bench
from translate.metrics.folders import Folders
from translate.metrics.networks import NAMES

SIZE = 128
PROBE = 8  # iterations that tell how long one takes, after as many that warm up
NEVER = 10**6  # iterations from one look at the model to the next: looking takes as long as learning

Domains = tuple[ImageArray, ImageArray]  # target, source


def coarse_to_fine(seed: int, share: float, shapes: bool) -> TrainingConfig:
    """The preset with every phase cut to a share of its iterations."""
    config = things(SIZE, seed, shapes)
    phases = tuple(replace(p, iterations=max(1, round(share * p.iterations))) for p in config.curriculum.phases)
    return replace(config, curriculum=replace(config.curriculum, phases=phases), sheet_every=NEVER)


def straight(seed: int, iterations: int, shapes: bool) -> TrainingConfig:
    """One level with all the steps of the preset's schedule."""
    config = things(SIZE, seed, shapes)
    whole, phases = config.curriculum.schedule, config.curriculum.phases
    level = replace(whole.levels[-1], steps=sum(level.steps for level in whole.levels))
    curriculum = Curriculum(replace(whole, levels=(level,)), (replace(phases[-1], iterations=iterations),))
    assert isinstance(config.energy, VotesConfig)
    energy = replace(config.energy, resolutions=(SIZE,))
    at_use = (sum(config.steps_at_use),)
    return replace(config, energy=energy, curriculum=curriculum, steps_at_use=at_use, sheet_every=NEVER)


def learn(run: Path, config: TrainingConfig, domains: Domains) -> float:
    """Train to the end, or until it blows up for good. Returns the processor's seconds, which do not count what other
    programs take."""
    begin = time.process_time()
    trainer = Trainer(run, config, *domains, names=("source", "target"))
    try:
        trainer.train()
    except Diverged as error:
        print(f"{run.name}: {error}", flush=True)
    return time.process_time() - begin


def iterations_in(seconds: float, shapes: bool, domains: Domains) -> int:
    """How many iterations of the straight way fit into the time, as the first few go."""
    config, spent = straight(0, PROBE, shapes), 0.0
    for _ in ("warm up", "measure"):
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(Path(folder), config, *domains)
            begin = time.process_time()
            trainer.train()
            spent = time.process_time() - begin
    return max(PROBE, round(PROBE * seconds / spent))


def main(arguments: argparse.Namespace) -> None:
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    data, out, shapes = arguments.data, arguments.out, arguments.shape
    size = things(SIZE).picture_size
    target, source = (ImageArray(read_training_folder(data / part, size)[0]) for part in ("trainB", "trainA"))
    domains = target, source
    runs: list[tuple[str, int, Path, float]] = []
    for seed in arguments.seeds:
        run = out / f"coarse-to-fine-{seed}"
        seconds = learn(run, coarse_to_fine(seed, arguments.share, shapes), domains)
        runs.append(("coarse to fine", seed, run, seconds))
        run = out / f"straight-{seed}"
        iterations = iterations_in(seconds, shapes, domains)
        runs.append(("straight", seed, run, learn(run, straight(seed, iterations, shapes), domains)))

    with tempfile.TemporaryDirectory() as few:
        for path in sorted((data / "testA").iterdir())[:: arguments.every]:
            shutil.copy(path, few)
        folders = Folders(Path(few), data / "testB", data / "trainA", data / "trainB")
        bench, _, _ = open_bench(folders, [arguments.network], arguments.features, say=print)
        print("| way | seed | iterations | minutes | KID x100 | rate | LPIPS |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for way, seed, run, seconds in runs:
            translator = Translator.load(run, device="cpu")
            f = bench.measure(translator(source).picture for source in bench.sources)
            judged, iterations = f.networks[arguments.network], read_config(run).curriculum.iterations
            content = "-" if f.content is None else f"{f.content:.3f}"
            cells = [way, str(seed), str(iterations), f"{seconds / 60:.1f}", f"{judged.kid_x100:.1f}"]
            print("| " + " | ".join([*cells, f"{judged.rate.share:.2f}", content]) + " |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/straight"))
    parser.add_argument("--share", type=float, default=0.5, help="of the preset's iterations")
    parser.add_argument("--shape", action="store_true", help="for things that differ in shape, such as faces")
    parser.add_argument("--every", type=int, default=1, help="measure on each so-many-th test picture")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--network", choices=NAMES, default="efficientnet-lite2")
    parser.add_argument("--features", type=Path)
    main(parser.parse_args())
