"""What became of each picture of a batch: one line of JSON for each, and a summary."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

Status = Literal["planned", "done", "skipped", "refused", "failed"]
_WORDS: dict[Status, str] = {
    "planned": "to translate",
    "done": "translated",
    "skipped": "finished before",
    "refused": "refused",
    "failed": "failed",
}


@dataclass(frozen=True)
class Outcome:
    """What became of one picture.

    source, target: paths inside the two folders, with slashes; no target where the plan refused the picture. status:
    "planned", to be done; "done"; "skipped", its result was there already; "refused", nothing was tried; "failed".
    seconds: spent on it; pictures that went through the model together share evenly. energies: after each step.
    reason: one sentence, for "refused" and "failed". notes: what the user should know about the reading of the picture.
    steps: of each stage, coarse first, such as "10+8+6", for "done".
    """

    source: str
    target: str | None
    status: Status
    seconds: float = 0.0
    energies: tuple[float, ...] = ()
    reason: str | None = None
    notes: tuple[str, ...] = ()
    steps: str = ""


class Report:
    """A file of JSON lines, one for each outcome; a further run adds its own.

    Without a path nothing is written. Each line goes to the file at once and in one piece, so that a killed run leaves
    whole lines. Raises ValueError where the path names something that is no report, OSError where it cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._file: int | None = None
        if path is None:
            return
        before = path.read_bytes() if path.is_file() else b""
        if before.lstrip()[:1] not in (b"", b"{"):
            raise ValueError(f"{path.name} is there already and is no report; it is left as it is")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        if before and not before.endswith(b"\n"):  # a full disk may have cut the last line
            os.write(self._file, b"\n")

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)

    def write(self, outcome: Outcome) -> None:
        """Add one line."""
        if self._file is None:
            return
        row = asdict(outcome)
        row["seconds"] = round(outcome.seconds, 3)
        row["energies"] = [round(energy, 5) for energy in outcome.energies]
        os.write(self._file, json.dumps(row).encode() + b"\n")


class Summary:
    """Counts outcomes; str() says how many there are of each kind."""

    def __init__(self) -> None:
        self.counts: Counter[Status] = Counter()

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.status] += 1

    @property
    def without_result(self) -> int:
        """How many pictures were refused or failed."""
        return self.counts["refused"] + self.counts["failed"]

    @property
    def all_failed(self) -> bool:
        """Whether there is not one good outcome."""
        return self.without_result == self.counts.total()

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[status]} {words}" for status, words in _WORDS.items() if self.counts[status])
