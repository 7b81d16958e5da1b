"""The uses beside translation, each with its floors beside it: making pictures, removing noise, filling holes, judging.

    python benchmarks/uses.py generate MODEL --pictures DATA/cat2dog/testA --features FEATURES [--also NAME=FOLDER]
    python benchmarks/uses.py denoise MODEL --pictures DATA/cat2dog/testA --features FEATURES
    python benchmarks/uses.py inpaint MODEL --pictures DATA/cat2dog/testA --features FEATURES
    python benchmarks/uses.py outliers MODEL --pictures DATA/cat2dog/testA --other dogs=DATA/cat2dog/testB \
        --other oranges=DATA/apple2orange/testB --other photos=DATA/vangogh2photo/testB

FEATURES: squeezenet1_1_features.npz. Pictures are brought to squares of --size px (Lanczos). With
opencv-python-headless installed its non-local means and Telea's filling stand beside. +- is a 95 % interval over
pictures; for a KID it is twice the spread over halves. Needs the extra evaluate.
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

from translate import Translator
from translate.images.training_set import read_training_folder
from translate.metrics.distances import kid, spread
from translate.metrics.networks import as_tensor, load_networks
from translate.metrics.squeezenet import Lpips
from translate.tasks.calibration import load_stats, measured
from translate.tasks.denoise import denoise
from translate.tasks.generate import VARIETY, Streams, generate, sheet
from translate.tasks.inpaint import inpaint
from translate.tasks.typicality import PERCENTS

cv2: Any = importlib.import_module("cv2") if importlib.util.find_spec("cv2") else None

SIGMAS = (0.05, 0.1, 0.2)
BLURS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.4, 2.8)  # the best one is chosen on the pictures
STRENGTHS = (0.6, 0.8, 1.0, 1.2, 1.5)  # of non-local means, times the noise: the best is chosen likewise
NEAREST = 6  # training pictures beside each made one
Pixels = NDArray[np.uint8]


def psnr(clean: Pixels, other: Pixels, where: NDArray[np.bool_] | None = None) -> float:
    """In dB, over the pixels `where`."""
    error = (clean.astype(np.float64) - other) ** 2
    return float(10 * np.log10(255**2 / max(1e-9, (error if where is None else error[where]).mean())))


def read(folder: Path, size: int, count: int | None = None) -> list[Pixels]:
    squares, _ = read_training_folder(folder, size)
    return [np.ascontiguousarray(square.transpose(1, 2, 0)) for square in np.asarray(squares[:count])]


def interval(values: Sequence[float] | NDArray[np.floating], digits: int) -> str:
    """Mean and half of its 95 % interval."""
    half = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return f"{float(np.mean(values)):.{digits}f} +- {half:.{digits}f}"


def perceived(lpips: Lpips, clean: Sequence[Pixels], other: Sequence[Pixels]) -> NDArray[np.floating]:
    before, after = (as_tensor([Image.fromarray(p) for p in side]) for side in (clean, other))
    found: NDArray[np.floating] = lpips(before, after).numpy()
    return found


# Making pictures -----------------------------------------------------------------------------------------------------


def making(
    translator: Translator, real: Path, count: int, features: Path, also: Mapping[str, Path], trained: Path | None,
    out: Path | None,
) -> None:  # fmt: skip
    size, density = translator.config.schedule.finest, translator.model.density
    made = [np.asarray(picture) for picture in generate(translator, count)]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        sheet([Image.fromarray(p) for p in made], scale=1).save(out / "made.png")
        if trained is not None:
            beside_nearest(made, read(trained, size)).save(out / "nearest.png")
    sets = {"this": made}
    if density is not None:
        x = density.pictures(Streams.of(range(count)).latent(density), size, VARIETY)
        sets["its starts"] = list(((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())
    sets |= {name: read(folder, size, count) for name, folder in also.items()}
    target = as_tensor([Image.fromarray(p) for p in read(real, size)])
    print("| KID x100 | " + " | ".join(f"{name} ({len(p)})" for name, p in sets.items()) + " |")
    print("|" + " --- |" * (len(sets) + 1))
    for network in load_networks(features=features, say=print):
        against = network.features(target)
        unit = spread(against) if network.by_spread else 1.0
        found = [kid(network.features(as_tensor(list(map(Image.fromarray, p)))), against, unit) for p in sets.values()]
        print(
            f"| {network.title} | " + " | ".join(f"{k.value:.1f} +- {2 * k.sd:.1f}" for k in found) + " |", flush=True
        )


def beside_nearest(made: Sequence[Pixels], trained: Sequence[Pixels]) -> Image.Image:
    """Every eighth made picture, and to its right the training pictures, or mirror images, that come nearest to it."""
    known = np.stack([side for p in trained for side in (p, p[:, ::-1])])
    small = known[:, 2::4, 2::4].reshape(len(known), -1).astype(np.float32)
    row: list[Pixels] = []
    for picture in made[::8]:
        far = np.square(small - picture[2::4, 2::4].reshape(1, -1)).mean(axis=1)
        row += [picture, *known[np.argsort(far)[:NEAREST]]]
    return sheet([Image.fromarray(p) for p in row], columns=NEAREST + 1, scale=1)


# Removing noise ------------------------------------------------------------------------------------------------------


def blurred(radius: float) -> Callable[[Pixels], Pixels]:
    return lambda y: np.asarray(Image.fromarray(y).filter(ImageFilter.GaussianBlur(radius)))


def non_local(strength: float) -> Callable[[Pixels], Pixels]:
    return lambda y: np.asarray(cv2.fastNlMeansDenoisingColored(y, None, strength, strength, 5, 15), np.uint8)


def best(
    clean: Sequence[Pixels], noisy: Sequence[Pixels], ways: Mapping[float, Callable[[Pixels], Pixels]],
    loss: Callable[[Sequence[Pixels]], float],
) -> list[Pixels]:  # fmt: skip
    """What the way with the least loss makes of the noisy pictures."""
    return min(([way(y) for y in noisy] for way in ways.values()), key=loss)


def denoising(translator: Translator, clean: Sequence[Pixels], lpips: Lpips) -> None:
    """Blur and non-local means are set for the best figure of each column on these very pictures."""
    print("| sigma | PSNR: noisy | blur | non-local means | this | LPIPS: noisy | blur | non-local means | this |")
    print("|" + " --- |" * 9)
    rng = np.random.default_rng(0)
    measures: list[tuple[Callable[[Sequence[Pixels]], NDArray[np.floating]], int, int]] = [
        (lambda made: np.array([psnr(c, m) for c, m in zip(clean, made, strict=True)]), -1, 2),
        (lambda made: perceived(lpips, clean, made), 1, 3),
    ]
    for sigma in SIGMAS:
        noisy = [(c + rng.normal(0, 255 * sigma, c.shape)).round().clip(0, 255).astype(np.uint8) for c in clean]
        ours = [np.asarray(denoise(translator, Image.fromarray(y), sigma).picture) for y in noisy]
        row = [f"{sigma}"]
        for measure, sign, digits in measures:

            def loss(made: Sequence[Pixels], measure=measure, sign=sign) -> float:  # type: ignore[no-untyped-def]
                return sign * float(measure(made).mean())

            blur = best(clean, noisy, {radius: blurred(radius) for radius in BLURS}, loss)
            means = None if cv2 is None else best(
                clean, noisy, {k: non_local(255 * sigma * k) for k in STRENGTHS}, loss
            )  # fmt: skip
            row += ["-" if made is None else interval(measure(made), digits) for made in (noisy, blur, means, ours)]
        print("| " + " | ".join(row) + " |", flush=True)


# Filling holes -------------------------------------------------------------------------------------------------------


def filling(translator: Translator, clean: Sequence[Pixels], lpips: Lpips, out: Path | None) -> None:
    size = clean[0].shape[0]
    hole = np.zeros((size, size), bool)
    hole[size // 4 : size * 3 // 4, size // 4 : size * 3 // 4] = True
    box = (size // 4, size // 4, size * 3 // 4, size * 3 // 4)

    def mean(c: Pixels) -> Pixels:
        filled = c.copy()
        filled[hole] = c[~hole].mean(axis=0).round()
        return filled

    ways: dict[str, Callable[[Pixels], Pixels]] = {"the mean of the rest": mean}
    if cv2 is not None:
        mask = (255 * hole).astype(np.uint8)
        ways["Telea"] = lambda c: np.asarray(cv2.inpaint(c, mask, 5, cv2.INPAINT_TELEA), np.uint8)
    ways["this"] = lambda c: np.asarray(inpaint(translator, Image.fromarray(c), box).picture)
    print("| filled by | PSNR in the hole | LPIPS, whole picture |\n| --- | --- | --- |")
    rows = [list(clean)]
    for name, way in ways.items():
        filled = [way(c) for c in clean]
        level = [psnr(c, f, hole) for c, f in zip(clean, filled, strict=True)]
        print(f"| {name} | {interval(level, 2)} | {interval(perceived(lpips, clean, filled), 3)} |", flush=True)
        rows.append(filled)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        shown = [Image.fromarray(p) for row in rows for p in row[:12]]
        sheet(shown, columns=min(12, len(clean))).save(out / f"filled{size}.png")


# Judging -------------------------------------------------------------------------------------------------------------


def auroc(inside: NDArray[np.floating], outside: NDArray[np.floating]) -> float:
    """The chance that an outlier scores higher than a picture of the domain (ties count half)."""
    return float((outside[:, None] > inside[None]).mean() + (outside[:, None] == inside[None]).mean() / 2)


def outlying(translator: Translator, inside: Sequence[Pixels], others: Mapping[str, Sequence[Pixels]]) -> None:
    known, probe = load_stats(translator.config), translator.model.probe
    assert probe is not None
    rng = np.random.default_rng(0)
    size, count = translator.config.schedule.finest, len(inside)
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

    def scores(pictures: Sequence[Pixels]) -> dict[str, NDArray[np.floating]]:
        x = torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2)).float() / 127.5 - 1
        rows = measured(probe, x)
        with torch.no_grad():
            energies = torch.cat([translator.energy.at(size)(part) for part in x.split(16)]).numpy()
        return {
            f"energy, {size} px": energies, "distance": rows[:, 0], "blend": rows[:, 1], "`score`": known.judge(rows)
        }  # fmt: skip

    ours = scores(inside)
    theirs = {name: scores(pictures) for name, pictures in sets.items()}
    print(f"| AUROC, {count} against | " + " | ".join(f"{n} ({len(p)})" for n, p in sets.items()) + " | mean |")
    print("|" + " --- |" * (len(sets) + 2))
    for name, values in ours.items():
        figures = [auroc(values, theirs[other][name]) for other in sets]
        print(f"| {name} | " + " | ".join(f"{f:.3f}" for f in figures) + f" | {np.mean(figures):.3f} |")
    beyond = {p: float((ours["`score`"] > mark).mean()) for p, mark in zip(PERCENTS, known.marks, strict=True)}
    print("test pictures beyond the marks:", ", ".join(f"{p} %: {share:.0%}" for p, share in beyond.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("use", choices=("generate", "denoise", "inpaint", "outliers"))
    parser.add_argument("model")
    parser.add_argument("--pictures", type=Path, required=True, help="test pictures of the model's domain")
    parser.add_argument("--other", action="append", default=[], help="NAME=FOLDER of another domain")
    parser.add_argument("--also", action="append", default=[], help="NAME=FOLDER of pictures made by something else")
    parser.add_argument("--trained", type=Path, help="training pictures, to show the nearest ones")
    parser.add_argument("--features", type=Path, help="SqueezeNet 1.1 features (.npz)")
    parser.add_argument("--size", type=int, help="side of the pictures; default: the model's")
    parser.add_argument("--count", type=int, help="at most so many pictures; 64 are made by default")
    parser.add_argument("--out", type=Path, help="a folder for sheets")
    arguments = parser.parse_args()
    translator = Translator.load(arguments.model, "cpu")
    size, count = arguments.size or translator.config.schedule.finest, arguments.count
    also, others = (
        {n: Path(f) for n, f in (p.split("=", 1) for p in parts)} for parts in (arguments.also, arguments.other)
    )
    if arguments.use == "generate":
        print(f"{translator.name} {translator.digest}")
        making(translator, arguments.pictures, count or 64, arguments.features, also, arguments.trained, arguments.out)
        return
    clean = read(arguments.pictures, size, count)
    print(f"{translator.name} {translator.digest}, {len(clean)} pictures of {size} px")
    if arguments.use == "denoise":
        denoising(translator, clean, Lpips(arguments.features))
    elif arguments.use == "inpaint":
        filling(translator, clean, Lpips(arguments.features), arguments.out)
    else:
        outlying(translator, clean, {name: read(folder, size, count) for name, folder in others.items()})


if __name__ == "__main__":
    main()
