"""One run at a time in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

NAME = ".cf-translate.lock"


class InUse(ValueError):
    """Another run works in the folder."""


@contextlib.contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold a folder, which must be there, against other runs of cf-translate on this machine.

    The system lets go of it when the process ends, however it ends. Where a disk knows no locks nothing is held. Raises
    InUse.
    """
    lock = FileLock(folder / NAME)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        reason = (
            f"another run of cf-translate is at work in {folder.name}; wait until it has ended, or name another folder"
        )
        raise InUse(reason) from error
    except (OSError, NotImplementedError):  # such as a folder that may not be written, which is told where it matters
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # before it is let go: who takes a lock sees that its file has gone
            (folder / NAME).unlink()
        lock.release()
