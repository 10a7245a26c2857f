"""Memory that is given back: what a large request took for a moment is not kept for good.

glibc gives each thread an arena of its own and keeps what is freed there, and Arrow's usual pool does the same: after
requests of thousands of rows a process stayed 80 MiB above what it needs.
"""

import ctypes

import pyarrow as pa

# mallopt(3): the parameters' numbers are part of glibc's interface.
_M_TRIM_THRESHOLD, _M_ARENA_MAX = -1, -8
_KEPT = 1024 * 1024  # bytes at the end of the heap that stay for the next request


def give_back() -> None:
    """Have the process return freed memory to the system. To be called before threads are started; without glibc only
    Arrow does."""
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
