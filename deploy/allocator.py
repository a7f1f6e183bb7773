"""Keeps memory that was freed for the next request or batch, instead of giving it back to the system.

Arrays of a megabyte come and go with each of them. By default glibc returns such memory at once, and
has it zeroed by the system, page by page, a moment later: a third of the time of a month's percentiles.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
_MAPPED_FROM = 16 << 20
"""Bytes from which on a block is still the system's: larger ones are rare."""
_TRIMMED_FROM = 64 << 20
"""Most bytes that are kept at the end of the heap."""


def keep_freed_memory() -> None:
    """Set it up, once a process; does nothing where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
        mallopt(_M_TRIM_THRESHOLD, _TRIMMED_FROM)
