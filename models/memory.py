"""How the process keeps its memory."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of glibc's mallopt
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the process keep memory that tensors give back, for the next ones: whether the C library can.

    Chains allocate and free the same features at every step. glibc hands blocks of their size back to the system each
    time, which must then clear every page of the next ones: a quarter of a step's time. The process never grows larger
    than its largest step. Without glibc nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
