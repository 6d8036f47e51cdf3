"""The service as a child process, started the way a user starts it."""

from __future__ import annotations

import os
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

from tests.e2e.weaviate_programs import LOOPBACK
from tests.e2e.weaviate_server import free_ports

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "images" / "demo" / "model"

READY_SECONDS = 60.0
STOP_SECONDS = 45.0

Vectors = npt.NDArray[np.float32]


class Service:
    """`python -m inference.serve` on one model folder and one port; it can be killed and started again."""

    def __init__(self, model: Path, log: Path, prefix: str = "") -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://{LOOPBACK}:{self.port}{prefix}"
        self._log = log
        self._environment = os.environ | {
            "MODEL_DIR": str(model),
            "HOST": LOOPBACK,
            "PORT": str(self.port),
            "URL_PREFIX": prefix,
            "CACHE_DIR": "none",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "inference.serve"],
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service does not start:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it without a word of farewell, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int | None:
        """End it as an orchestrator does. Returns its exit status; None when it never ran."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def is_ready(self) -> bool:
        """Whether the readiness probe answers exactly 204."""
        try:
            return self._get("/.well-known/ready").status_code == 204
        except httpx.HTTPError:
            return False

    def meta(self) -> dict[str, object]:
        """What `/meta` says."""
        meta: dict[str, object] = self._get("/meta").json()
        return meta

    def vectorize(self, texts: Sequence[str] = (), images: Sequence[str] = ()) -> tuple[Vectors, Vectors]:
        """Vectors of texts and of pictures (base64), float32 (n, D), straight from the service."""
        body = {"texts": list(texts), "images": list(images)}
        answer = httpx.post(f"{self.url}/vectorize", json=body, timeout=60, trust_env=False).raise_for_status().json()
        return np.array(answer["textVectors"], np.float32), np.array(answer["imageVectors"], np.float32)

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=5, trust_env=False)


@contextmanager
def serving(model: Path = DEMO, *, prefix: str = "", start: bool = True) -> Iterator[Service]:
    """A service that ends with the block; `start=False` leaves the start to the caller."""
    with tempfile.TemporaryDirectory(prefix="service-") as folder:
        service = Service(model, Path(folder) / "log", prefix)
        try:
            if start:
                service.start()
            yield service
        finally:
            service.stop()
