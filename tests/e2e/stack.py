"""The Compose stack as a user starts it, with the demo model, under a name and on ports of its own.

with composed() as stack:
    stack.weaviate.client()
    stack.service.vectorize(["a red circle"])
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx

from tests.e2e.weaviate_server import Server, free_ports
from tests.server import ROOT
from tests.server import Server as Service

SERVICE = "multi2vec-openvino"
WEAVIATE = "weaviate"
FILES = ("docker-compose.yml", "tests/e2e/stack.yml")
IMAGE = "localhost/multi2vec-openvino"
TAG = "demo"

UP_SECONDS = 300
COMMAND_SECONDS = 120
READY_SECONDS = 60


class NoStack(RuntimeError):
    """No stack can be had here; the message says what is missing."""


class Stack:
    """A project of Compose."""

    def __init__(self) -> None:
        self.project = f"test-{uuid4().hex[:12]}"
        http, grpc, service = free_ports(3)
        self.weaviate = Server("127.0.0.1", http, grpc, "docker compose")
        self.service = Composed(self, service)
        self._environment = {
            **{name: value for name, value in os.environ.items() if name.startswith("DOCKER_")},
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "IMAGE": os.environ.get("IMAGE") or IMAGE,
            "TAG": TAG,
            "WEAVIATE_PORT": str(http),
            "WEAVIATE_GRPC_PORT": str(grpc),
            "SERVICE_PORT": str(service),
        }

    def compose(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> str:
        """What `docker compose` prints; raises with what it complains about."""
        files = [word for file in FILES for word in ("--file", file)]
        return self._run("docker", "compose", *files, "--project-name", self.project, *arguments, seconds=seconds)

    def up(self) -> None:
        """Start what is not running, and wait until all of it is healthy."""
        self.compose("up", "--wait", "--no-build", seconds=UP_SECONDS)

    def inside(self, service: str, command: str) -> str:
        """What a shell command prints in a service's container; raises when it fails."""
        return self.compose("exec", "-T", service, "sh", "-c", command)

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine says of a service's container, running or not."""
        name = self.compose("ps", "--all", "--quiet", service).strip()
        container: dict[str, Any] = json.loads(self._run("docker", "inspect", name))[0]
        return container

    def check(self) -> None:
        """Raises `NoStack`."""
        if shutil.which("docker") is None:
            raise NoStack("the Compose stack needs docker")
        image = f"{self._environment['IMAGE']}:{TAG}"
        for command, missing in (
            (("docker", "info"), "the Compose stack needs a running Docker engine"),
            (("docker", "compose", "version"), "the Compose stack needs docker's compose plugin"),
            (("docker", "image", "inspect", image), f"there is no image {image}: build it, or say IMAGE=…"),
        ):
            try:
                self._run(*command)
            except (RuntimeError, subprocess.TimeoutExpired):
                raise NoStack(missing) from None

    def _run(self, *command: str, seconds: float = COMMAND_SECONDS) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False, timeout=seconds
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr or done.stdout}")
        return done.stdout


class Composed(Service):
    """The stack's service, with the same handles as one that runs as a child process."""

    def __init__(self, stack: Stack, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._stack = stack

    def launch(self) -> None:
        """Start it without waiting for anything."""
        self._stack.compose("start", SERVICE)

    def wait(self, path: str, status: int = 204, seconds: float = READY_SECONDS) -> None:
        """Until GET `path` has that status."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if self.get(path).status_code == status:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise TimeoutError(f"{path} was not {status} within {seconds} s:\n{self.log()}")

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self._stack.compose("kill", SERVICE)

    def stop(self) -> int:
        """End it as Compose does. Returns its exit status."""
        self._stack.compose("stop", SERVICE)
        return int(self._stack.inspect(SERVICE)["State"]["ExitCode"])

    def log(self) -> str:
        """What it wrote so far."""
        return self._stack.compose("logs", "--no-log-prefix", SERVICE)


@contextmanager
def composed() -> Iterator[Stack]:
    """A healthy stack; containers, network and volumes go with the block. Raises `NoStack`."""
    stack = Stack()
    stack.check()
    try:
        stack.up()
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "10")
