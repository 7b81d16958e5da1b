"""How good are translated pictures? Realism, domain rate, content distance, white change; and the floors beside them.

All figures come from SqueezeNet 1.1 features (see squeeze.py). `SqueezeNet-KID x100` is not Inception KID: it must not
be compared with figures in papers.

    bench = Bench.prepare(sources, targets, train_sources, train_targets, SqueezeFeatures.load("features.npz"))
    bench.measure([translate(picture) for picture in bench.sources])
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from PIL import Image

from translate.metrics.features import SqueezeFeatures, as_tensor, nearby_features

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

Picture = Image.Image

KID_NAME = "SqueezeNet-KID x100"
FEW = 50  # fewer pictures than this give a KID that says little
WHITE = 240
RIDGE_PENALTIES = tuple(10.0**k for k in range(-4, 5))


def kid(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased polynomial MMD^2 between (N, D) features x of the judged pictures and (M, D) features y of the target.

    k(a, b) = (a.b / D + 1)^3, the kernel of KID (Binkowski et al. 2018); x and y are first divided by one number, the
    standard deviation over all M*D values of y, so that all rows of a table have one kernel. With u = x / std(y),
    v = y / std(y):

        sum_{i != j} k(u_i, u_j) / (N (N-1)) + sum_{i != j} k(v_i, v_j) / (M (M-1)) - 2 sum_{ij} k(u_i, v_j) / (N M)

    It may fall below 0 when the sets agree. Tables show it times 100. Raises ValueError below 2 pictures a set.
    """
    if len(x) < 2 or len(y) < 2:
        raise ValueError("KID needs at least two pictures on either side.")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    scale = y.std() or 1.0
    x, y = x / scale, y / scale

    def within(a: np.ndarray) -> float:
        k = (a @ a.T / a.shape[1] + 1) ** 3
        return float((k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)))

    between = float(((x @ y.T / x.shape[1] + 1) ** 3).mean())
    return within(x) + within(y) - 2 * between


@dataclass(frozen=True)
class DomainClassifier:
    """A linear rule on standardised features: positive means target domain.

    mean, scale, weight: (D,). penalty: the chosen one. accuracy: share of the pictures it was fitted on that it gets
    right when each is left out in turn.
    """

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    penalty: float
    accuracy: float

    @classmethod
    def fit(cls, sources: np.ndarray, targets: np.ndarray) -> DomainClassifier:
        """Ridge regression of -1 (sources, (N, D)) and +1 (targets, (M, D)) around the middle of the two means.

        The penalty is the one of RIDGE_PENALTIES with the smallest leave-one-out squared error. With the Gram matrix
        Z Z' / D = Q diag(s) Q' and c = Q (Q'y / (s + penalty)), that error is c_i / (Q^2 (1 / (s + penalty)))_i.
        Raises ValueError if a domain is empty.
        """
        if not len(sources) or not len(targets):
            raise ValueError("The domain classifier needs pictures of both domains.")
        features = np.concatenate([sources, targets]).astype(np.float64)
        labels = np.repeat([-1.0, 1.0], [len(sources), len(targets)])
        mean = (features[: len(sources)].mean(0) + features[len(sources) :].mean(0)) / 2
        spread = features.std(0)
        scale = np.where(spread < 1e-6, 1.0, spread)
        z = (features - mean) / scale
        eigenvalues, q = np.linalg.eigh(z @ z.T / z.shape[1])
        eigenvalues = eigenvalues.clip(min=0)
        best = (np.inf, 0.0, labels, 0.0)
        for penalty in RIDGE_PENALTIES:
            inverse = 1 / (eigenvalues + penalty)
            dual = q @ (inverse * (q.T @ labels))
            error = dual / ((q * q) @ inverse)
            accuracy = float((np.sign(labels - error) == labels).mean())
            best = min(best, (float((error**2).mean()), penalty, dual, accuracy), key=lambda entry: entry[0])
        _, penalty, dual, accuracy = best
        return cls(mean, scale, z.T @ dual / z.shape[1], penalty, accuracy)

    def rate(self, features: np.ndarray) -> float:
        """Share of (N, D) features that the rule puts in the target domain, 0..1."""
        return float((((features - self.mean) / self.scale) @ self.weight > 0).mean())


