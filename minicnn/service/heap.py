"""Memory that large pictures took, given back to the system once they are answered."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["LARGE", "keep_heap_small"]

LARGE = 2**21  # bytes of an array that has its own pages, and gives them back when it goes
M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


def keep_heap_small() -> bool:
    """Have malloc give back every block of `LARGE` bytes; return whether it can be told so.

    Left to itself, glibc keeps a heap for each thread and raises its threshold to the largest block that was ever
    freed: after one picture of 16 megapixels, each heap keeps tens of megabytes that nothing is in.

    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE))
