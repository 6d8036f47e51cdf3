"""The load generator: so many clients, each of which sends its next request when it has its answer.

    echo '{"port": 8080, "bodies": "bodies.jsonl", "clients": 16, "seconds": 4, …}' | python -m tests.benchmarks.load

It runs in a process of its own, on the cores that the server uses too, so it does little: requests are bytes prepared
before the first is sent, an answer is read no further than its status and length. A sample of the answers is kept and
checked when the load is over.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
# How long the slowest server may take for the first or the last answer (seconds).
PATIENCE = 120.0
# The window opens at a random point of the server's rhythm, or bursts of answers would fall in or out systematically.
JITTER = 0.2
# A window with fewer answers stays open for longer.
FEWEST = 10
# By so many quarters of its length at most.
LONGEST = 40


@dataclass(frozen=True)
class Plan:
    """What to send. `bodies` is a file with one JSON body per line."""

    port: int
    bodies: str
    clients: int
    seconds: float
    answer_key: str
    path: str = "/vectorize"
    # Seconds under load before the window opens; it opens no sooner than every client had its first answer.
    warm_up: float = 0.5
    # The answers to the first so many bodies are kept.
    keep: int = 64
    # The server's process, to read its CPU time.
    pid: int | None = None


@dataclass
class Result:
    """What came back within the window, and what was wrong at any time."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str | None = None
    vectors: dict[str, list[float]] = field(default_factory=dict)
    # In cores: 1.0 is one core kept busy.
    generator_cpu: float = 0.0
    server_cpu: float | None = None
    # Everything else that runs on the machine.
    other_cpu: float | None = None


class Load:
    """What the clients share."""

    def __init__(self, requests: list[bytes], clients: int, keep: int) -> None:
        self.requests = requests
        self.result = Result()
        self.answers: dict[int, bytes] = {}
        self.counting = False
        self.stopping = False
        self.everyone_answered = asyncio.Event()
        self.everyone_done = asyncio.Event()
        self._order: Iterator[int] = itertools.cycle(range(len(requests)))
        self._keep = keep
        self._without_answer = clients
        self._at_work = clients

    def next_request(self) -> int:
        """The next body in turn, whichever client asks, so that requests in flight are distinct."""
        return next(self._order)

    def answered(self, index: int, seconds: float, status: int, content: bytes, first: bool) -> None:
        """A whole answer is there."""
        if first:
            self._first_answer()
        if status != 200:
            self.fail(f"status {status}: {content[:200]!r}")
            return
        if index < self._keep:
            self.answers[index] = content
        if self.counting:
            self.result.latencies.append(seconds)

    def fail(self, reason: str) -> None:
        """Something is wrong; the run goes on, but its figures will not be used."""
        self.result.errors += 1
        self.result.first_error = self.result.first_error or reason

    def done(self, answered_ever: bool) -> None:
        """A client sends no more."""
        if not answered_ever:
            self._first_answer()
        self._at_work -= 1
        if self._at_work == 0:
            self.everyone_done.set()

    def _first_answer(self) -> None:
        self._without_answer -= 1
        if self._without_answer == 0:
            self.everyone_answered.set()


class Client(asyncio.Protocol):
    """One kept connection with one request on it at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = bytearray()
        self._length: int | None = None
        self._index = 0
        self._sent = 0.0
        self._status = 0
        self._waiting = False
        self._answered_ever = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._length is None and not self._read_head():
            return
        if self._length is not None and len(self._buffer) >= self._length:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._load.fail(f"the connection was closed before the answer: {exc}")
        self._load.done(self._answered_ever)

    def _send(self) -> None:
        assert self._transport is not None
        if self._load.stopping:
            self._transport.close()
            return
        self._index = self._load.next_request()
        self._waiting = True
        self._sent = time.perf_counter()
        self._transport.write(self._load.requests[self._index])

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._status, self._length = read_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        if self._length is None:
            assert self._transport is not None
            self._load.fail("an answer without Content-Length")
            self._waiting = False
            self._transport.abort()
        return True

    def _finish(self) -> None:
        seconds = time.perf_counter() - self._sent
        content = bytes(self._buffer[: self._length])
        self._buffer.clear()
        self._length = None
        self._waiting = False
        first, self._answered_ever = not self._answered_ever, True
        self._load.answered(self._index, seconds, self._status, content, first)
        self._send()


def read_head(head: bytes) -> tuple[int, int | None]:
    """Status and Content-Length of an answer."""
    lowered = head.lower()
    start = lowered.find(b"\r\ncontent-length:")
    if start < 0:
        return int(head[9:12]), None
    return int(head[9:12]), int(lowered[start + 17 :].split(b"\r\n", 1)[0])


def request(body: bytes, port: int, path: str) -> bytes:
    """A whole request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body


async def run(plan: Plan, bodies: Sequence[bytes]) -> Result:
    """Send the load. Never raises for what the server does wrong: that is in the result."""
    load = Load([request(body, plan.port, plan.path) for body in bodies], plan.clients, plan.keep)
    loop = asyncio.get_running_loop()
    try:
        for _ in range(plan.clients):
            await loop.create_connection(lambda: Client(load), HOST, plan.port)
        await asyncio.wait_for(load.everyone_answered.wait(), PATIENCE)
        await asyncio.sleep(plan.warm_up + random.uniform(0, JITTER))
        await _window(load, plan)
        load.stopping = True
        await asyncio.wait_for(load.everyone_done.wait(), PATIENCE)
    except (OSError, TimeoutError) as error:
        load.fail(f"{type(error).__name__}: {error}")
    _check(load, plan.answer_key)
    return load.result


async def _window(load: Load, plan: Plan) -> None:
    result = load.result
    started, own, server, machine = time.perf_counter(), time.process_time(), cpu_seconds(plan.pid), busy_seconds()
    load.counting = True
    await asyncio.sleep(plan.seconds)
    for _ in range(LONGEST):
        if len(result.latencies) < FEWEST and not result.errors:
            await asyncio.sleep(plan.seconds / 4)
    load.counting = False
    result.seconds = time.perf_counter() - started
    result.generator_cpu = (time.process_time() - own) / result.seconds
    server_after, machine_after = cpu_seconds(plan.pid), busy_seconds()
    if server is None or server_after is None:
        return
    result.server_cpu = (server_after - server) / result.seconds
    if machine is not None and machine_after is not None:
        everything = (machine_after - machine) / result.seconds
        result.other_cpu = max(0.0, everything - result.server_cpu - result.generator_cpu)


def cpu_seconds(pid: int | None) -> float | None:
    """CPU time that a process used so far; None where that cannot be read."""
    try:
        # The name of the program, in parentheses, may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def busy_seconds() -> float | None:
    """CPU time that the whole machine used so far, or lost to its neighbours; None where that cannot be read."""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


def _check(load: Load, key: str) -> None:
    """Each kept answer holds exactly one vector of finite numbers."""
    for index, content in load.answers.items():
        try:
            vectors = json.loads(content)[key]
            if len(vectors) == 1 and vectors[0] and all(map(math.isfinite, vectors[0])):
                load.result.vectors[str(index)] = vectors[0]
                continue
        except (ValueError, KeyError, TypeError, IndexError):
            pass
        load.fail(f"an answer without exactly one vector under {key}: {content[:200]!r}")


def main() -> None:
    """A plan on standard input, its result on standard output, both in JSON."""
    import uvloop

    fields: dict[str, Any] = json.load(sys.stdin)
    plan = Plan(**fields)
    result = uvloop.run(run(plan, Path(plan.bodies).read_bytes().splitlines()))
    json.dump(dataclasses.asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
