"""- for a file: a picture that comes on stdin, a result that goes to stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from translate.folders.naming import Output
from translate.images.formats import WRITABLE
from translate.images.read import image_format
from translate.temporary import held_folder

PIPE = "-"


@dataclass(frozen=True)
class Piped:
    """Sources and output, all of them files. to_stdout: whether the result still has to go there."""

    sources: tuple[Path, ...]
    output: Output | None
    to_stdout: bool

    def deliver(self, result: Path) -> None:
        """Put a result on stdout. Raises BrokenPipeError where nobody listens."""
        sys.stdout.flush()
        sys.stdout.buffer.write(result.read_bytes())
        sys.stdout.buffer.flush()


def check_pipes(sources: Sequence[Path], output: str | None, also_prints: bool) -> None:
    """Raises ValueError, with one sentence, for what cannot go together. also_prints: whether stdout is wanted for
    something else."""
    if sum(str(path) == PIPE for path in sources) > 1:
        raise ValueError("stdin holds one picture; give - once")
    to_stdout = output == PIPE or (output is None and any(str(path) == PIPE for path in sources))
    if to_stdout and len(sources) > 1:
        raise ValueError("stdout takes one picture; give a folder for several")
    if to_stdout and also_prints:
        raise ValueError("--json and the picture cannot both go to stdout; name a file with -o")
    if to_stdout and sys.stdout.isatty():
        raise ValueError("a picture is not written to a terminal; name a file with -o, or send stdout into one")


@contextmanager
def piped(sources: Sequence[Path], output: str | None) -> Iterator[Piped]:
    """The same with files of this disk in the place of -, gone when this ends. What comes on stdin goes to stdout where
    no output is named."""
    if output != PIPE and not any(str(path) == PIPE for path in sources):
        yield Piped(tuple(sources), None if output is None else Output.of(output), False)
        return
    with held_folder("cf-translate-pipe-") as place:
        found = tuple(_spooled(place) if str(path) == PIPE else path for path in sources)
        if output is not None and output != PIPE:
            yield Piped(found, Output.of(output), False)
            return
        folder = place / "out"
        folder.mkdir()
        yield Piped(found, Output(folder, True), True)


def _spooled(folder: Path) -> Path:
    """What comes on stdin as a file, with the suffix of what it is."""
    path = folder / "stdin"
    path.write_bytes(sys.stdin.buffer.read())
    format = image_format(path)
    suffix = next((suffix for suffix, name in WRITABLE.items() if name == format), "")
    return path.rename(path.with_suffix(suffix)) if suffix else path
