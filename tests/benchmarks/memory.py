"""The memory of a process and of those that it starts, read from /proc while they run. Megabytes are 10^6 bytes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

PROC = Path("/proc")
# How often is looked, in seconds: a decoder's process lives for a second or so.
PAUSE = 0.01
# What a process writes into its clear_refs to begin its peak anew (man proc_pid_clear_refs).
BEGIN_PEAK_ANEW = "5"


@dataclass
class Peaks:
    """The most there was at a time: of resident memory, mapped files included (`process`, `child`: the largest one,
    `together`: the process and all its children), of the process without mapped files (`own`), and how many children
    there were. `before`: what the process had when it began."""

    before: float = 0.0
    process: float = 0.0
    own: float = 0.0
    child: float = 0.0
    together: float = 0.0
    children: int = 0

    def look(self, pid: int) -> None:
        """Once."""
        now = status(pid)
        children = {child: status(child) for child in children_of(pid)}
        self.process = max(self.process, now.get("VmHWM", 0.0))
        self.own = max(self.own, now.get("RssAnon", 0.0))
        self.child = max([self.child, *(each.get("VmHWM", 0.0) for each in children.values())])
        resident = [each.get("VmRSS", 0.0) for each in (now, *children.values())]
        self.together = max(self.together, sum(resident))
        self.children = max(self.children, len(children))

    def rounded(self) -> dict[str, int]:
        """For a report."""
        return {name: round(value) for name, value in asdict(self).items()}


@contextlib.contextmanager
def watched(pid: int) -> Iterator[Peaks]:
    """Looks at the process many times a second until the block ends. Its own peak begins anew where it may be told."""
    with contextlib.suppress(OSError):
        (PROC / str(pid) / "clear_refs").write_text(BEGIN_PEAK_ANEW)
    peaks, left = Peaks(before=status(pid).get("VmRSS", 0.0)), threading.Event()

    def watch() -> None:
        while not left.wait(PAUSE):
            peaks.look(pid)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        left.set()
        thread.join()
        peaks.look(pid)


def status(pid: int) -> dict[str, float]:
    """What /proc says of a process's memory, by its names; nothing of one that has ended."""
    found: dict[str, float] = {}
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if value.endswith(" kB"):
                found[name] = int(value.split()[0]) * 1024 / 1e6
    return found


def children_of(pid: int) -> list[int]:
    """The processes that it has started and that still run. Until such a one runs a program of its own, it is the
    process itself, and so is its memory: these are left out."""
    own = _command(pid)
    return [child for child in _started_by(pid) if _command(child) not in (own, b"")]


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes()
    return b""


def _started_by(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found
