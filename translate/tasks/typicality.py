"""What is usual in a domain, and how far a picture lies from it.

Two figures of the domain probe, on the trunk's features: how far a picture lies from the domain's own, in their spreads
(Mahalanobis distance), and how firmly it is taken for a blend of two pictures. A distance alone says nothing against
blends: half of two cats lies nearer to the middle of all cats than a cat does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTS = (50, 75, 90, 95, 99)  # of usual pictures: the marks that verdicts speak of
WEIGHTS = (1.0, 0.5)  # of the two figures, each in its usual spread


@dataclass(frozen=True)
class TypicalityStats:
    """What is usual. means, spreads: of the two figures. marks: the unusualness that PERCENTS of the pictures do not
    exceed. highest: that of the most unusual one. count: of the pictures."""

    means: tuple[float, ...]
    spreads: tuple[float, ...]
    marks: tuple[float, ...]
    highest: float
    count: int

    def __post_init__(self) -> None:
        if not len(self.means) == len(self.spreads) == len(WEIGHTS) or len(self.marks) != len(PERCENTS):
            raise ValueError("the lists of a calibration do not fit together")
        if not all(np.isfinite([*self.means, *self.spreads, *self.marks, self.highest])) or min(self.spreads) <= 0:
            raise ValueError("a calibration holds only finite numbers, and spreads above 0")

    @classmethod
    def of(cls, rows: NDArray[np.floating]) -> TypicalityStats:
        """rows: (N, 2), what `DomainProbe.measure` finds at usual pictures."""
        means, spreads = _short(rows.mean(axis=0)), _short(rows.std(axis=0) + 1e-4)
        known = cls(means, spreads, marks=(0.0,) * len(PERCENTS), highest=0.0, count=len(rows))
        unusual = known.judge(rows)
        marks = np.quantile(unusual, np.array(PERCENTS) / 100)
        return replace(known, marks=_short(marks), highest=_round(unusual.max()))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TypicalityStats:
        """The inverse of dataclasses.asdict. Raises KeyError, TypeError, ValueError."""
        means, spreads, marks = (tuple(float(v) for v in data[name]) for name in ("means", "spreads", "marks"))
        return cls(means, spreads, marks, float(data["highest"]), int(data["count"]))

    def judge(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """The unusualness of pictures with these figures (N, 2): (N,), 0 for the usual picture, higher is stranger."""
        standard = (np.asarray(rows, np.float64) - np.array(self.means)) / np.array(self.spreads)
        result: NDArray[np.float64] = standard @ np.array(WEIGHTS)
        return result


def _short(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(_round(value) for value in values)


def _round(value: float) -> float:
    return float(f"{value:.4g}")
