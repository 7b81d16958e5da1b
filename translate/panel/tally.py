"""What a panel said: counts, a sign test, intervals.

The picture is the unit. Two voters who look at one picture are not two pictures: where several voted, each picture goes
to the side with more votes, and the test and the interval count pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from translate.metrics.extra import require
from translate.panel.rows import Panel
from translate.panel.votes import Vote, Votes, read_votes, votes_files


@dataclass(frozen=True)
class Tally:
    """a, b: the folders. voters; votes_a, votes_b, ties: of all voters. pictures_a, pictures_b, pictures_even: by the
    side with more votes. share: of pictures_a among those that are not even, low and high its 95 % interval (Wilson), p
    of the sign test, two-sided; None where all are even. grade_a, grade_b: means over pictures; grade_gain: of a over
    b on the same pictures, with its 95 % interval (Student's t); None without grades, or with too few."""

    a: str
    b: str
    voters: int
    votes_a: int
    votes_b: int
    ties: int
    pictures_a: int
    pictures_b: int
    pictures_even: int
    share: float | None
    low: float | None
    high: float | None
    p: float | None
    grade_a: float | None
    grade_b: float | None
    grade_gain: float | None
    gain_low: float | None
    gain_high: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentences(self) -> list[str]:
        """For people."""
        pictures = self.pictures_a + self.pictures_b + self.pictures_even
        voters = "1 voter" if self.voters == 1 else f"{self.voters} voters"
        lines = [
            f"A: {self.a}",
            f"B: {self.b}",
            f"{voters}, {pictures} pictures: A {self.votes_a} votes, B {self.votes_b}, ties {self.ties}",
        ]
        if self.share is None:
            lines.append("no picture was decided")
        else:
            lines.append(
                f"A preferred on {self.pictures_a} of {self.pictures_a + self.pictures_b} decided pictures, "
                f"{self.share:.0%} (95 %: {self.low:.0%} to {self.high:.0%}); sign test p = {self.p:.3f}"
            )
        if self.grade_a is not None:
            lines.append(f"mean grades, 1 to 5: A {self.grade_a:.2f}, B {self.grade_b:.2f}" + self._gain())
        return lines

    def _gain(self) -> str:
        if self.gain_low is None:
            return ""
        return f"; A - B: {self.grade_gain:+.2f} (95 %: {self.gain_low:+.2f} to {self.gain_high:+.2f})"


def tally(panel: Panel, ballots: Sequence[Votes]) -> Tally:
    """ballots: each voter's votes. Raises MissingExtra; ValueError where nobody has voted."""
    require("panel")
    from scipy.stats import binomtest

    ballots = [votes for votes in ballots if votes]
    if not ballots:
        raise ValueError("nobody has voted yet")
    counts = np.zeros(3, int)  # a, b, ties
    sides = np.zeros(3, int)  # pictures for a, for b, even
    grades: list[tuple[float, float]] = []
    for number, row in enumerate(panel.rows, 1):
        said = [votes[number] for votes in ballots if number in votes]
        if not said:
            continue
        own, other = ("L", "R") if row.a_is == "left" else ("R", "L")
        for_a, for_b = (sum(vote.vote == side for vote in said) for side in (own, other))
        counts += for_a, for_b, len(said) - for_a - for_b
        sides += for_a > for_b, for_b > for_a, for_a == for_b
        graded = [_grades(vote, row.a_is) for vote in said if vote.left is not None and vote.right is not None]
        if graded:
            grades.append(tuple(np.mean(graded, axis=0)))
    share = low = high = p = None
    if decided := int(sides[0] + sides[1]):
        test = binomtest(int(sides[0]), decided)
        low, high = map(float, test.proportion_ci(method="wilson"))
        share, p = float(sides[0] / decided), float(test.pvalue)
    a, b = panel.labels()
    votes_a, votes_b, ties = map(int, counts)
    pictures_a, pictures_b, even = map(int, sides)
    return Tally(
        a=a, b=b, voters=len(ballots), votes_a=votes_a, votes_b=votes_b, ties=ties,
        pictures_a=pictures_a, pictures_b=pictures_b, pictures_even=even,
        share=share, low=low, high=high, p=p, **_graded(grades),
    )  # fmt: skip


def tally_folder(folder: Path) -> Tally:
    """Of all the votes in a panel folder. Raises FileNotFoundError, MissingExtra, ValueError."""
    panel = Panel.load(folder)
    return tally(panel, [read_votes(path, len(panel.rows)) for path in votes_files(folder)])


def _grades(vote: Vote, a_is: str) -> tuple[int, int]:
    assert vote.left is not None and vote.right is not None
    return (vote.left, vote.right) if a_is == "left" else (vote.right, vote.left)


def _graded(grades: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    """Means of a and b, and the gain with its interval, as Tally names them."""
    from scipy.stats import sem, t

    if not grades:
        return dict.fromkeys(("grade_a", "grade_b", "grade_gain", "gain_low", "gain_high"))
    a, b = np.array(grades).T
    gain = a - b
    low = high = None
    if len(gain) > 1 and gain.std() > 0:
        low, high = map(float, t.interval(0.95, len(gain) - 1, loc=gain.mean(), scale=sem(gain)))
    means = {"grade_a": float(a.mean()), "grade_b": float(b.mean()), "grade_gain": float(gain.mean())}
    return {**means, "gain_low": low, "gain_high": high}