def white_change(sources: np.ndarray, outputs: np.ndarray) -> float | None:
    """Mean |output - source|, in levels of 255, where all three channels of the source are at least 240.

    Both (N, 3, H, W) uint8 or float 0..255; the mean runs over such pixels of the whole set and their channels.
    None if there is no such pixel.
    """
    total, count = 0.0, 0
    for source, output in zip(sources, outputs, strict=True):
        white = (source >= WHITE).all(0)
        count += int(white.sum()) * 3
        total += float(np.abs(output[:, white].astype(np.float64) - source[:, white].astype(np.float64)).sum())
    return total / count if count else None


@dataclass(frozen=True)
class Recolouring:
    """The floor that any model must beat: each picture's colours moved to those of a whole set.

    Reinhard et al., "Color Transfer between Images" (2001), with sRGB channels for their l-alpha-beta: every channel's
    mean and standard deviation over the picture become those over all pixels of the set.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def towards(cls, pictures: Iterable[Picture]) -> Recolouring:
        count, total, squares = 0, np.zeros(3), np.zeros(3)
        for picture in pictures:
            pixels = np.asarray(picture.convert("RGB"), np.float64).reshape(-1, 3)
            count, total, squares = count + len(pixels), total + pixels.sum(0), squares + (pixels**2).sum(0)
        if not count:
            raise ValueError("Recolouring needs at least one picture of the target.")
        mean = total / count
        return cls(mean, np.sqrt(np.maximum(squares / count - mean**2, 0)))

    def __call__(self, picture: Picture) -> Picture:
        pixels = np.asarray(picture.convert("RGB"), np.float64)
        spread = np.maximum(pixels.std((0, 1)), 1.0)  # a flat channel would turn its noise into stripes
        moved = (pixels - pixels.mean((0, 1))) / spread * self.std + self.mean
        return Image.fromarray(moved.round().clip(0, 255).astype(np.uint8))


def to_square(picture: Picture, size: int = 256) -> Picture:
    """The picture's short side brought to `size` (Lanczos), then its central square; size x size stays as it is."""
    picture = picture.convert("RGB")
    if picture.size == (size, size):
        return picture
    factor = size / min(picture.size)
    width, height = (max(size, round(side * factor)) for side in picture.size)
    left, top = (width - size) // 2, (height - size) // 2
    return picture.resize((width, height), Image.Resampling.LANCZOS).crop((left, top, left + size, top + size))


@dataclass(frozen=True)
class Figures:
    """One row. kid_x100: SqueezeNet-KID x100 against all targets (lower is better; None for a single picture).

    rate: share in the target domain, 0..1. content: mean LPIPS-like distance to the source (None without the linear
    layers). white: mean change of near-white source pixels in levels of 255 (None if there are none). n: pictures.
    """

    kid_x100: float | None
    rate: float
    content: float | None
    white: float | None
    n: int


