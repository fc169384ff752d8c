"""Memory that batches use again and again, kept by the process in between."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT_BYTES = 512 << 20
"""Free memory at the top of a heap that is not given back to the system."""
LARGE_BYTES = 32 << 20
"""What is larger is got from the system, and given back, by itself: the most that glibc allows."""


def keep_memory() -> None:
    """Have the C library's allocator keep what a batch has used for the next one.

    What a model makes in between is megabytes where it shows pictures. By default glibc gives them
    back to the system after every batch, and gets them again page by page, which takes a quarter of
    the step's time. Without glibc nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
