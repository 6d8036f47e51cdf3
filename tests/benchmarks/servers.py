"""Starts the processes that are measured, on loopback and free ports, and ends them by their own handles."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.limit import Trial
from tests.benchmarks.models import ROOT
from tests.benchmarks.report import Mode
from tests.server import environment, free_port

HOST = "127.0.0.1"
PATIENCE = 180.0
POLL = 0.01


class BenchmarkError(RuntimeError):
    """The run itself broke; the message says how."""


@dataclass
class Child:
    """A server process. `seconds_to_ready` counts from its start."""

    name: Mode
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    seconds_to_ready: float = 0.0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def tail(self) -> str:
        """The last lines of what it wrote."""
        return self.log.read_text(errors="replace")[-2000:]


@contextmanager
def served(
    model: Path, cache: Path, logs: Path, settings: Mapping[str, str] = {}, patience: float = PATIENCE
) -> Iterator[Child]:
    """The service, ready within so many seconds, with nothing set but where the model and the cache are, and the
    settings."""
    port = free_port()
    command = [sys.executable, "-m", "multi2vec", "serve"]
    chosen = environment(model, port, {"CACHE_DIR": cache, **settings})
    with _running("served", command, port, chosen, logs, patience) as child:
        yield child


@contextmanager
def reference(checkpoint: Path, logs: Path) -> Iterator[Child]:
    """The server to compare with, ready."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.reference"]
    command += ["--checkpoint", str(checkpoint), "--port", str(port)]
    with _running("reference", command, port, environment(checkpoint, port, {}), logs) as child:
        yield child


@contextmanager
def _running(
    name: Mode, command: list[str], port: int, settings: dict[str, str], logs: Path, patience: float = PATIENCE
) -> Iterator[Child]:
    log = logs / f"{name}-{port}.log"
    with log.open("wb") as file:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=file, stderr=file)
        child = Child(name, process, port, log)
        try:
            _wait(child, patience)
            child.seconds_to_ready = time.monotonic() - started
            yield child
        finally:
            end(process)


def _wait(child: Child, patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if child.process.poll() is not None:
            raise BenchmarkError(f"{child.name} ended with {child.process.returncode}:\n{child.tail()}")
        if _is_ready(child.port):
            return
        time.sleep(POLL)
    raise BenchmarkError(f"{child.name} was not ready within {patience:g} s:\n{child.tail()}")


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/.well-known/ready")
        return connection.getresponse().status == 204
    except OSError:
        return False
    finally:
        connection.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)


class LimitProcess:
    """The process that runs trials of the ceiling."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def run(self, trial: Trial) -> float:
        """Items per second. Raises `BenchmarkError`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(vars(trial)).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"limit ended with {self._process.wait(20)}")
        return float(json.loads(line)["items_per_second"])


@contextmanager
def limit(model: Path, cache: Path, logs: Path) -> Iterator[LimitProcess]:
    """The ceiling's process."""
    command = [sys.executable, "-m", "tests.benchmarks.limit", "--model", str(model), "--cache", str(cache)]
    with (logs / "limit.log").open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file)
        try:
            yield LimitProcess(process)
        finally:
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()
            end(process)
