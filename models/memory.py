"""How the process keeps its memory."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # parameters of glibc's mallopt
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the process keep memory that tensors give back, for the next ones: whether the C library can.

    Chains allocate and free the same features at every step. glibc hands blocks of their size back to the system each
    time, which must then clear every page of the next ones: a quarter of a step's time. The process never grows larger
    than its largest step. Without glibc nothing changes.
    """
    return _mallopt(_MMAP_MAX, 0) and _mallopt(_TRIM_THRESHOLD, _NEVER)


def share_heaps(most: int) -> bool:
    """Let all threads share `most` heaps: whether the C library can. With one for each, a server of many threads would
    grow and grow."""
    return _mallopt(_ARENA_MAX, most)


def _mallopt(parameter: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(parameter, value))
    except (OSError, AttributeError):
        return False
