"""What an energy usually finds in its domain, and how far a picture lies from it.

The energy alone prefers smooth pictures: a blank one lies deep in the valley where all pictures' noise has been
removed. So it is also judged whether the energy finds at the picture what it USUALLY finds in its domain, neither more
nor less (typicality: Nalisnick et al. 2019): for each level and cell, the cell's part of the energy, and how steep it
is there and which way. The two, each in its usual spread, are added, the energy with twice the weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.energy import MultiscaleEnergy, energy_and_grad
from models.schedule import Schedule
from models.terms.pixels import HEAD_RESOLUTION

if TYPE_CHECKING:
    pass

PERCENTS = (50, 75, 90, 95, 99)  # of training pictures: the marks that verdicts speak of
PER_LEVEL = 7 * HEAD_RESOLUTION**2  # statistics
ENERGY_COUNTS = 2  # times: it alone speaks against a blend of two pictures, which is usual in all else


@dataclass(frozen=True)
class TypicalityStats:
    """What is usual. means, spreads: of each statistic. far, energy: mean and spread of how far pictures lie from these
    means, and of the finest level's energy. marks: the unusualness that PERCENTS of the pictures do not exceed.
    highest: that of the most unusual one. count: of the pictures."""

    means: tuple[float, ...]
    spreads: tuple[float, ...]
    far: tuple[float, float]
    energy: tuple[float, float]
    marks: tuple[float, ...]
    highest: float
    count: int

    def __post_init__(self) -> None:
        if not self.means or len(self.means) != len(self.spreads) or len(self.marks) != len(PERCENTS):
            raise ValueError("the lists of a calibration do not fit together")
        numbers = [*self.means, *self.spreads, *self.far, *self.energy, *self.marks, self.highest]
        if not all(np.isfinite(numbers)) or min(*self.spreads, self.far[1], self.energy[1]) <= 0:
            raise ValueError("a calibration holds only finite numbers, and spreads above 0")

    @classmethod
    def of(cls, rows: NDArray[np.float32]) -> TypicalityStats:
        """rows: (N, D) statistics of usual pictures."""
        means, spreads = rows.mean(axis=0), rows.std(axis=0) + 1e-4
        far, energy = distance(rows, means, spreads), finest_energy(rows)
        known = cls(
            means=_short(means),
            spreads=_short(spreads),
            far=(_round(far.mean()), _round(far.std() + 1e-4)),
            energy=(_round(energy.mean()), _round(energy.std() + 1e-4)),
            marks=(0.0,) * len(PERCENTS),
            highest=0.0,
            count=len(rows),
        )
        unusual = known.judge(rows)
        marks = np.quantile(unusual, np.array(PERCENTS) / 100)
        return replace(known, marks=_short(marks), highest=_round(unusual.max()))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TypicalityStats:
        """The inverse of dataclasses.asdict. Raises KeyError, TypeError, ValueError."""
        means, spreads, marks = (tuple(float(v) for v in data[name]) for name in ("means", "spreads", "marks"))
        far, energy = ((float(mean), float(spread)) for mean, spread in (data["far"], data["energy"]))
        return cls(means, spreads, far, energy, marks, float(data["highest"]), int(data["count"]))

    def judge(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """The unusualness of pictures with statistics (N, D): (N,). Raises ValueError where D is another one.

        How far they lie from the usual, and how high their energy, each in spreads above its usual value; the second
        counts twice.
        """
        if rows.shape[1] != len(self.means):
            raise ValueError("the calibration does not fit the model's schedule")
        far = distance(rows, np.array(self.means), np.array(self.spreads))
        result: NDArray[np.float64] = (far - self.far[0]) / self.far[1]
        return result + ENERGY_COUNTS * (finest_energy(rows) - self.energy[0]) / self.energy[1]


def distance(
    rows: NDArray[np.floating], means: NDArray[np.floating], spreads: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Logarithm of the root mean square distance from the means, in spreads. (N, D) -> (N,)."""
    squares = np.square((rows - means) / spreads, dtype=np.float64).mean(axis=1)
    result: NDArray[np.float64] = np.log(squares.clip(min=1e-12)) / 2
    return result


def finest_energy(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """The energy of the last level, from the statistics (N, D) of pictures: (N,)."""
    result: NDArray[np.float64] = rows[:, -PER_LEVEL:][:, : HEAD_RESOLUTION**2].mean(axis=1, dtype=np.float64)
    return result


def statistics(energy: MultiscaleEnergy, schedule: Schedule, x: Tensor) -> Tensor:
    """What the energy finds at square pictures (B, 3, S, S) in [-1, 1], S the schedule's finest resolution.

    For each level and each of its 4 x 4 cells: the cell's part of the energy, and of the gradient in each colour the
    mean and the logarithm of the mean square. Returns (B, levels x 112).
    """
    found = []
    for level in schedule.levels:
        small = at_resolution(x, level.resolution)
        with torch.no_grad():
            found.append(energy.map(small, level.resolution).flatten(1))
        down = energy_and_grad(energy.at(level.resolution), small)[1]
        steepness = F.adaptive_avg_pool2d(down.square(), HEAD_RESOLUTION).clamp(min=1e-20).log()
        found += [steepness.flatten(1), level.resolution * F.adaptive_avg_pool2d(down, HEAD_RESOLUTION).flatten(1)]
    return torch.cat(found, dim=1)


def at_resolution(x: Tensor, resolution: int) -> Tensor:
    """Square pictures (B, 3, S, S), average-pooled to a level's resolution."""
    return x if x.shape[-1] == resolution else F.adaptive_avg_pool2d(x, resolution)


def _short(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(_round(value) for value in values)


def _round(value: float) -> float:
    return float(f"{value:.4g}")
