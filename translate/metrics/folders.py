"""What is measured against what: found by the names of files, before a picture is read or a network is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from translate.metrics.pairs import FEWEST, by_name, results_of, shared_sources


@dataclass(frozen=True)
class Folders:
    """What is measured against what; known by the names of files alone, before a picture is read.

    source, target: test pictures. train_source, train_target: for the rate's classifier; default: trainA beside testA,
    trainB beside testB, if folders are named so. translated: folders of results, whoever made them.
    """

    source: Path
    target: Path
    train_source: Path | None = None
    train_target: Path | None = None
    translated: Sequence[Path] = ()
    results: Mapping[Path, Mapping[str, Path]] = field(init=False)
    names: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        """Raises ImageError, ValueError where folders, names or pictures are missing."""
        sources, targets = by_name(self.source), by_name(self.target)
        results = {folder: results_of(sources, by_name(folder)) for folder in self.translated}
        names = shared_sources(sources, results)
        for found, folder in ((names, self.source), (targets, self.target)):
            if len(found) < FEWEST:
                what = "usable picture" if len(found) == 1 else "usable pictures"
                raise ValueError(f"{folder.name} has {len(found)} {what}; measuring needs at least {FEWEST}")
        for domain in ("source", "target"):
            given = getattr(self, f"train_{domain}") or training_twin(getattr(self, domain))
            object.__setattr__(self, f"train_{domain}", given)  # the class is frozen
            if given is not None:
                by_name(given)
        object.__setattr__(self, "results", results)
        object.__setattr__(self, "names", names)


def training_twin(folder: Path) -> Path | None:
    """trainA for testA, where it is there."""
    folder = Path(os.path.realpath(folder))
    twin = folder.with_name(folder.name.replace("test", "train", 1))
    return twin if folder.name.startswith("test") and twin.is_dir() else None
