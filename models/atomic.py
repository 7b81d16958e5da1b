"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":  # where a file that somebody has open cannot be removed anyway
    import fcntl

_PART = re.compile(r"\.cf-translate-[0-9a-f]{16}\.part")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes path's place when all is safe on the disk, and vanishes on any exception.

    Raises OSError, which names `path` and not the temporary file beside it, also where the disk is full.
    """
    part = path.with_name(f".cf-translate-{secrets.token_hex(8)}.part")
    try:
        with _Written(io.FileIO(part, "x+")) as file:  # not by tempfile, whose files only their owner may read
            _hold(file.raw)
            yield file
            file.flush()
            _to_disk(file.raw.fileno())
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.filename == str(part):
            error.filename, error.filename2 = str(path), None
        raise


class _Written(io.BufferedRandom):
    """A file that can be written only through Python, which raises where less was taken than was given.

    Encoders in C that are handed a file's number write to it themselves, and not all of them look at how much of it
    the disk took: a JPEG that a full disk has cut would count as saved.
    """

    def fileno(self) -> int:
        raise io.UnsupportedOperation("to be written by write() alone")


def _to_disk(number: int) -> None:
    """As os.fsync, which some mounted clouds and shares do not know; there the close says whether all went well."""
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` at `path`: a reader sees the old file or the new one, never a part. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)


def remove_leftovers(folder: Path) -> int:
    """Remove the temporary files that killed processes have left in a folder and the folders in it; says how many.

    Those that a living process is writing stay. Links to folders are not followed.
    """
    count = 0
    for place, _, names in os.walk(folder):
        for name in names:
            part = Path(place, name)
            if _PART.fullmatch(name) and not part.is_symlink():
                with contextlib.suppress(OSError):
                    with part.open("r+b", buffering=0) as file:
                        _hold(file)
                    part.unlink()
                    count += 1
    return count


def _hold(file: io.RawIOBase) -> None:
    """Lock a file for as long as it is open. Raises BlockingIOError where somebody else holds it."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a disk that knows no locks
            return
