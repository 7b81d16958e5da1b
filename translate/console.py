"""The terminal: errors as one sentence, bars of progress, signals. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
import typer.core

if TYPE_CHECKING:
    from rich.progress import Progress

    from models.train.distil import Lesson
    from models.train.run_dir import Progress as Iteration
    from translate.folders.report import Outcome

FAILED, SOME_FAILED, BROKEN_PIPE = 1, 3, 141  # exit codes


class OneSentenceGroup(typer.core.TyperGroup):
    """Says what is wrong with a command in one sentence, and where to read on."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        if not options.get("standalone_mode", True):
            return super().main(*arguments, **options)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # whatever a terminal can show, no letter ends a run
                stream.reconfigure(errors="backslashreplace")
        try:
            code = super().main(*arguments, **{**options, "standalone_mode": False})
            sys.stdout.flush()
        except BrokenPipeError:  # as after `| head -1`: who read has had enough
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = BROKEN_PIPE
        except typer.Abort:
            echo_err("stopped")
            code = FAILED
        except Exception as error:
            # Click's errors, whose classes Typer has had in several places; without a message they have shown a page.
            if not hasattr(error, "format_message"):
                raise
            if message := " ".join(error.format_message().split()).rstrip("."):
                context = getattr(error, "ctx", None)
                echo_err(f"error: {message}" + (f" (see {context.command_path} --help)" if context is not None else ""))
            code = getattr(error, "exit_code", FAILED)
        sys.exit(code or 0)


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn the errors that people can do something about into one sentence and exit code 1."""
    try:
        yield
    except KeyboardInterrupt:
        fail("stopped; what was finished is kept")
    except BrokenPipeError:
        raise
    except OSError as error:
        words = error.strerror or str(error)
        fail(f"{error.filename}: {words}" if error.filename else words)
    except (ValueError, ArithmeticError) as error:  # ImageError, BadModel, Diverged and options out of range
        fail(str(error))
    except MemoryError:
        fail("there is not enough memory for this; try a smaller picture or a smaller --size")


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn a ValueError into an error of usage, exit code 2."""
    try:
        yield
    except ValueError as error:
        wrong_usage(str(error))


@contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Collect Ctrl-C and SIGTERM in a list. The caller looks at it and ends in good order."""
    received: list[signal.Signals] = []
    previous = {
        number: signal.signal(number, lambda number, frame: received.append(signal.Signals(number)))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def progress_bars(*columns: str) -> Progress:
    """Bars on stderr; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),  # names of files may have brackets
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        *(TextColumn(column, markup=False) for column in columns),
        console=Console(stderr=True),
        redirect_stdout=sys.stdout.isatty(),  # else what goes into a file or a pipe would come out between the bars
        disable=not sys.stderr.isatty(),
    )


class FileBars:
    """A bar of the files, where there are several, and one of the steps of the file that is worked on."""

    def __init__(self, bars: Progress, files: int, steps: int) -> None:
        self._bars, self._steps = bars, steps
        self._files = bars.add_task("files", total=files, visible=files > 1)
        self._chain = bars.add_task("", total=steps, visible=False)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """For as long as one file is worked on."""
        # Not by reset, which draws at once: for small pictures that took a tenth of the time.
        self._bars.update(self._chain, completed=0, description=_short(printable(name)), visible=True)
        try:
            yield
        finally:
            self._bars.advance(self._files)

    def step(self, *_: object) -> None:
        self._bars.advance(self._chain)


class BatchBars:
    """Bars of files and of steps; and what is printed of each outcome."""

    def __init__(self, bars: Progress, files: int, steps: int, dry_run: bool) -> None:
        self._bars, self._steps, self._all_steps = bars, steps, steps * files
        self._files = bars.add_task("files", total=files)
        self._chain = bars.add_task("steps", total=self._all_steps, visible=not dry_run)

    def step(self) -> None:
        self._bars.advance(self._chain)

    def __call__(self, outcome: Outcome) -> None:
        if outcome.status == "planned":
            echo(f"{printable(outcome.source)} -> {printable(outcome.target or '')}")
        for sentence in (*outcome.notes, *([outcome.reason] if outcome.reason else [])):
            echo_err(f"{outcome.source}: {sentence}")
        if outcome.target is not None:  # else it was never among the files to do
            self._bars.advance(self._files)
            if outcome.status != "done":
                self._all_steps -= self._steps
                self._bars.update(self._chain, total=self._all_steps)


