"""The other uses of one energy, each with its floors beside it: denoising, filling holes, finding outliers.

    python benchmarks/uses.py denoise MODEL --pictures DATA/cat2dog/testA
    python benchmarks/uses.py inpaint MODEL --pictures DATA/cat2dog/testA --features squeezenet1_1_features.npz
    python benchmarks/uses.py outliers MODEL --pictures DATA/cat2dog/testA --other dogs=DATA/cat2dog/testB \
        --other oranges=DATA/apple2orange/testB --other photos=DATA/vangogh2photo/testB

MODEL is calibrated (cf-translate calibrate). Pictures are brought to squares of --size px (Lanczos). With
opencv-python-headless installed its non-local means and Telea's filling stand beside.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from models.energy import energy_and_grad
from translate import Translator
from translate.images.training_set import read_training_folder
from translate.metrics.networks import as_tensor
from translate.metrics.squeezenet import Lpips
from translate.tasks.calibration import load_stats
from translate.tasks.restore import denoise, inpaint
from translate.tasks.typicality import PERCENTS, distance, statistics

cv2: Any = importlib.import_module("cv2") if importlib.util.find_spec("cv2") else None

SIGMAS = (0.05, 0.1, 0.2)
BLURS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.4, 2.8)  # the best one is chosen on the pictures
STRENGTHS = (0.6, 0.8, 1.0, 1.2, 1.5)  # of non-local means, times the noise: the best is chosen likewise
Pixels = NDArray[np.uint8]


def psnr(clean: Pixels, other: Pixels, where: NDArray[np.bool_] | None = None) -> float:
    """In dB, over the pixels `where`."""
    error = (clean.astype(np.float64) - other) ** 2
    return float(10 * np.log10(255**2 / max(1e-9, (error if where is None else error[where]).mean())))


def read(folder: Path, size: int, count: int | None) -> list[Pixels]:
    squares, _ = read_training_folder(folder, size)
    return [np.ascontiguousarray(square.transpose(1, 2, 0)) for square in np.asarray(squares[:count])]


def best(clean: Sequence[Pixels], noisy: Sequence[Pixels], ways: Mapping[float, Callable[[Pixels], Pixels]]) -> str:
    mean, way = max(
        (float(np.mean([psnr(c, f(y)) for c, y in zip(clean, noisy, strict=True)])), w) for w, f in ways.items()
    )
    return f"{mean:.2f} ({way:g})"


def blurred(radius: float) -> Callable[[Pixels], Pixels]:
    return lambda y: np.asarray(Image.fromarray(y).filter(ImageFilter.GaussianBlur(radius)))


def non_local(strength: float) -> Callable[[Pixels], Pixels]:
    return lambda y: np.asarray(cv2.fastNlMeansDenoisingColored(y, None, strength, strength, 5, 15), np.uint8)


def denoising(translator: Translator, clean: Sequence[Pixels]) -> None:
    print(
        "| sigma | noisy | blur (best radius) | non-local means (best h) | this, sigma given | this, by guess |\n|"
        + " --- |" * 6
    )
    rng = np.random.default_rng(0)
    for sigma in SIGMAS:
        noisy = [(c + rng.normal(0, 255 * sigma, c.shape)).round().clip(0, 255).astype(np.uint8) for c in clean]
        ours = [
            [
                psnr(c, np.asarray(denoise(translator, Image.fromarray(y), given).picture))
                for c, y in zip(clean, noisy, strict=True)
            ]
            for given in (sigma, None)
        ]
        blur = best(clean, noisy, {radius: blurred(radius) for radius in BLURS})
        means = "-" if cv2 is None else best(clean, noisy, {k: non_local(255 * sigma * k) for k in STRENGTHS})
        floor = np.mean([psnr(c, y) for c, y in zip(clean, noisy, strict=True)])
        print(
            f"| {sigma} | {floor:.2f} | {blur} | {means} | {np.mean(ours[0]):.2f} | {np.mean(ours[1]):.2f} |",
            flush=True,
        )


def filling(translator: Translator, clean: Sequence[Pixels], lpips: Lpips) -> None:
    size = clean[0].shape[0]
    hole = np.zeros((size, size), bool)
    hole[size // 4 : size * 3 // 4, size // 4 : size * 3 // 4] = True
    box = (size // 4, size // 4, size * 3 // 4, size * 3 // 4)

    def mean(c: Pixels) -> Pixels:
        filled = c.copy()
        filled[hole] = c[~hole].mean(axis=0).round()
        return filled

    ways: dict[str, Callable[[Pixels], Pixels]] = {"mean of the rest": mean}
    if cv2 is not None:
        mask = (255 * hole).astype(np.uint8)
        ways["Telea"] = lambda c: np.asarray(cv2.inpaint(c, mask, 5, cv2.INPAINT_TELEA), np.uint8)
    ways["this"] = lambda c: np.asarray(inpaint(translator, Image.fromarray(c), box).picture)
    print("| filled by | PSNR in the hole | LPIPS, whole picture |\n| --- | --- | --- |")
    for name, way in ways.items():
        filled = [way(c) for c in clean]
        level = np.mean([psnr(c, f, hole) for c, f in zip(clean, filled, strict=True)])
        before, after = (as_tensor([Image.fromarray(p) for p in side]) for side in (clean, filled))
        print(f"| {name} | {level:.2f} | {float(lpips(before, after).mean()):.3f} |", flush=True)


def auroc(inside: NDArray[np.floating], outside: NDArray[np.floating]) -> float:
    """The chance that an outlier scores higher than a picture of the domain (ties count half)."""
    return float((outside[:, None] > inside[None]).mean() + (outside[:, None] == inside[None]).mean() / 2)


def outlying(translator: Translator, inside: Sequence[Pixels], others: Mapping[str, Sequence[Pixels]]) -> None:
    schedule, energy, known = translator.config.schedule, translator.energy, load_stats(translator.config)
    rng = np.random.default_rng(0)
    size, count = schedule.finest, len(inside)
    order = rng.permutation(count)
    sets: dict[str, Sequence[Pixels]] = {
        **others,
        "uniform noise": list(rng.integers(0, 256, (count, size, size, 3), np.uint8)),
        "constant": [np.full((size, size, 3), colour, np.uint8) for colour in rng.integers(0, 256, (count, 3))],
        "pairwise means": [
            ((inside[a].astype(int) + inside[b]) // 2).astype(np.uint8)
            for a, b in zip(order, np.roll(order, 1), strict=True)
        ],
    }
    means, spreads = np.array(known.means), np.array(known.spreads)

    def scores(pictures: Sequence[Pixels]) -> dict[str, NDArray[np.floating]]:
        x = torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2)).float() / 127.5 - 1
        rows = torch.cat([statistics(energy, schedule, part) for part in x.split(32)]).numpy()
        found: dict[str, NDArray[np.floating]] = {}
        for number, level in enumerate(schedule.levels):
            small = torch.nn.functional.adaptive_avg_pool2d(x, level.resolution)
            parts = [energy_and_grad(energy.at(level.resolution), part) for part in small.split(32)]
            usual_energy = means[112 * number :][:16].mean()
            found[f"energy, {level.resolution} px"] = torch.cat([e for e, _ in parts]).numpy()
            found[f"energy, {level.resolution} px, two-sided"] = np.abs(
                found[f"energy, {level.resolution} px"] - usual_energy
            )
            steep = torch.cat([g.square().mean(dim=(1, 2, 3)) for _, g in parts]).log().numpy()
            found[f"slope, {level.resolution} px"] = steep
        groups = {"energies of all cells": slice(0, 16), "slopes of all cells": slice(16, 112)}
        columns = np.arange(rows.shape[1]) % 112
        for name, part in groups.items():
            chosen = (columns >= part.start) & (columns < part.stop)
            found[name] = np.sqrt(np.square((rows - means) / spreads)[:, chosen].mean(axis=1))
        found["energies and slopes of all cells"] = distance(rows, means, spreads)
        found["that and the finest energy: score"] = known.judge(rows)
        return found

    ours = scores(inside)
    theirs = {name: scores(pictures) for name, pictures in sets.items()}
    print("| score | " + " | ".join(sets) + " | mean |\n|" + " --- |" * (len(sets) + 2))
    for name, values in ours.items():
        figures = [auroc(values, theirs[other][name]) for other in sets]
        print(f"| {name} | " + " | ".join(f"{f:.3f}" for f in figures) + f" | {np.mean(figures):.3f} |")
    final = ours["that and the finest energy: score"]
    beyond = {p: float((final > mark).mean()) for p, mark in zip(PERCENTS, known.marks, strict=True)}
    print(
        "test pictures of the domain beyond the marks:", ", ".join(f"{p} %: {share:.0%}" for p, share in beyond.items())
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("use", choices=("denoise", "inpaint", "outliers"))
    parser.add_argument("model")
    parser.add_argument("--pictures", type=Path, required=True, help="test pictures of the model's domain")
    parser.add_argument("--other", action="append", default=[], help="NAME=FOLDER of another domain")
    parser.add_argument("--features", type=Path, help="SqueezeNet 1.1 features (.npz)")
    parser.add_argument("--size", type=int, help="side of the pictures; default: the model's")
    parser.add_argument("--count", type=int, help="at most so many pictures")
    arguments = parser.parse_args()
    translator = Translator.load(arguments.model, "cpu")
    size = arguments.size or translator.config.schedule.finest
    clean = read(arguments.pictures, size, arguments.count)
    print(f"{translator.name} {translator.digest}, {len(clean)} pictures of {size} px")
    if arguments.use == "denoise":
        denoising(translator, clean)
    elif arguments.use == "inpaint":
        filling(translator, clean, Lpips(arguments.features))
    else:
        others = dict(part.split("=", 1) for part in arguments.other)
        outlying(
            translator, clean, {name: read(Path(folder), size, arguments.count) for name, folder in others.items()}
        )


if __name__ == "__main__":
    main()
