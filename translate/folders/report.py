"""What became of each picture of a batch: one line of JSON for each, and a summary."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
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
    whole lines, and so does a full disk: what comes after that is said once, is not written, and sets `cut_short`. The
    pictures go on. Raises, before there is anything to report, ValueError where the path names something that is no
    report, OSError, with the path in it, where it cannot be written.
    """

    def __init__(self, path: Path | None, say: Callable[[str], None] = lambda sentence: None) -> None:
        self.cut_short = False
        self._say = say
        self._file: int | None = None
        if path is None:
            return
        self._path = path
        before = path.read_bytes() if path.is_file() else b""
        if before.lstrip()[:1] not in (b"", b"{"):
            raise ValueError(f"{path.name} is there already and is no report; it is left as it is")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(self._file, b"")  # a device says here that it takes nothing
            if path.is_file():
                with tempfile.TemporaryFile(dir=path.parent, buffering=0) as trial:
                    trial.write(bytes(4096))
            if before and not before.endswith(b"\n"):  # of a run that was killed
                self._add(b"\n")
        except OSError as error:
            os.close(self._file)
            raise OSError(error.errno, error.strerror, str(path)) from error

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def write(self, outcome: Outcome) -> None:
        """Add one line."""
        if self._file is None:
            return
        row = asdict(outcome)
        row["seconds"] = round(outcome.seconds, 3)
        row["energies"] = [round(energy, 5) for energy in outcome.energies]
        try:
            self._add(json.dumps(row).encode() + b"\n")
        except OSError as error:
            os.close(self._file)
            self._file = None
            self.cut_short = True
            self._say(f"{self._path}: {error.strerror}; from here on nothing is added to it")

    def _add(self, line: bytes) -> None:
        assert self._file is not None
        written = 0
        try:
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError:
            with contextlib.suppress(OSError):  # a pipe cannot be cut
                os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise


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

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[status]} {words}" for status, words in _WORDS.items() if self.counts[status])


def passed_over(counts: Mapping[str, int]) -> str:
    """Words for what a plan left out, to stand behind a summary; nothing where that is nothing."""
    if not counts:
        return ""
    return f"; passed over {sum(counts.values())}: {', '.join(f'{count} {kind}' for kind, count in counts.items())}"
