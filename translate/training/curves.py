"""The learning curves of a run folder, drawn from its log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from models.atomic import whole_file
from models.train.run_dir import LOG, Log, Measured, best, read_config

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, str]

TARGET, CHAIN, PLAIN, TROUBLE = "#2a6fbb", "#d9772b", "#444444", "#c02020"


def save_curves(run: Path) -> Path:
    """Draw `curves.png` of a run: energies, their gap, image change, and KID and rate if they were measured.

    The shade around KID is its standard error; the dot marks the checkpoint that is best by both figures. Thin
    lines mark where a finer level enters, dotted ones the blow-ups; what was rolled back is left out. Raises OSError,
    and ValueError where the folder's config or log cannot be read.
    """
    from matplotlib.figure import Figure  # no pyplot: no window, no global state

    log = Log()
    log.read(run / LOG)
    rows, blown = surviving(log.rows)
    measured = [row for row in rows if row["kid"] and math.isfinite(float(row["kid"]))]
    rated = [row for row in measured if row.get("rate")]
    count = 3 + bool(measured) + bool(rated)
    figure = Figure(figsize=(9, 2 + 1.5 * count), layout="constrained")
    panels = figure.subplots(count, sharex=True)
    energies, gap, change = panels[:3]
    for column, color, label in (("target_energy", TARGET, "target pictures"), ("chain_energy", CHAIN, "chain ends")):
        energies.plot(*_xy(_points(rows, column)), color=color, linewidth=1, label=label)
    energies.set_ylabel("energy")
    energies.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    targets, chains = _points(rows, "target_energy"), _points(rows, "chain_energy")
    gaps = [(step, high - low) for (step, low), (_, high) in zip(targets, chains, strict=True)]
    gap.plot(*_xy(gaps), color=PLAIN, linewidth=1)
    gap.axhline(0, color=PLAIN, linewidth=0.5)
    gap.set_ylabel("gap: chain - target")
    change.plot(*_xy(_points(rows, "change")), color=PLAIN, linewidth=1)
    change.set_ylabel("picture change (RMS)")
    if measured:
        _draw_held_out(panels[3:], measured, rated)
    minutes = round(float(rows[-1]["seconds"]) / 60) if rows else 0
    panels[-1].set_xlabel("iteration" + (f" ({minutes} minute{'s' if minutes != 1 else ''})" if rows else ""))
    last = int(rows[-1]["iteration"]) if rows else 0
    for start, resolution in _levels(run):
        if start <= last:
            energies.text(start, 1.02, f"{resolution} px", transform=energies.get_xaxis_transform())
            for panel in panels:
                panel.axvline(start, color=PLAIN, linewidth=0.5, alpha=0.6)
    for iteration in blown:
        energies.text(iteration, 0.02, " blew up", color=TROUBLE, transform=energies.get_xaxis_transform())
        for panel in panels:
            panel.axvline(iteration, color=TROUBLE, linewidth=0.8, linestyle=":")
    path = run / "curves.png"
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=110)
    return path


def _draw_held_out(panels: Sequence[Axes], measured: Sequence[Row], rated: Sequence[Row]) -> None:
    """KID with its standard error and, where there is a second panel, the rate; the best checkpoint marked in both."""
    chosen = best({int(row["iteration"]): Measured.of_row(row) for row in measured})
    for axes, rows, column, label in zip(
        panels, (measured, rated), ("kid", "rate"), ("KID x100, held out", "rate, held out"), strict=False
    ):
        points = _points(rows, column)
        axes.plot(*_xy(points), color=PLAIN, linewidth=1, marker=".")
        axes.set_ylabel(label)
        axes.margins(y=0.2)
        for step, value in points:
            if step == chosen:
                axes.plot(step, value, color=TARGET, marker="o")
                axes.annotate(
                    f"{value:.3g}", (step, value), xytext=(0, 6), textcoords="offset points", ha="center", color=TARGET
                )
    spread = [row for row in measured if row.get("kid_sd")]
    steps = [int(row["iteration"]) for row in spread]
    low, high = ([float(row["kid"]) + sign * float(row["kid_sd"]) for row in spread] for sign in (-1, 1))
    panels[0].fill_between(steps, low, high, color=PLAIN, alpha=0.15, linewidth=0)


def surviving(rows: Sequence[Row]) -> tuple[list[Row], list[int]]:
    """The rows of a log that no rollback has undone, and the iterations at which training blew up."""
    kept: list[Row] = []
    blown = []
    for row in rows:
        while kept and int(kept[-1]["iteration"]) >= int(row["iteration"]):
            kept.pop()
        if row["event"]:
            blown.append(int(row["iteration"]))
        else:
            kept.append(row)
    return kept, blown


def _points(rows: Sequence[Row], column: str) -> list[tuple[int, float]]:
    return [(int(row["iteration"]), float(row[column])) for row in rows if row[column]]


def _xy(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]


def _levels(run: Path) -> list[tuple[int, int]]:
    """(first iteration, resolution) of each level."""
    curriculum = read_config(run).curriculum
    starts = accumulate((phase.iterations for phase in curriculum.phases[:-1]), initial=0)
    return [(start, level.resolution) for start, level in zip(starts, curriculum.schedule.levels, strict=True)]
