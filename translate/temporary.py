"""Folders for as long as a process lives: what a killed one leaves is removed by the next."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from translate.lock import NAME, InUse, sole_use


@contextlib.contextmanager
def held_folder(prefix: str, parent: str | None = None) -> Iterator[Path]:
    """A new folder, gone when this ends. parent: None is the system's own place for such.

    First the folders of this prefix go that no process holds any more. Raises OSError.
    """
    place = Path(parent or tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    remove_left(prefix, place)
    with contextlib.ExitStack() as held:
        while True:
            folder = Path(os.path.realpath(tempfile.mkdtemp(prefix=prefix, dir=place)))
            try:
                held.enter_context(sole_use(folder))
                break
            except InUse:  # somebody who cleans up was quicker than a lock
                continue
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_left(prefix: str, parent: Path) -> int:
    """Remove the folders that killed processes have left; says how many. Those in use stay, and all without a lock."""
    count = 0
    for folder in parent.glob(f"{prefix}*"):
        if folder.is_symlink() or not (folder / NAME).is_file():
            continue
        with contextlib.suppress(InUse, OSError), sole_use(folder):
            shutil.rmtree(folder)
            count += 1
    return count
