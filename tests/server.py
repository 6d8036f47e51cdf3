"""Starts the real server as a child process, on loopback and a free port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    url: str

    def get(self, path: str) -> httpx.Response:
        """One GET on a connection of its own."""
        return httpx.get(self.url + path, timeout=30)

    def vectorize(self, **body: object) -> httpx.Response:
        """One POST /vectorize on a connection of its own."""
        return httpx.post(self.url + "/vectorize", json=body, timeout=60)

    def wait(self, path: str, status: int = 204, seconds: float = 60) -> None:
        """Until GET `path` has that status."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}: {self.log()}"
            try:
                if self.get(path).status_code == status:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise TimeoutError(f"{path} was not {status} within {seconds} s")

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def log(self) -> str:
        """What an ended server wrote to standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.read()


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, port: int, settings: dict[str, object]) -> dict[str, str]:
    """The child's environment: nothing of ours but what a test sets."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "PYTHONPATH")}
    chosen = {"MODEL_DIR": folder, "HOST": "127.0.0.1", "PORT": port, "CACHE_DIR": "none", **settings}
    return kept | {name: str(value) for name, value in chosen.items()}


def start(folder: Path, **settings: object) -> Server:
    """Start a server without waiting for anything."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "inference.serve"],
        cwd=ROOT,
        env=environment(folder, port, settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    return Server(process, f"http://127.0.0.1:{port}")


@contextmanager
def serving(folder: Path, **settings: object) -> Iterator[Server]:
    """A server that is ready, ended at the end. Settings by their environment names."""
    server = start(folder, **settings)
    try:
        prefix = str(settings.get("URL_PREFIX", ""))
        server.wait(f"{prefix}/.well-known/ready")
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(30)
        if server.process.stderr is not None:
            server.process.stderr.close()
