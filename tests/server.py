"""Starts the real server as a child process, the way a user starts it, on loopback and a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "images" / "demo" / "model"

READY_SECONDS = 60.0
STOP_SECONDS = 60.0

Vectors = npt.NDArray[np.float32]


def free_port() -> int:
    """A free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, port: int, settings: dict[str, object]) -> dict[str, str]:
    """The child's environment: nothing of ours but what a test sets."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "PYTHONPATH")}
    chosen = {"MODEL_DIR": folder, "HOST": "127.0.0.1", "PORT": port, "CACHE_DIR": "none", **settings}
    return kept | {name: str(value) for name, value in chosen.items()}


class Server:
    """`python -m multi2vec serve` on one model folder and one port; it can be ended and started again.

    Settings are given by their environment names. `url` includes the URL prefix.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        self.port = int(str(settings.pop("PORT", None) or free_port()))
        self.url = f"http://127.0.0.1:{self.port}{settings.get('URL_PREFIX', '')}"
        self._environment = environment(folder, self.port, settings)
        self._log = tempfile.TemporaryFile("a+", encoding="utf-8")  # noqa: SIM115 (lives as long as the server)
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The running or last process."""
        assert self._process is not None, "the server was not started"
        return self._process

    def launch(self) -> None:
        """Start it without waiting for anything."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "multi2vec", "serve"],
            cwd=ROOT,
            env=self._environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        self.wait("/.well-known/ready")

    def wait(self, path: str, status: int = 204, seconds: float = READY_SECONDS) -> None:
        """Until GET `path` has that status."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.log()}"
            try:
                if self.get(path).status_code == status:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise TimeoutError(f"{path} was not {status} within {seconds} s:\n{self.log()}")

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """End it as an orchestrator does. Returns its exit status."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def ended(self) -> tuple[int, str]:
        """Exit status and log of a server that ends by itself."""
        return self.process.wait(STOP_SECONDS), self.log()

    def log(self) -> str:
        """What it wrote so far."""
        self._log.seek(0)
        return self._log.read()

    def close(self) -> None:
        """End it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._log.close()

    def get(self, path: str) -> httpx.Response:
        """One GET on a connection of its own."""
        return httpx.get(self.url + path, timeout=30, trust_env=False)

    def meta(self) -> dict[str, object]:
        """What `/meta` says."""
        meta: dict[str, object] = self.get("/meta").json()
        return meta

    def post(self, **body: object) -> httpx.Response:
        """One POST /vectorize on a connection of its own."""
        return httpx.post(self.url + "/vectorize", json=body, timeout=60, trust_env=False)

    def vectorize(self, texts: Sequence[str] = (), images: Sequence[str] = ()) -> tuple[Vectors, Vectors]:
        """Vectors of texts and of pictures (base64), float32 (n, D) each."""
        answer = self.post(texts=list(texts), images=list(images)).raise_for_status().json()
        return np.array(answer["textVectors"], np.float32), np.array(answer["imageVectors"], np.float32)


@contextmanager
def launched(folder: Path = DEMO, **settings: object) -> Iterator[Server]:
    """A server that was started and not waited for."""
    server = Server(folder, **settings)
    try:
        server.launch()
        yield server
    finally:
        server.close()


@contextmanager
def serving(folder: Path = DEMO, *, start: bool = True, **settings: object) -> Iterator[Server]:
    """A server that is ready, ended with the block; `start=False` leaves the start to the caller."""
    server = Server(folder, **settings)
    try:
        if start:
            server.start()
        yield server
    finally:
        server.close()
