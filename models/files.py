"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes path's place when all is safe on the disk, and vanishes on any exception.

    Raises OSError, which names `path` and not the temporary file beside it.
    """
    part = path.with_name(f".cf-translate-{secrets.token_hex(8)}.part")
    try:
        with part.open("x+b") as file:  # not by tempfile, whose files only their owner may read
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.filename == str(part):
            error.filename, error.filename2 = str(path), None
        raise
