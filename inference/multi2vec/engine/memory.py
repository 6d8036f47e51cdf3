"""Gives back memory that only loading needed. On Linux with glibc; elsewhere nothing happens.

OpenVINO maps the weights' file and repacks them into the form and precision that it computes with. The mapped pages are
hardly read again, but count as this process's memory: once more the size of the weights.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

MAPS = Path("/proc/self/maps")
WEIGHTS = (".bin", ".blob")
# From <sys/mman.h>. On a read-only mapping of a file it loses nothing: pages that are needed again are read again.
MADV_DONTNEED = 4
# From <malloc.h>.
M_ARENA_MAX = -8


def limit_arenas(number: int) -> None:
    """Let threads share the allocator's arenas, to be called before there are any. By default each thread has its own
    (up to eight per core), and keeps there what its largest batch needed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, max(2, number))


def release() -> None:
    """Let go of mapped weights, and of what the allocator keeps for later."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start, end in _mapped_weights():
            libc.madvise(start, end - start, MADV_DONTNEED)
        libc.malloc_trim(0)


def _mapped_weights() -> Iterator[tuple[int, int]]:
    """Address ranges of read-only mappings of weights."""
    for line in MAPS.read_text().splitlines():
        addresses, permissions, *_, path = line.split(maxsplit=5)
        if "w" not in permissions and path.endswith(WEIGHTS):
            start, end = addresses.split("-")
            yield int(start, 16), int(end, 16)