class TrainingBar:
    """A bar on a terminal; elsewhere a line for every 50 iterations."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: Any = None

    def __call__(self, progress: Iteration) -> None:
        done = progress.iteration + 1
        state = (
            f"{progress.resolution} px, beta {progress.beta:.2f}, energies {progress.target_energy:+.2f} (target) "
            f"{progress.chain_energy:+.2f} (chain), change {progress.change:.3f}"
        )
        if self._task is None:
            self._task = self._bars.add_task("training", total=progress.iterations, state="")
        self._bars.update(self._task, completed=done, state=state)
        if not self._bars.console.is_terminal and not progress.event and progress.iteration % 50 == 0:
            echo_err(f"{done}/{progress.iterations}: {state}")


class LessonBar:
    """A bar of chains and one of iterations on a terminal; elsewhere a line for every 50."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}
        self._next = 0  # what is done when the next line comes

    def __call__(self, lesson: Lesson) -> None:
        state = "" if lesson.what == "chains" else f"{lesson.error:.3f} from the chains' ends"
        if lesson.what not in self._tasks:
            self._tasks[lesson.what] = self._bars.add_task(lesson.what, total=lesson.total, state="")
            self._next = 0
        self._bars.update(self._tasks[lesson.what], completed=lesson.done, state=state)
        if not self._bars.console.is_terminal and lesson.done >= self._next:
            echo_err(f"{lesson.done}/{lesson.total} {lesson.what}{state and f', {state}'}")
            self._next = lesson.done + 50


def _short(name: str, length: int = 32) -> str:
    """A name that leaves room for the bar beside it."""
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-length // 2 :]}"


def advance(bars: Progress, task: Any, *_: object) -> None:
    """One step of a bar, whatever the caller is told of it."""
    bars.advance(task)


def printable(name: str) -> str:
    """A name on one line, whatever is in it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def echo(value: object) -> None:
    """Print one line to stdout, such as the path of a result; as echo_err."""
    print(printable(str(value)), flush=True)  # not by typer, which writes past the bars


def echo_err(sentence: str) -> None:
    """Print one line to stderr; characters that a terminal would obey are spelled out."""
    print(printable(sentence), file=sys.stderr, flush=True)


def echo_lines(sentences: Iterable[str]) -> None:
    """Print several lines to stderr."""
    for sentence in sentences:
        echo_err(sentence)


def confirm(question: str, otherwise: str) -> None:
    """Ask on stderr; end with exit code 1 unless the answer is yes. typer.confirm would put a space on stdout."""
    typer.echo(f"{question} [y/N] ", err=True, nl=False)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        fail(otherwise)


def fail(sentence: str) -> NoReturn:
    """Say why and end with exit code 1."""
    echo_err(f"error: {sentence}")
    raise typer.Exit(FAILED)


def exit_after(failed: int, total: int) -> None:
    """End with exit code 1 where all failed, 3 where some did; return where none did."""
    if failed:
        raise typer.Exit(FAILED if failed == total else SOME_FAILED)


def existing_files(pictures: list[Path]) -> list[Path]:
    """The pictures that exist, and - for stdin; ends where none does, before torch is imported, which takes seconds."""
    missing = [path for path in pictures if not os.path.exists(path) and str(path) != "-"]
    for path in missing:
        echo_err(f"{path.name}: {'this is a link to nowhere' if os.path.islink(path) else 'there is no such file'}")
    exit_after(len(missing) if len(missing) == len(pictures) else 0, len(pictures))
    return [path for path in pictures if path not in missing]


def wrong_usage(sentence: str) -> NoReturn:
    """End with exit code 2."""
    raise typer.BadParameter(sentence)


def numbers(text: str, option: str, count: int | None = None, kind: type[int] | type[float] = int) -> list[Any]:
    """The numbers of an option such as --steps 8,14,6. Ends with exit code 2 where the text holds others."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or (count is not None and len(found) != count):
        words = "whole numbers" if kind is int else "numbers"
        wrong_usage(f"{option} wants {f'{count} ' if count else ''}{words} with commas between, not {text}")
    return found
