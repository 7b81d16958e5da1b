"""The figures as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from translate.metrics.bench import Figures

TITLES = {"inception": "Inception", "efficientnet-lite2": "EfficientNet-Lite2", "squeezenet": "SqueezeNet"}


@dataclass(frozen=True)
class Report:
    """Named rows of figures, and what a reader must know about them. digest: of the model that was measured, if any."""

    rows: dict[str, Figures]
    notes: tuple[str, ...] = ()
    digest: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For --json: {"digest": ..., "rows": {name: {"networks": {network: {"kid_x100", "kid_sd", "fid", "rate":
        {"share", "low", "high"}}}, "content", "white", "n"}}, "notes": [...]}. None: not measured."""
        rows = {name: asdict(row) for name, row in self.rows.items()}
        return {"digest": self.digest, "rows": rows, "notes": list(self.notes)}

    def as_csv(self) -> str:
        """A line for each row and network, under one heading; empty: not measured."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(
            [
                "pictures",
                "network",
                "kid_x100",
                "kid_sd",
                "fid",
                "rate",
                "rate_low",
                "rate_high",
                "content",
                "white",
                "n",
            ]
        )
        for name, row in self.rows.items():
            for network, by in row.networks.items():
                rate = by.rate
                figures = (by.kid_x100, by.kid_sd, by.fid, rate.share, rate.low, rate.high, row.content, row.white)
                writer.writerow([name, network, *("" if v is None else f"{v:.6g}" for v in figures), row.n])
        return text.getvalue()


def cells(report: Mapping[str, Any]) -> list[list[str]]:
    """The table of what `Report.as_dict` returns: its heading, then a row for each result set.

    Raises AttributeError, KeyError, TypeError, ValueError for what is no such report.
    """
    networks = list(next(iter(report["rows"].values()))["networks"])
    with_fid = {
        name for row in report["rows"].values() for name, by in row["networks"].items() if by["fid"] is not None
    }
    heading = ["pictures"]
    for name in networks:
        title = TITLES.get(name, name)
        heading += [f"{title} KID x100", *(["FID"] if name in with_fid else []), f"{title} rate"]
    table = [[*heading, "content (LPIPS)", "white change", "n"]]
    for name, row in report["rows"].items():
        line = [str(name)]
        for network in networks:
            by, rate = row["networks"][network], row["networks"][network]["rate"]
            line.append(f"{by['kid_x100']:.1f} ± {by['kid_sd']:.1f}")
            line += [_shown(by["fid"], ".1f")] if network in with_fid else []
            line.append(f"{rate['share']:.2f} ({rate['low']:.2f}-{rate['high']:.2f})")
        table.append([*line, _shown(row["content"], ".3f"), _shown(row["white"], ".1f"), str(row["n"])])
    return table


def table(report: Report) -> Table:
    """The report as a rich table; the notes are its caption."""
    from rich.table import Table

    heading, *rows = cells(report.as_dict())
    result = Table(caption="\n".join((*report.notes, LEGEND)), caption_justify="left")
    result.add_column(heading[0])
    for title in heading[1:]:
        result.add_column(title, justify="right")
    for row in rows:
        result.add_row(*row)
    return result


LEGEND = (
    "KID: lower is better, ± standard deviation over random halves of both sides. Rate: share that a classifier puts "
    "in the target domain, with its 95 % interval. Content: lower keeps more of the source. White: change of nearly "
    "white pixels, in levels of 255."
)


def _shown(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
