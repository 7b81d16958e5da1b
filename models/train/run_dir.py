"""What a training leaves on the disk, each file whole or not at all.

A run folder holds:

    config.json          what is trained and how
    log.csv              one row every few iterations: energies, penalty, picture change, KID, events
    samples/             sheets at fixed intervals, and where training stopped: sources over their translations (or
                         pictures from noise)
    checkpoints/         the models of the last sheets, and the best by KID, each named by its iteration
    model.safetensors    the averaged (EMA) model so far, ready for use
    state.safetensors    everything needed to go on exactly where the run stopped
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torchvision.utils import make_grid, save_image

from models.atomic import whole_file, write_whole
from models.train.curriculum import TrainingConfig, config_from_dict

CONFIG, STATE, LOG, SAMPLES, CHECKPOINTS = "config.json", "state.safetensors", "log.csv", "samples", "checkpoints"
KEPT = 3  # checkpoints, besides the best by KID
LOG_EVERY = 8  # a multiple of the penalty_every of presets, so that each row has a penalty
COLUMNS = (
    "iteration", "seconds", "resolution", "beta", "target_energy", "chain_energy", "penalty", "change", "kid", "event",
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
    iteration, if one was; kid: KID x100 of the averaged model then, where it is measured."""

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
    sheet: Path | None = None
    event: str = ""


class Log:
    """The rows of log.csv; numbers are kept as they are written, empty where they were not measured."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []

    def add(self, progress: Progress) -> None:
        """Keep every eighth iteration, and those with something to tell."""
        if progress.iteration % LOG_EVERY == 0 or progress.event or progress.kid is not None:
            values: dict[str, Any] = asdict(progress)
            self.rows.append({column: _written(values[column]) for column in COLUMNS})

    def kids(self) -> dict[int, float]:
        """Number of updates behind a model -> its KID x100, where it was measured."""
        return {int(row["iteration"]) + 1: float(row["kid"]) for row in self.rows if row["kid"]}

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


class Checkpoints:
    """The models of a run's last sheets, and the best one by KID."""

    def __init__(self, run: Path) -> None:
        self._folder = run / CHECKPOINTS

    def path(self, iteration: int) -> Path:
        return self._folder / f"{iteration:06d}.safetensors"

    def best(self, kids: Mapping[int, float]) -> int | None:
        """The one with the lowest KID; None where none of those that are there was measured."""
        return min(self._there() & kids.keys(), key=lambda number: kids[number], default=None)

    def drop(self, iteration: int, kids: Mapping[int, float]) -> None:
        """Of a run that stands at `iteration`, remove all but the newest few and the best."""
        # Those ahead of it are left over from before a rollback, or from before the state that was resumed.
        ahead = {number for number in self._there() if number > iteration}
        kept = {*sorted(self._there() - ahead)[-KEPT:], self.best({k: v for k, v in kids.items() if k not in ahead})}
        for number in self._there() - kept:
            self.path(number).unlink(missing_ok=True)

    def _there(self) -> set[int]:
        return {int(path.stem) for path in self._folder.glob("*.safetensors") if path.stem.isdecimal()}
