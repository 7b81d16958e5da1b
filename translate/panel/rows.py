"""What a panel shows: pairs of results of one source, sides and order by chance; and the key that says which is which.

A panel folder holds `key.json`, which nobody who votes should open, and the votes: `votes*.csv` or `votes*.json`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from models.atomic import write_whole
from translate.images.read import open_image
from translate.images.types import ImageError
from translate.metrics.pairs import by_name, results_of, shared_sources

KEY = "key.json"
Side = Literal["left", "right"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """name: of the source. a_is: the side on which the first folder's result stands."""

    name: str
    a_is: Side


@dataclass(frozen=True)
class Panel:
    """a, b, sources: folders. rows: in the order in which they are shown; row 1 is the first."""

    a: Path
    b: Path
    sources: Path
    seed: int
    rows: tuple[Row, ...]

    @classmethod
    def draw(
        cls,
        a: Path,
        b: Path,
        sources: Path,
        *,
        seed: int = 0,
        most: int | None = None,
        say: Say = lambda sentence: None,
    ) -> Panel:
        """A panel on all sources that have a result in both folders, or on `most` of them by chance.

        `say` hears of pictures that cannot be read; their rows are left out. Raises ImageError, ValueError where
        folders or common pictures are missing.
        """
        if a.resolve() == b.resolve():
            raise ValueError("a panel compares two folders, not one with itself")
        found = _files(a, b, sources)
        names = [*found]
        chance = random.Random(seed)
        chance.shuffle(names)
        names = [*islice((name for name in names if _readable(found[name], say)), most)]
        if not names:
            raise ValueError("of no source can both results be read")
        a_left = [number < len(names) // 2 for number in range(len(names))]  # each as often on either side
        chance.shuffle(a_left)
        rows = tuple(Row(name, "left" if left else "right") for name, left in zip(names, a_left, strict=True))
        return cls(a.resolve(), b.resolve(), sources.resolve(), seed, rows)

    @classmethod
    def load(cls, folder: Path) -> Panel:
        """Of a panel folder. Raises FileNotFoundError, ValueError."""
        path = folder / KEY
        if not path.is_file():
            raise FileNotFoundError(f"{folder} holds no {KEY}: it is no panel's folder")
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            sides = {"left", "right"}
            rows = tuple(Row(str(row["name"]), row["a_is"]) for row in told["rows"])
            if not rows or not all(row.a_is in sides for row in rows):
                raise ValueError("no rows")
            return cls(Path(told["a"]), Path(told["b"]), Path(told["sources"]), int(told["seed"]), rows)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not the key of a panel") from error

    @classmethod
    def open(
        cls,
        folder: Path,
        a: Path,
        b: Path,
        sources: Path,
        *,
        seed: int = 0,
        most: int | None = None,
        say: Say = lambda sentence: None,
    ) -> Panel:
        """The panel that the folder already holds, if it is on these three; else a new one, whose key is written there.

        Raises as `draw` and `load` do, and ValueError where the folder holds a panel on others.
        """
        if not (folder / KEY).is_file():
            panel = cls.draw(a, b, sources, seed=seed, most=most, say=say)
            panel._save(folder)
            return panel
        panel = cls.load(folder)
        if (panel.a, panel.b, panel.sources) != (a.resolve(), b.resolve(), sources.resolve()):
            raise ValueError(f"{folder} already holds a panel on other folders; choose another one")
        panel.files()
        return panel

    def files(self) -> list[tuple[Path, Path, Path]]:
        """(left result, source, right result) of each row. Raises ImageError, ValueError where one is gone."""
        found = _files(self.a, self.b, self.sources)
        if gone := [row.name for row in self.rows if row.name not in found]:
            raise ValueError(f"{gone[0]} of this panel is no longer in all three folders")
        ordered = []
        for row in self.rows:
            a, source, b = found[row.name]
            ordered.append((a, source, b) if row.a_is == "left" else (b, source, a))
        return ordered

    def labels(self) -> tuple[str, str]:
        """The two folders for people, as short as tells them apart."""
        a, b = self.a.parts, self.b.parts
        for depth in range(1, max(len(a), len(b)) + 1):
            if a[-depth:] != b[-depth:]:
                return "/".join(a[-depth:]), "/".join(b[-depth:])
        return str(self.a), str(self.b)

    def _save(self, folder: Path) -> None:
        rows = [{"row": number, "name": row.name, "a_is": row.a_is} for number, row in enumerate(self.rows, 1)]
        told = {"a": str(self.a), "b": str(self.b), "sources": str(self.sources), "seed": self.seed, "rows": rows}
        write_whole(folder / KEY, json.dumps(told, indent=1).encode())


def _files(a: Path, b: Path, sources: Path) -> dict[str, tuple[Path, Path, Path]]:
    """Source name -> its result in a, itself, its result in b."""
    own = by_name(sources)
    results = {folder: results_of(own, by_name(folder)) for folder in (a, b)}
    return {name: (results[a][name], own[name], results[b][name]) for name in shared_sources(own, results)}


def _readable(files: Iterable[Path], say: Say) -> bool:
    try:
        for path in files:
            open_image(path)
    except ImageError as error:
        say(f"{error}; its row is left out")
        return False
    return True
