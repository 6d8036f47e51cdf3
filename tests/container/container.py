"""Containers of our images, run as an orchestrator runs them: hardened, on loopback."""

from __future__ import annotations

import json
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from tests.server import free_port

HARDENED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=2g")
READY_SECONDS = 60.0


def docker(*arguments: str, check: bool = True) -> str:
    """What the command prints, standard error included."""
    done = subprocess.run(
        ["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300
    )
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}"
    return done.stdout.strip()


def inspect(name: str, kind: str = "container") -> dict[str, Any]:
    """What docker knows of a container or image."""
    known: dict[str, Any] = json.loads(docker(kind, "inspect", name))[0]
    return known


class Container:
    """One container on the host's network; the server in it listens on loopback and a free port."""

    def __init__(self, image: str, arguments: Sequence[str] = HARDENED, **settings: object) -> None:
        self.name = f"multi2vec-test-{uuid.uuid4().hex[:12]}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.started = time.monotonic()
        chosen = {"HOST": "127.0.0.1", "PORT": self.port, **settings}
        variables = [f"--env={name}={value}" for name, value in chosen.items()]
        docker("run", "--detach", "--name", self.name, "--network=host", *arguments, *variables, image)

    def wait_ready(self) -> float:
        """Until the server is ready. Returns the seconds since the container was asked for."""
        while time.monotonic() < self.started + READY_SECONDS:
            try:
                if httpx.get(f"{self.url}/.well-known/ready", timeout=5, trust_env=False).status_code == 204:
                    return time.monotonic() - self.started
            except httpx.TransportError:
                assert self.state()["Running"], self.logs()
            time.sleep(0.02)
        raise TimeoutError(self.logs())

    def post(self, **body: object) -> httpx.Response:
        """POST /vectorize."""
        return httpx.post(f"{self.url}/vectorize", json=body, timeout=60, trust_env=False)

    def metrics(self) -> str:
        """GET /metrics."""
        return httpx.get(f"{self.url}/metrics", timeout=60, trust_env=False).text

    def run(self, *command: str) -> str:
        """What a command in the container prints."""
        return docker("exec", self.name, *command)

    def files(self) -> list[str]:
        """All paths in it, those included that its user may not see."""
        with subprocess.Popen(["docker", "export", self.name], stdout=subprocess.PIPE) as exported:
            assert exported.stdout is not None
            with tarfile.open(fileobj=exported.stdout, mode="r|") as archive:
                names = [f"/{member.name}" for member in archive]
        assert exported.returncode == 0
        return names

    def state(self) -> dict[str, Any]:
        """Status, exit code, health."""
        state: dict[str, Any] = inspect(self.name)["State"]
        return state

    def health(self, wanted: str, seconds: float = 60.0) -> str:
        """The health status, once it is as wanted or the time is over."""
        deadline = time.monotonic() + seconds
        while (status := str(self.state()["Health"]["Status"])) != wanted and time.monotonic() < deadline:
            time.sleep(0.2)
        return status

    def stop(self) -> int:
        """SIGTERM. Returns the exit status."""
        docker("stop", "--time=30", self.name)
        return int(self.state()["ExitCode"])

    def exit_status(self) -> int:
        """Of a container that ends by itself."""
        return int(docker("wait", self.name))

    def logs(self) -> str:
        """Standard output and error so far."""
        return docker("logs", self.name)


@contextmanager
def running(
    image: str, arguments: Sequence[str] = HARDENED, *, wait: bool = True, **settings: object
) -> Iterator[Container]:
    """A container that is ready, removed with the block."""
    container = Container(image, arguments, **settings)
    try:
        if wait:
            container.wait_ready()
        yield container
    finally:
        docker("rm", "--force", "--volumes", container.name)
