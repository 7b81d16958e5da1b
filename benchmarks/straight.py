"""Coarse to fine against training at the final size from the start: the same trunk, pictures, losses and time.

    python -m benchmarks.straight DATA/cat2dog --shape --out runs/straight

DATA/cat2dog holds trainA, trainB, testA and testB. Trains an A -> B model of 128 px in two ways, each with two seeds,
one after the other: coarse to fine (the preset, every phase cut to --share of it), and straight, with as many steps on
128 px as the schedule has in all. The straight ones get as many iterations as fit into the time that coarse to fine
took, by the speed of the first few, so that their learning rates have fallen as well when it is over. Prints the
figures of `cf-translate evaluate` on the test pictures by strength (KID x100 / rate / LPIPS / white change), and
draws the KID on held-out pictures over the minutes. What is done in --out is not done again.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import Diverged
from models.terms.votes import VotesConfig
from models.train.curriculum import Curriculum, TrainingConfig
from models.train.data import ImageArray
from models.train.presets import things
from models.train.run_dir import LOG, STATE, Log, read_config
from models.train.trainer import Trainer
from translate import Translator
from translate.images.training_set import read_training_folder
from translate.metrics.evaluation import open_bench
from translate.metrics.folders import Folders
from translate.metrics.held_out import measurer, split
from translate.metrics.networks import NAMES, Network, load_networks

SIZE = 128
SEEDS = 0, 1
STRENGTHS = 1.0, 1.5, 2.0
PROBE = 5  # iterations that tell how long one takes
SHEETS = 25  # iterations from one look at the model to the next

Domains = tuple[ImageArray, ImageArray]  # target, source


def coarse_to_fine(seed: int, share: float, shapes: bool) -> TrainingConfig:
    """The preset with every phase cut to a share of its iterations."""
    config = things(SIZE, seed, shapes)
    phases = tuple(replace(p, iterations=max(1, round(share * p.iterations))) for p in config.curriculum.phases)
    return replace(config, curriculum=replace(config.curriculum, phases=phases), sheet_every=SHEETS)


def straight(seed: int, iterations: int, shapes: bool) -> TrainingConfig:
    """One level with all the steps of the preset's schedule."""
    config = things(SIZE, seed, shapes)
    whole, phases = config.curriculum.schedule, config.curriculum.phases
    level = replace(whole.levels[-1], steps=whole.steps)
    curriculum = Curriculum(replace(whole, levels=(level,)), (replace(phases[-1], iterations=iterations),))
    assert isinstance(config.energy, VotesConfig)
    energy = replace(config.energy, resolutions=(SIZE,))
    at_use = (sum(config.steps_at_use),)
    return replace(config, energy=energy, curriculum=curriculum, steps_at_use=at_use, sheet_every=SHEETS)


def learn(run: Path, config: TrainingConfig, domains: Domains, held_out: Domains, network: Network) -> float:
    """Train to the end, or go on with it, or until it blows up for good. Returns the seconds it took."""
    resume = (run / STATE).exists()
    trainer = Trainer(run, config, *domains, held_out=held_out[1], names=("source", "target"), resume=resume)
    try:
        trainer.train(measure=measurer(network, config.sample_size, held_out[0], *domains))
    except Diverged as error:
        print(f"{run.name}: {error}", flush=True)
    return trainer.seconds


def iterations_in(seconds: float, shapes: bool, domains: Domains, run: Path) -> int:
    """How many iterations of the straight way fit into the time, as the first few go."""
    if (run / STATE).exists():
        return read_config(run).curriculum.iterations
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Path(folder), replace(straight(0, PROBE, shapes), sheet_every=10**6), *domains)
        trainer.train()
    return max(PROBE, round(PROBE * seconds / trainer.seconds))


def array(pictures: Sequence[NDArray[np.uint8]]) -> ImageArray:
    return ImageArray(np.stack(pictures))


def curve(run: Path) -> list[tuple[float, float]]:
    """(minutes of training, KID x100 on held-out pictures)."""
    log = Log()
    log.read(run / LOG)
    return [(float(row["seconds"]) / 60, float(row["kid"])) for row in log.rows if row["kid"]]


def draw(curves: dict[str, list[list[tuple[float, float]]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for (way, runs), colour in zip(curves.items(), ("#2a6fbb", "#d9772b"), strict=True):
        for number, points in enumerate(runs):
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.2, label=None if number else way)
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("KID x100, held-out pictures")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    data, out = arguments.data, arguments.out
    (network,) = load_networks([arguments.network], arguments.features)
    size = things(SIZE).picture_size
    target, source = (split(list(read_training_folder(data / part, size)[0])) for part in ("trainB", "trainA"))
    domains, held_out = ((array(a), array(b)) for a, b in zip(target, source, strict=True))
    runs: dict[str, list[Path]] = {}
    for seed in SEEDS:
        run = out / f"coarse-to-fine-{seed}"
        seconds = learn(run, coarse_to_fine(seed, arguments.share, arguments.shape), domains, held_out, network)
        runs.setdefault("coarse to fine", []).append(run)
        run = out / f"straight-{seed}"
        iterations = iterations_in(seconds, arguments.shape, domains, run)
        learn(run, straight(seed, iterations, arguments.shape), domains, held_out, network)
        runs.setdefault("straight", []).append(run)
    draw({way: [curve(run) for run in folders] for way, folders in runs.items()}, out / "straight.png")

    folders = Folders(data / "testA", data / "testB")
    bench, _, _ = open_bench(folders, [arguments.network], arguments.features, say=print)
    print("| way | seed | iterations | minutes | " + " | ".join(f"strength {s:g}" for s in STRENGTHS) + " |")
    print("| --- | --- | --- | --- |" + " --- |" * len(STRENGTHS))
    for way, made in runs.items():
        for seed, run in zip(SEEDS, made, strict=True):
            translator = Translator.load(run, device="cpu")
            last = curve(run)[-1][0]
            cells = [way, str(seed), str(read_config(run).curriculum.iterations), f"{last:.1f}"]
            for strength in STRENGTHS:
                results = translator.batch(bench.sources, strength=strength)
                f = bench.measure(result.picture for result in results)
                judged = f.networks[arguments.network]
                content, white = ("-" if v is None else f"{v:.3g}" for v in (f.content, f.white))
                cells.append(f"{judged.kid_x100:.1f} / {judged.rate.share:.2f} / {content} / {white}")
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/straight"))
    parser.add_argument("--share", type=float, default=0.5, help="of the preset's iterations")
    parser.add_argument("--shape", action="store_true", help="for things that differ in shape, such as faces")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--network", choices=NAMES, default="efficientnet-lite2")
    parser.add_argument("--features", type=Path)
    main(parser.parse_args())