@dataclass(frozen=True)
class Bench:
    """Everything about a set that does not change from model to model, computed once.

    sources: the pictures to translate, size x size. target_features: (M, 512). notes: what a reader must know. names:
    of the sources' files, without suffix, where they come from a folder.
    """

    sources: tuple[Picture, ...]
    target_features: np.ndarray
    classifier: DomainClassifier
    recolouring: Recolouring
    features: SqueezeFeatures
    size: int
    notes: tuple[str, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def of_folders(
        cls,
        source: Path,
        target: Path,
        features: SqueezeFeatures,
        train_source: Path | None = None,
        train_target: Path | None = None,
        *,
        size: int = 256,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> Bench:
        """train_source, train_target: default to trainA beside testA and trainB beside testB, if folders are named so.

        `say` hears of what is read, and of files that were skipped. Raises ImageError, ValueError.
        """
        sources = read_folder(source, size, say)
        targets, train_sources, train_targets = (
            None if folder is None else read_folder(folder, size, say).values()
            for folder in (target, train_source or training_twin(source), train_target or training_twin(target))
        )
        say("measuring the pictures as they are")
        bench = cls.prepare(sources.values(), targets or (), train_sources, train_targets, features, size)
        return replace(bench, names=tuple(sources))

    @classmethod
    def prepare(
        cls,
        sources: Iterable[Picture],
        targets: Iterable[Picture],
        train_sources: Iterable[Picture] | None,
        train_targets: Iterable[Picture] | None,
        features: SqueezeFeatures,
        size: int = 256,
    ) -> Bench:
        """Without training pictures of both domains the classifier is fitted on sources and targets, with a note."""
        squares = tuple(to_square(picture, size) for picture in sources)
        target_squares = [to_square(picture, size) for picture in targets]
        if not squares:
            raise ValueError("There is no source picture to measure.")
        if len(target_squares) < 2:
            raise ValueError("KID needs at least two target pictures.")
        target_features = _pooled(target_squares, features)
        notes = [f"Features: {features.source}."]
        if (fewest := min(len(squares), len(target_squares))) < FEW:
            notes.append(f"With only {fewest} pictures a KID is mostly noise: take {FEW} or more on either side.")
        if features.linear is None:
            notes.append("No content distance: the LPIPS linear layers are not beside the features file.")
        if train_sources is None or train_targets is None:
            notes.append(
                "The rate's classifier was fitted on the measured sources and targets themselves, "
                "for want of training pictures of both domains: do not compare this rate with others."
            )
            train_features = _pooled(squares, features), target_features
            palette: Sequence[Picture] = target_squares
        else:
            palette = [to_square(picture, size) for picture in train_targets]
            train_features = (
                _pooled((to_square(picture, size) for picture in train_sources), features),
                _pooled(palette, features),
            )
        return cls(
            squares,
            target_features,
            DomainClassifier.fit(*train_features),
            Recolouring.towards(palette),
            features,
            size,
            tuple(notes),
        )

    def measure(self, outputs: Iterable[Picture], sources: Sequence[Picture] | None = None) -> Figures:
        """Outputs against their sources, in the same order; `sources` defaults to the bench's own."""
        sources = self.sources if sources is None else sources
        before = as_tensor([to_square(picture, self.size) for picture in sources])
        after = as_tensor([to_square(picture, self.size) for picture in outputs])
        if len(before) != len(after):
            raise ValueError(f"{len(after)} outputs cannot be compared with {len(before)} sources.")
        judged = self.features.pooled(after).cpu().numpy()
        distance = self.features.content_distance(before, after)
        return Figures(
            kid_x100=100 * kid(judged, self.target_features) if len(judged) > 1 else None,
            rate=self.classifier.rate(judged),
            content=None if distance is None else float(distance.mean()),
            white=white_change(before.numpy(), after.numpy()),
            n=len(judged),
        )


@dataclass(frozen=True)
class Report:
    """Named rows of figures, and what a reader must know about them. digest: of the model that was measured."""

    rows: dict[str, Figures]
    notes: tuple[str, ...] = ()
    digest: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For --json: {"digest": ..., "rows": {name: {kid_x100, rate, content, white, n}}, "notes": [...]}.

        None: not measured.
        """
        rows = {name: asdict(row) for name, row in self.rows.items()}
        return {"digest": self.digest, "rows": rows, "notes": list(self.notes)}


def evaluate(
    translate: Callable[[Picture], Picture],
    sources: Iterable[Picture],
    targets: Iterable[Picture],
    train_sources: Iterable[Picture] | None,
    train_targets: Iterable[Picture] | None,
    features: SqueezeFeatures,
    size: int = 256,
) -> Report:
    """Measure `translate` (one size x size picture to one picture) beside the untouched sources and a recolouring."""
    bench = Bench.prepare(sources, targets, train_sources, train_targets, features, size)
    return Report({**floors(bench), "model": bench.measure(map(translate, bench.sources))}, bench.notes)


def floors(bench: Bench) -> dict[str, Figures]:
    """What any model must beat: doing nothing, and only moving the colours."""
    return {
        "untouched": bench.measure(bench.sources),
        "recolouring": bench.measure(map(bench.recolouring, bench.sources)),
    }


class Direction(Protocol):
    """What `evaluate_folders` needs of a translator."""

    name: str

    @property
    def digest(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    def __call__(self, image: Any, /, *, strength: float | None) -> Any:
        """Returns something whose `picture` is the translation."""


def evaluate_folders(
    translator: Direction,
    source: Path,
    target: Path,
    train_source: Path | None = None,
    train_target: Path | None = None,
    *,
    translated: Path | None = None,
    strengths: Sequence[float | None] = (None,),
    features: Path | None = None,
    size: int = 256,
    bars: Progress | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Report:
    """Measure a translator on folders: one row a strength, beside the floors and, if given, ready-made translations.

    translated: a folder whose pictures have the sources' names (suffixes may differ); its row covers only those.
    train_source, train_target: see Bench.of_folders.
    features: defaults to the file beside the checkout, then to torchvision's weights.
    strengths: None is the model's own. bars shows progress; say hears of it too, and of files that were skipped.
    Raises ImageError, FeaturesError, ValueError.
    """
    from translate.images.training_set import list_images

    for folder in (source, target, train_source, train_target, translated):
        if folder is not None and not list_images(folder):
            raise ValueError(f"There is no picture in {folder.name}.")
    network = SqueezeFeatures.load(features or nearby_features(), translator.device)
    bench = Bench.of_folders(source, target, network, train_source, train_target, size=size, say=say)
    rows, notes = floors(bench), list(bench.notes)
    if translated is not None:
        ready = read_folder(translated, size, say)
        named = zip(bench.names, bench.sources, strict=True)
        pairs = [(square, ready[name]) for name, square in named if name in ready]
        if not pairs:
            raise ValueError(f"{translated.name} holds no picture with the name of a source.")
        rows[f"folder {translated.name}"] = bench.measure(
            [output for _, output in pairs], sources=[square for square, _ in pairs]
        )
        if len(pairs) < len(bench.sources):
            notes.append(f"Folder {translated.name} has only {len(pairs)} of the {len(bench.sources)} sources.")
    for strength in dict.fromkeys(strengths):
        row = translator.name if strength is None else f"{translator.name}, strength {strength:g}"
        say(f"translating: {row}")
        rows[row] = bench.measure(_translations(translator, bench.sources, strength, bars, row))
    return Report(rows, tuple(notes), translator.digest)


def training_twin(folder: Path) -> Path | None:
    """trainA for testA, where it is there."""
    folder = Path(os.path.realpath(folder))
    twin = folder.with_name(folder.name.replace("test", "train", 1))
    return twin if folder.name.startswith("test") and twin.is_dir() else None


def read_folder(folder: Path, size: int, say: Callable[[str], None]) -> Mapping[str, Picture]:
    """A folder's pictures, brought to size x size, by their names without suffix; `say` hears of each skipped file.

    Raises ImageError if there is no such folder, ValueError if there is no picture in it.
    """
    from translate.images.read import open_image
    from translate.images.training_set import list_images
    from translate.images.types import ImageError

    pictures: dict[str, Picture] = {}
    found = list_images(folder)
    say(f"reading {len(found)} pictures of {folder.name}")
    for path in found:
        if path.stem in pictures:
            say(f"{path.name}: skipped, there is another picture of that name")
            continue
        try:
            pictures[path.stem] = to_square(open_image(path).rgb, size)
        except ImageError as error:
            say(f"{error}; skipped")
    if not pictures:
        raise ValueError(f"There is no picture in {folder.name}.")
    return pictures


def table(report: Report) -> Table:
    """The report as a rich table; the notes are its caption."""
    from rich.table import Table

    result = Table(caption="\n".join(report.notes), caption_justify="left")
    result.add_column("pictures")
    for heading in (KID_NAME, "rate", "content (LPIPS-like)", "white change", "n"):
        result.add_column(heading, justify="right")
    for name, row in report.rows.items():
        result.add_row(
            name,
            _shown(row.kid_x100, ".1f"),
            _shown(row.rate, ".2f"),
            _shown(row.content, ".3f"),
            _shown(row.white, ".1f"),
            str(row.n),
        )
    return result


def _translations(
    translator: Direction, sources: Sequence[Picture], strength: float | None, bars: Progress | None, row: str
) -> Iterator[Picture]:
    task = bars.add_task(row, total=len(sources)) if bars else None
    for picture in sources:
        yield translator(picture, strength=strength).picture
        if bars and task is not None:
            bars.advance(task)


def _pooled(pictures: Iterable[Picture], features: SqueezeFeatures) -> np.ndarray:
    return features.pooled(as_tensor(list(pictures))).cpu().numpy()


def _shown(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
