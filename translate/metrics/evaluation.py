"""How good are translated pictures? A table of result sets, measured against one target with one kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from translate.metrics.bench import Bench
from translate.metrics.extra import require
from translate.metrics.folders import Folders
from translate.metrics.networks import load_networks
from translate.metrics.pairs import by_name, squares
from translate.metrics.squeezenet import FeaturesError, Lpips
from translate.metrics.tables import Report

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

Picture = Image.Image
Say = Callable[[str], None]
MOST_TRAINING = 500  # training pictures of a domain that the classifier sees, evenly chosen


class Direction(Protocol):
    """What `evaluate` needs of a translator."""

    name: str

    @property
    def digest(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    def __call__(self, image: Any, /, *, strength: float | None) -> Any:
        """Returns something whose `picture` is the translation."""


def evaluate(
    folders: Folders,
    translator: Direction | None = None,
    *,
    strengths: Sequence[float | None] = (None,),
    networks: Sequence[str] | None = None,
    features: Path | None = None,
    size: int = 256,
    bars: Progress | None = None,
    say: Say = lambda sentence: None,
    keep: Callable[[str, Sequence[Picture], Sequence[Picture], Any], None] | None = None,
) -> Report:
    """One row a result set: the untouched sources, a recolouring, ready-made results, the translator at each strength.

    All rows cover the same sources, those that have a result in every folder. networks: see load_networks; None takes
    all that can be had. features: SqueezeNet's weights in a file. strengths: None is the model's own. bars shows
    progress; say hears of it too, and of files that were skipped. keep: gets each row's name, sources, results and
    their parts in the KID, for a sheet. Raises ImageError, MissingExtra, FeaturesError, ValueError.
    """
    device = "cpu" if translator is None else translator.device
    bench, ready, notes = open_bench(folders, networks, features, size=size, device=device, say=say)
    rows = {}

    def add(row: str, pictures: Sequence[Picture]) -> None:
        rows[row] = bench.measure(pictures)
        if keep is not None:
            keep(row, bench.sources, pictures, bench.parts(pictures))

    add("untouched", bench.sources)
    add("recolouring", [bench.recolouring(picture) for picture in bench.sources])
    for folder, pictures in ready.items():
        add(f"folder {folder}", pictures)
    for strength in dict.fromkeys(strengths) if translator is not None else ():
        assert translator is not None
        row = translator.name if strength is None else f"{translator.name}, strength {strength:g}"
        say(f"translating: {row}")
        add(row, list(_translations(translator, bench.sources, strength, bars, row)))
    return Report(rows, (*bench.notes, *notes), None if translator is None else translator.digest)


def open_bench(
    folders: Folders,
    networks: Sequence[str] | None = None,
    features: Path | None = None,
    *,
    size: int = 256,
    device: torch.device | str = "cpu",
    say: Say = lambda sentence: None,
) -> tuple[Bench, dict[str, list[Picture]], list[str]]:
    """The bench of some folders; ready-made results by the name of their folder, in the order of its sources; notes.

    Raises as `evaluate` does.
    """
    require("evaluate")
    judges = load_networks(networks, features, device, say)
    try:
        lpips = Lpips(features, device)
    except FeaturesError:
        lpips = None
    return _read(folders, judges, lpips, size, say)


def _read(
    folders: Folders, judges: Sequence[Any], lpips: Lpips | None, size: int, say: Say
) -> tuple[Bench, dict[str, list[Picture]], list[str]]:
    all_sources = by_name(folders.source, say)
    say(f"reading {len(folders.names)} pictures of {folders.source.name}")
    sources = squares({name: all_sources[name] for name in folders.names}, size, say)
    made: dict[Path, dict[str, Picture]] = {}
    for folder, found in folders.results.items():
        say(f"reading {len(sources)} pictures of {folder.name}")
        made[folder] = squares({name: found[name] for name in sources}, size, say)
    names = [name for name in sources if all(name in read for read in made.values())]
    targets, train_sources, train_targets = (
        None if folder is None else _training(folder, size, say, most)
        for folder, most in (
            (folders.target, None), (folders.train_source, MOST_TRAINING), (folders.train_target, MOST_TRAINING)
        )
    )  # fmt: skip
    notes = []
    if len(names) < len(all_sources):
        notes.append(
            f"All rows cover the {len(names)} of {len(all_sources)} sources that can be read and have a result."
        )
    say("measuring the pictures as they are")
    own = [sources[name] for name in names]
    bench = Bench.prepare(own, targets or (), train_sources, train_targets, judges, lpips, size)
    labels = _labels(list(made))
    return bench, {labels[folder]: [read[name] for name in names] for folder, read in made.items()}, notes


def _training(folder: Path, size: int, say: Say, most: int | None) -> list[Picture]:
    files = list(by_name(folder, say).items())
    step = 1 if most is None else max(1, -(-len(files) // most))
    say(f"reading {len(files[::step])} pictures of {folder.name}")
    return list(squares(dict(files[::step]), size, say).values())


def _labels(folders: Sequence[Path]) -> dict[Path, str]:
    """Each folder's name; with the folders above it where two are named alike."""
    for depth in range(1, 1 + max((len(folder.parts) for folder in folders), default=0)):
        labels = {folder: "/".join(folder.parts[-depth:]) for folder in folders}
        if len(set(labels.values())) == len(folders):
            return labels
    return {folder: str(folder) for folder in folders}


def _translations(
    translator: Direction, sources: Sequence[Picture], strength: float | None, bars: Progress | None, row: str
) -> Iterator[Picture]:
    task = bars.add_task(row, total=len(sources)) if bars else None
    for picture in sources:
        yield translator(picture, strength=strength).picture
        if bars and task is not None:
            bars.advance(task)
