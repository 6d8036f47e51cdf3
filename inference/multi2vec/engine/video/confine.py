"""The child takes everything from itself that it does not need."""

from __future__ import annotations

import contextlib
import math
import resource

from multi2vec.engine.video.limits import VideoLimits


def confine(limits: VideoLimits) -> None:
    """From here on this process opens nothing, writes no file, starts no process, and has so much memory and CPU time.

    What it has open stays open: its input and its output.
    """
    # When the machine runs out of memory, this process goes first.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    _limit(resource.RLIMIT_AS, limits.memory)
    # A process whose parent was killed ends by this at the latest.
    _limit(resource.RLIMIT_CPU, math.ceil(limits.seconds) + 1)
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        _limit(what, 0)
    # Standard input, output and error are there; no other number can be given to anything.
    _limit(resource.RLIMIT_NOFILE, 3)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))
