"""Fit and measure the judge of every shipped direction (translate/judge.py): python -m benchmarks.judge [DATA]

DATA holds apple2orange, vangogh2photo and cat2dog, each with trainA, trainB, testA and testB. Writes
translate/judge.json, and prints which share of the test pictures of every kind the judge turns away, with two figures
beside it: of a judge that asks only for a low energy of the reverse direction, and of one that was fitted without that
kind, which is how pictures of unknown kinds fare. Takes a minute on one core for each direction. Run it again when
weights have changed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.checkpoint import digest, load_model
from models.energy import Energy
from models.files import whole_file
from models.zoo import locate, shipped
from translate.judge import READINGS, SIDE, features
from translate.pictures import read_training_folder

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {  # what a direction's name calls a domain -> where its pictures lie
    "apple": ("apple2orange", "A"), "orange": ("apple2orange", "B"), "cat": ("cat2dog", "A"), "dog": ("cat2dog", "B"),
    "photo": ("vangogh2photo", "B"), "vangogh": ("vangogh2photo", "A"),
}  # fmt: skip
AGAINST = {"photo": ("vangogh",)}  # a photo of whatever it be is a photo; elsewhere all other kinds stand against it
QUANTILE = 0.92  # of the source's training pictures pass
RIDGE = 30.0
FOLDS = 5
PICTURES = 600  # of each folder

Array = NDArray[np.float64]


def main(data: Path) -> None:
    stored = {}
    with tempfile.TemporaryDirectory() as kept:

        @cache
        def seen(model: str, part: str, kind: str) -> Array:
            pair, side = FOLDERS[kind]
            energy, _ = load_model(locate(model))
            pictures, _ = read_training_folder(data / pair / f"{part}{side}", SIDE, cache=kept)
            parts = [features([energy], pictures[n : n + 8]) for n in range(0, len(pictures[:PICTURES]), 8)]
            return np.concatenate(parts).astype(float)

        for name in shipped():
            source, _, target = name.partition("2")
            if source not in FOLDERS:
                print(f"{name}: no pictures of its source are known here, left out")
                continue
            names = [name, *(other for other in shipped() if other == f"{target}2{source}")]
            kinds = [source, *AGAINST.get(source, [kind for kind in FOLDERS if kind != source])]
            train, test = (
                {kind: np.concatenate([seen(model, part, kind) for model in names], axis=1) for kind in kinds}
                for part in ("train", "test")
            )
            weights, threshold = fit(train, source)
            stored[name] = {
                "digests": {other: digest(locate(other)) for other in names}, "threshold": round(threshold, 4),
                "weights": [round(weight, 5) for weight in weights.tolist()],
            }  # fmt: skip
            print(f"{name}: share of test pictures turned away")
            for kind in kinds:
                row = f"  {kind:8} {turned_away(test[kind], weights, threshold):.2f}"
                if len(names) > 1:
                    reverse, _ = load_model(locate(names[1]))
                    row += f"   by the reverse energy alone {by_energy(reverse, train[source], test[kind]):.2f}"
                if kind != source and len(kinds) > 2:
                    without = {other: x for other, x in train.items() if other != kind}
                    row += f"   kind unknown {turned_away(test[kind], *fit(without, source)):.2f}"
                print(row, flush=True)
    with whole_file(READINGS) as file:
        file.write(json.dumps(stored, separators=(",", ":")).replace('},"', '},\n"').encode() + b"\n")
    print(f"wrote {READINGS.name}")


def fit(train: dict[str, Array], source: str) -> tuple[Array, float]:
    """Weights with their constant, and the threshold, a quantile of readings by fits that did not see the picture."""
    own, others = train[source], [seen for kind, seen in train.items() if kind != source]
    held_out = np.empty(len(own))
    for fold in range(FOLDS):
        part = np.arange(len(own)) % FOLDS == fold
        held_out[part] = readings(own[part], ridge(own[~part], others))
    return ridge(own, others), float(np.quantile(held_out, QUANTILE))


def ridge(own: Array, others: Sequence[Array]) -> Array:
    """Ridge regression of -1 (own) and +1 (others); each kind of the others weighs alike, and all as much as own."""
    x = np.concatenate([own, *others])
    shares = [np.full(len(own), 1 / len(own))] + [np.full(len(kind), 1 / len(kind) / len(others)) for kind in others]
    share = np.concatenate(shares) * len(x) / 2
    wanted = np.where(np.arange(len(x)) < len(own), -1.0, 1.0)
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = np.concatenate([(x - mean) / scale, np.ones((len(x), 1))], axis=1)
    solved = np.linalg.solve((z * share[:, None]).T @ z + RIDGE * np.eye(z.shape[1]), (z * share[:, None]).T @ wanted)
    weights = solved[:-1] / scale
    return np.append(weights, solved[-1] - weights @ mean)


def readings(seen: Array, weights: Array) -> Array:
    return seen @ weights[:-1] + weights[-1]


def turned_away(seen: Array, weights: Array, threshold: float) -> float:
    return float((readings(seen, weights) >= threshold).mean())


def by_energy(reverse: Energy, own: Array, seen: Array) -> float:
    """The share whose energy in the reverse direction, at its finest stage, is above what most of `own` have."""
    width = reverse.config.widest
    weight = reverse.project.weight.detach().numpy().reshape(-1).astype(float)
    return float((seen[:, -width:] @ weight > np.quantile(own[:, -width:] @ weight, QUANTILE)).mean())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data")
