"""The service behind the web page: one translation at a time, each stopped as soon as its visitor asks for it."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import ParamSpec, TypeVar

from PIL import Image

from models.atomic import write_whole
from translate.explain import heat
from translate.images.limits import check_savable, dropped
from translate.images.read import open_image
from translate.images.types import ImageError, LoadedImage
from translate.images.write import save_image
from translate.options import SamplingOptions
from translate.pipeline import DEFAULT, Translator
from translate.trajectory import Frame, saliency
from translate.web import styles
from translate.web.fifo_queue import FifoQueue, Ticket
from translate.web.results import Trajectory, pack, result_name
from translate.web.visitor_cache import VisitorCache

MAX_PIXELS = 25_000_000  # of a visitor's photo: 100 MB while it is worked on
MAX_PICTURES = 24  # of one visitor at a time
WAITING = 8  # visitors in line behind the one whose walk is on
KEPT = 1800  # seconds that a result stays on the disk
ROOM = 150_000_000  # bytes that the films of all visitors together may take
STYLES_ROOM = 30_000_000  # bytes that the styles of all visitors together may take, a third to one MB each
BETWEEN_SHOWN = 0.1  # seconds: steps that come faster are not shown while the walk is on

P = ParamSpec("P")
T = TypeVar("T")
# A direction's name, a photo, options -> the steps.
Run = Callable[[str, LoadedImage, SamplingOptions], Iterator[Frame]]


@dataclass(frozen=True)
class ChainProgress:
    """Where a walk stands. total: steps of all of it. ahead: visitors whose turn comes first."""

    trajectory: Trajectory
    total: int
    ahead: int = 0
    advice: str = ""
    finished: bool = False


@dataclass(frozen=True)
class FitProgress:
    """A style is about to be fitted, or not any more. ahead: visitors whose turn comes first."""

    ahead: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class FolderProgress:
    """Where several walks stand. previews: (file, name) of those done. refused: one sentence for each that failed."""

    total: int
    ahead: int = 0
    previews: tuple[tuple[Path, str], ...] = ()
    refused: tuple[str, ...] = ()
    archive: Path | None = None
    finished: bool = False


class TranslationService:
    """Every face of the web page calls this; a visitor is any string that tells one from another.

    What people can do something about is raised as ImageError, ValueError or Busy, each with one plain sentence.
    """

    def __init__(self, models: Sequence[str], folder: Path, wrap: Callable[[Run], Run] = lambda run: run) -> None:
        """models: names, files or folders of directions. folder: where results are written. wrap: put around the
        function that runs the chains, for hosts that lend a GPU for the length of a call."""
        loaded = [Translator.load(name) for name in models]
        self.translators = {t.name: t for t in loaded if t.config.source is not None}
        if not self.translators:
            raise ValueError("there is no model that translates; name one")
        self.folder = folder

        def run(direction: str, photo: LoadedImage, options: SamplingOptions) -> Iterator[Frame]:
            yield from self.translators[direction].frames(photo, options)

        self._run = wrap(run)
        self._thread = ThreadPoolExecutor(1)
        self._queue = FifoQueue(WAITING)
        self._cache: VisitorCache[Trajectory] = VisitorCache(ROOM)
        self._styles: VisitorCache[styles.Style] = VisitorCache(STYLES_ROOM)
        self._stops: dict[str, Event] = {}

    def stream(
        self, visitor: str, source: Path, direction: str, options: SamplingOptions = DEFAULT
    ) -> Iterator[ChainProgress]:
        """Translate a photo and yield its progress."""
        progress = _not_begun(source, self._translator(direction), options)
        with self._stoppable(visitor) as stop, self._queue.enter() as ticket:
            for ahead in _waiting(ticket, stop):
                yield replace(progress, ahead=ahead)
            yield from self._chain(visitor, progress, stop)

    def stream_style(
        self, visitor: str, paintings: Sequence[Path], source: Path, options: SamplingOptions = DEFAULT
    ) -> Iterator[FitProgress | ChainProgress]:
        """Fit a style to paintings, unless it is the one that the visitor has, and translate a photo with it."""
        if not 0 < len(paintings) <= styles.MAX_PAINTINGS:
            raise ValueError(f"Choose between 1 and {styles.MAX_PAINTINGS} paintings.")
        with self._stoppable(visitor) as stop, self._queue.enter() as ticket:
            for ahead in _waiting(ticket, stop):
                yield FitProgress(ahead)
            style = self._styles.take(visitor)
            if style is None or style.paintings != tuple(paintings):
                yield FitProgress()
                if stop.is_set():
                    yield FitProgress(stopped=True)
                    return
                style = self._compute(styles.fit, paintings, MAX_PIXELS)
                self._styles.put(visitor, style)
            yield from self._chain(visitor, _not_begun(source, style.translator, options), stop)

    def stream_many(
        self, visitor: str, sources: Sequence[Path], direction: str, options: SamplingOptions = DEFAULT
    ) -> Iterator[FolderProgress]:
        """Translate several photos, each in a turn of its own; one that cannot be read does not stop the others."""
        translator = self._translator(direction)
        if not 0 < len(sources) <= MAX_PICTURES:
            raise ValueError(f"Choose between 1 and {MAX_PICTURES} photos.")
        translator.check(options)
        batch = FolderProgress(len(sources))
        results: list[Path] = []
        with self._stoppable(visitor) as stop:
            for number, source in enumerate(sources):
                with self._queue.enter(bypass_limit=number > 0) as ticket:
                    for ahead in _waiting(ticket, stop):
                        yield replace(batch, ahead=ahead)
                    if stop.is_set():
                        break
                    yield batch
                    try:
                        trajectory = self._trajectory(source, translator, options, stop)
                        if stop.is_set():
                            break
                        last = len(trajectory.frames)
                        results.append(self._compute(trajectory.save, last, self._new_folder(), MAX_PIXELS))
                        preview = results[-1].with_name("preview.jpg")
                        save_image(self.picture(trajectory, last), preview, quality=88)
                        batch = replace(batch, previews=(*batch.previews, (preview, results[-1].name)))
                    except ImageError as error:
                        batch = replace(batch, refused=(*batch.refused, error.public))
            archive = pack(results, self._new_folder() / f"{translator.name}.zip") if results else None
            yield replace(batch, archive=archive, finished=True)

    def translate(self, source: Path, direction: str, strength: float | None) -> Trajectory:
        """All of a walk at once, for programs. strength: 0..2, None the model's own."""
        translator = self._translator(direction)
        with self._turn():
            return self._trajectory(source, translator, SamplingOptions(strength), Event())

    def save(self, trajectory: Trajectory, step: int) -> Path:
        """The picture after `step` steps, of full size, in a folder of its own."""
        with self._turn():
            return self._compute(trajectory.save, step, self._new_folder(), MAX_PIXELS)

    def save_gif(self, trajectory: Trajectory) -> Path:
        """The animation of all steps, in a folder of its own."""
        with self._turn():
            return self._compute(trajectory.save_gif, self._new_folder())

    def save_style(self, visitor: str) -> Path:
        """The model file of the visitor's own style, in a folder of its own. Raises ValueError where there is none."""
        style = self._styles.take(visitor)
        if style is None:
            raise ValueError("There is no style of yours here any more. Press the button above once again.")
        target = self._new_folder() / style.file_name
        write_whole(target, style.content)
        return target

    def check(self, source: Path) -> None:
        """Raises ImageError for a photo that cannot be translated."""
        self._compute(self._opened, source, next(iter(self.translators)))

    def check_painting(self, source: Path) -> None:
        """Raises ImageError for a painting that no style can be fitted to."""
        self._compute(open_image, styles.checked(source, MAX_PIXELS), max_pixels=MAX_PIXELS)

    def notes(self, photo: LoadedImage, source: Path, direction: str) -> tuple[str, ...]:
        """What a visitor should know about how the photo was read, and about what its result cannot keep."""
        return (*photo.notes, *dropped(photo, result_name(source, direction)))

    def accepts(self, source: Path, direction: str) -> bool | None:
        """Whether the photo looks like what the direction starts from; None where its model cannot tell."""
        translator = self._translator(direction)
        return self._compute(lambda: translator.accepts(open_image(source, max_pixels=MAX_PIXELS)))

    def advice(self, source: Path, direction: str) -> str:
        """One sentence where the photo does not look like what the direction starts from, else nothing."""
        translator = self._translator(direction)
        with self._turn():
            return self._advice(translator, open_image(source, max_pixels=MAX_PIXELS))

    def picture(self, trajectory: Trajectory, step: int) -> Image.Image:
        """The preview after `step` steps; 0 is the photo."""
        return self._compute(trajectory.picture, step)

    def heat_map(self, trajectory: Trajectory) -> Image.Image:
        """What the walk has changed so far, in colours of heat over the photo."""
        return heat(trajectory.frames[0].preview, self._compute(saliency, trajectory.frames))

    def trajectory(self, visitor: str) -> Trajectory:
        """The visitor's latest walk. Raises ValueError where there is none or no more."""
        trajectory = self._cache.take(visitor)
        if trajectory is None or not trajectory.frames:
            raise ValueError("There is no finished walk here any more. Press Translate once again.")
        return trajectory

    def has_trajectory(self, visitor: str) -> bool:
        """Whether a walk of the visitor's is on, or can be gone back to."""
        trajectory = self._cache.take(visitor)
        return visitor in self._stops or bool(trajectory and trajectory.frames)

    def stop(self, visitor: str) -> None:
        """End the visitor's walk after the step that it is at."""
        if stop := self._stops.get(visitor):
            stop.set()

    def leave(self, visitor: str) -> None:
        """The visitor has closed the page."""
        self.stop(visitor)
        self._cache.drop(visitor)
        self._styles.drop(visitor)

    def _new_folder(self) -> Path:
        """An empty folder whose name nobody can guess or choose; it and what is in it go after a while."""
        for old in self.folder.glob("*"):
            if time.time() - old.stat().st_mtime > KEPT:
                shutil.rmtree(old, ignore_errors=True)
        folder = self.folder / secrets.token_hex(16)
        folder.mkdir(parents=True)
        return folder

    def _opened(self, source: Path, direction: str) -> LoadedImage:
        """The photo, if it can be read and its result can be saved. Raises ImageError."""
        photo = open_image(source, max_pixels=MAX_PIXELS)
        check_savable(result_name(source, direction), photo.rgb.size)
        return photo

    def _translator(self, direction: str) -> Translator:
        if direction not in self.translators:
            raise ValueError(f"There is no direction {direction!r}; known are: {', '.join(self.translators)}.")
        return self.translators[direction]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._queue.enter() as ticket:
            while ticket.ahead(1.0):
                pass
            yield

    @contextmanager
    def _stoppable(self, visitor: str) -> Iterator[Event]:
        stop = self._stops[visitor] = Event()
        try:
            yield stop
        finally:
            if self._stops.get(visitor) is stop:  # not that of a walk which the visitor began since
                del self._stops[visitor]

    def _compute(self, function: Callable[P, T], *arguments: P.args, **settings: P.kwargs) -> T:
        """Call in the one thread that computes: torch holds on to some 40 MB for every thread that it was used in."""
        # In the same context: a host that lends GPUs finds in it for whom it does so.
        return self._thread.submit(copy_context().run, partial(function, *arguments, **settings)).result()

    def _chain(self, visitor: str, progress: ChainProgress, stop: Event) -> Iterator[ChainProgress]:
        """The chain itself, once it is the visitor's turn."""
        trajectory, translator, source = progress.trajectory, progress.trajectory.translator, progress.trajectory.source
        if not stop.is_set():
            photo = self._opened(source, translator.name)
            words = [self._advice(translator, photo), *map(_capital, self.notes(photo, source, translator.name))]
            progress = replace(progress, advice=" ".join(words).strip())
            shown = 0.0
            for frame in self._steps(translator, photo, trajectory.options):
                trajectory.frames.append(frame)
                if stop.is_set():
                    break
                if time.monotonic() - shown > BETWEEN_SHOWN:
                    yield progress
                    shown = time.monotonic()
            self._cache.put(visitor, trajectory)
        yield replace(progress, finished=True)

    def _steps(self, translator: Translator, photo: LoadedImage, options: SamplingOptions) -> Iterator[Frame]:
        # A visitor's own style runs here: the process that a host lends with a GPU has never seen it.
        own = self.translators.get(translator.name) is not translator
        frames = translator.frames(photo, options) if own else self._run(translator.name, photo, options)
        while (frame := self._compute(next, frames, None)) is not None:
            yield frame

    def _advice(self, translator: Translator, photo: LoadedImage) -> str:
        """One sentence where the photo does not look like what the direction starts from, else nothing."""
        if self._compute(translator.accepts, photo) is not False:
            return ""
        fitting = [t for t in self.translators.values() if self._compute(t.accepts, photo)]
        words = [f"{t.config.source} to {t.config.target}" for t in fitting]
        hint = f" Perhaps {' or '.join(words)} suits it better." if words else ""
        return f"This does not look like {translator.config.source}: expect little.{hint}"

    def _trajectory(self, source: Path, translator: Translator, options: SamplingOptions, stop: Event) -> Trajectory:
        trajectory = Trajectory(source, translator, options)
        for frame in self._steps(translator, self._opened(source, translator.name), options):
            trajectory.frames.append(frame)
            if stop.is_set():
                break
        return trajectory


def _not_begun(source: Path, translator: Translator, options: SamplingOptions) -> ChainProgress:
    """Raises ValueError for options that the model cannot follow."""
    return ChainProgress(Trajectory(source, translator, options), translator.check(options))


def _waiting(ticket: Ticket, stop: Event) -> Iterator[int]:
    """How many are ahead, again and again, until it is one's turn or one gives up."""
    while not stop.is_set() and (ahead := ticket.ahead(0.4)):
        yield ahead


def _capital(sentence: str) -> str:
    return f"{sentence[:1].upper()}{sentence[1:]}."
