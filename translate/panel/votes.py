"""Votes on a panel's rows: files that a person can write by hand, and that the page writes after every row."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models.atomic import write_whole

COLUMNS = ("row", "vote", "left", "right")
GRADES = range(1, 6)  # 1: terrible; 5: passes as real
_WORDS: Mapping[str, Literal["L", "R", "T"]] = {
    "l": "L", "left": "L", "r": "R", "right": "R", "t": "T", "tie": "T",
}  # fmt: skip


@dataclass(frozen=True)
class Vote:
    """vote: L, R or T(ie). left, right: grades from 1 to 5, or None."""

    vote: Literal["L", "R", "T"]
    left: int | None = None
    right: int | None = None

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Vote | None:
        """From a line of a file; None where nothing was voted. Raises ValueError."""
        word = str(told.get("vote") or "").strip().lower()
        if not word:
            return None
        if word not in _WORDS:
            raise ValueError(f"a vote is L, R or T, not {told['vote']}")
        return cls(_WORDS[word], _grade(told.get("left")), _grade(told.get("right")))


Votes = dict[int, Vote]  # by the row's number, from 1


def votes_file(folder: Path, voter: str) -> Path:
    """Where a voter's votes are kept. Raises ValueError for a name that is no part of a file's name."""
    if not re.fullmatch(r"[\w-]{1,40}", voter):
        raise ValueError("a voter's name has letters, digits, - and _ only")
    return folder / f"votes-{voter}.csv"


def votes_files(folder: Path) -> list[Path]:
    """All voters' files of a panel folder."""
    return sorted(path for path in folder.glob("votes*") if path.suffix in (".csv", ".json"))


def read_votes(path: Path, rows: int) -> Votes:
    """row,vote,left,right as CSV, or a JSON list of such objects; rows: how many there are.

    Of two lines for one row the later counts. Raises ValueError with the line that is wrong.
    """
    votes: Votes = {}
    for number, told in enumerate(_lines(path), 1):
        try:
            row = int(told["row"])
            if not 1 <= row <= rows:
                raise ValueError(f"there is no row {row}")
            if (vote := Vote.parse(told)) is not None:
                votes[row] = vote
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = "it has no row" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path.name}, vote {number}: {reason}") from error
    return votes


def write_votes(path: Path, votes: Votes, rows: int) -> None:
    """All rows, those without a vote empty: also the form that a person fills in. Raises OSError."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in range(1, rows + 1):
        vote = votes.get(row)
        told = ("", "", "") if vote is None else (vote.vote, vote.left, vote.right)
        writer.writerow([row, *("" if value is None else value for value in told)])
    write_whole(path, text.getvalue().encode())


def _lines(path: Path) -> list[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            told = json.loads(text)
            if not isinstance(told, list):
                raise ValueError("no list")
            return told
        return list(csv.DictReader(io.StringIO(text)))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path.name} holds no votes that can be read") from error


def _grade(told: Any) -> int | None:
    if told is None or (isinstance(told, str) and not told.strip()):
        return None
    grade = float(told)
    if grade not in GRADES:
        raise ValueError(f"a grade is a whole number from {GRADES[0]} to {GRADES[-1]}, not {told}")
    return int(grade)
