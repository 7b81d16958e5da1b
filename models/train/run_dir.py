"""What a training leaves on the disk, each file whole or not at all.

A run folder holds:

    config.json          what is trained and how
    log.csv              one row every few iterations: energies, penalty, picture change, KID, events
    samples/             sheets at fixed intervals, and where training stopped: sources, or samples of the density,
                         over what they became (or pictures from noise)
    checkpoints/         the models of the last sheets, and the best by KID and rate, each named by its iteration
    model.safetensors    the averaged (EMA) model so far, ready for use
    state.safetensors    everything needed to go on exactly where the run stopped
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor
from torchvision.utils import make_grid, save_image

from models.atomic import whole_file, write_whole
from models.train.curriculum import TrainingConfig, config_from_dict

CONFIG, STATE, LOG, SAMPLES, CHECKPOINTS = "config.json", "state.safetensors", "log.csv", "samples", "checkpoints"
KEPT = 3  # checkpoints, besides the best one
LOG_EVERY = 8  # a multiple of the penalty_every of presets, so that each row has a penalty
COLUMNS = (
    "iteration", "seconds", "resolution", "beta", "target_energy", "chain_energy", "penalty", "change", "kid", "kid_sd",
    "rate", "event",
)  # fmt: skip


def read_config(run: Path) -> TrainingConfig:
    """The settings that a run folder was started with. Raises FileNotFoundError, ValueError."""
    path = run / CONFIG
    if not path.exists():
        raise FileNotFoundError(f"{run} holds no run to resume")
    try:
        return config_from_dict(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f"{path} holds settings that this version cannot read: {error}") from error


@dataclass(frozen=True)
class Progress:
    """What one iteration did. Energies and penalty are those of the newest stage, `change` is the RMS difference
    between chain ends and sources there, on the [-1, 1] scale (for chains from noise: to the target pictures' mean).
    The penalty is NaN at iterations that do not look at it. sheet: the sample sheet that was written after this
    iteration, if one was; kid, kid_sd, rate: of the averaged model then, on held-out pictures, as far as they are
    measured: KID x100, its standard error, share in the target domain."""

    iteration: int
    iterations: int
    seconds: float
    resolution: int
    beta: float
    target_energy: float
    chain_energy: float
    penalty: float
    change: float
    kid: float | None = None
    kid_sd: float | None = None
    rate: float | None = None
    sheet: Path | None = None
    event: str = ""


class Measured(NamedTuple):
    """A model's KID x100, its standard error and its rate, on held-out pictures; None where there is no rate."""

    kid: float
    kid_sd: float = 0.0
    rate: float | None = None

    @classmethod
    def of_row(cls, row: Mapping[str, str]) -> Measured:
        """From a row of the log that has a KID; logs of older runs have nothing else."""
        rate = row.get("rate")
        return cls(float(row["kid"]), float(row.get("kid_sd") or 0), float(rate) if rate else None)


Measure = Callable[[Tensor], Measured | None]  # of translations (N, 3, S, S) in [-1, 1]


class Log:
    """The rows of log.csv; numbers are kept as they are written, empty where they were not measured."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []

    def add(self, progress: Progress) -> None:
        """Keep every eighth iteration, and those with something to tell."""
        if progress.iteration % LOG_EVERY == 0 or progress.event or progress.kid is not None:
            values: dict[str, Any] = asdict(progress)
            self.rows.append({column: _written(values[column]) for column in COLUMNS})

    def measured(self) -> dict[int, Measured]:
        """Number of updates behind a model -> its figures, where they were measured."""
        return {int(row["iteration"]) + 1: Measured.of_row(row) for row in self.rows if row["kid"]}

    def write(self, path: Path) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(self.rows)
        write_whole(path, text.getvalue().encode())

    def read(self, path: Path, count: int | None = None) -> None:
        """Take over the first `count` rows of a file, all without one; a file that is not there has none."""
        if path.exists():
            with path.open(newline="") as file:
                self.rows = list(csv.DictReader(file))[:count]


def _written(value: Any) -> str:
    if value is None or value != value:  # NaN
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def write_sheet(path: Path, pictures: Tensor, columns: int) -> None:
    """Write (N, 3, H, W) in [-1, 1] as a PNG with `columns` pictures in a row."""
    grid = make_grid(pictures.clamp(-1, 1), nrow=columns, value_range=(-1, 1), normalize=True)
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as file:
        save_image(grid, file, format="png")


def best(measured: Mapping[int, Measured]) -> int | None:
    """The model that is best by both figures: of those whose KID lies within a standard error of the lowest, the one
    with the highest rate, and of these the one with the lower KID. None without a model."""
    if not measured:
        return None
    lowest = min(measured.values(), key=lambda figures: figures.kid)
    close = {number: m for number, m in measured.items() if m.kid <= lowest.kid + lowest.kid_sd}
    return min(close, key=lambda number: (-(close[number].rate or 0), close[number].kid))


class Checkpoints:
    """The models of a run's last sheets, and the best one by KID and rate."""

    def __init__(self, run: Path) -> None:
        self._folder = run / CHECKPOINTS

    def path(self, iteration: int) -> Path:
        return self._folder / f"{iteration:06d}.safetensors"

    def best(self, measured: Mapping[int, Measured]) -> int | None:
        """See `best`; None where none of those that are there was measured."""
        there = self._there()
        return best({number: figures for number, figures in measured.items() if number in there})

    def drop(self, iteration: int, measured: Mapping[int, Measured]) -> None:
        """Of a run that stands at `iteration`, remove all but the newest few and the best."""
        # Those ahead of it are left over from before a rollback, or from before the state that was resumed.
        ahead = {number for number in self._there() if number > iteration}
        behind = {k: v for k, v in measured.items() if k not in ahead}
        kept = {*sorted(self._there() - ahead)[-KEPT:], self.best(behind)}
        for number in self._there() - kept:
            self.path(number).unlink(missing_ok=True)

    def _there(self) -> set[int]:
        return {int(path.stem) for path in self._folder.glob("*.safetensors") if path.stem.isdecimal()}
