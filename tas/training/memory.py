"""The memory that feature maps live in, on the CPU."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Their numbers in glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Let the C library keep the memory that a training step frees, for the next one, instead of giving it back.

    The kernel clears every page before it hands it out, and a step of a search, whose feature maps have other sizes
    each time, asks for many of them anew. Only Linux with glibc has the switch; elsewhere nothing changes.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, 32 * 2**20)  # the most that it takes
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
