"""A real Weaviate server, for tests and benchmarks.

    with weaviate_server(environment={"ENABLE_MODULES": "multi2vec-clip", "CLIP_INFERENCE_API": url}) as server:
        with server.client() as client:
            ...

Where it comes from, the first that can be had:

    WEAVIATE_URL → container engine → weaviate-server on PATH or among Go's binaries → go install → NoWeaviate

Each start has free ports and a fresh data folder, so two runs never meet. It listens on the loopback address,
except for its gRPC and cluster data ports: for those Weaviate has no such setting.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import weaviate
from weaviate.classes.init import AdditionalConfig, Timeout

from tests.e2e.weaviate_programs import LOOPBACK, NoWeaviate, Program, find

__all__ = ["DEFAULT_VERSION", "NoWeaviate", "Server", "free_ports", "weaviate_server"]

DEFAULT_VERSION = "1.35.2"

READY_SECONDS = 120.0
STOP_SECONDS = 30.0

# Below the range from which systems draw ports for outgoing connections: one of those could take a port between its
# choice and its use.
PORTS = range(10_000, 30_000)


@dataclass(frozen=True)
class Server:
    """A server that runs, or (with `wait=False`) is about to."""

    host: str
    http_port: int
    grpc_port: int
    source: str
    # Where the server finds what listens on this machine's loopback address.
    host_alias: str = LOOPBACK
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None
    # Whether it was started for these tests, with the environment that they want.
    is_ours: bool = True

    @property
    def url(self) -> str:
        """Its HTTP address, without a path."""
        return f"http://{self.host}:{self.http_port}"

    def reach(self, url: str) -> str:
        """A loopback address of this machine as the server has to write it."""
        return url.replace(LOOPBACK, self.host_alias)

    def client(self) -> weaviate.WeaviateClient:
        """A connected client; the caller closes it."""
        return weaviate.connect_to_custom(
            http_host=self.host,
            http_port=self.http_port,
            http_secure=False,
            grpc_host=self.host,
            grpc_port=self.grpc_port,
            grpc_secure=False,
            # They look on the internet for a newer client.
            skip_init_checks=True,
            additional_config=AdditionalConfig(timeout=Timeout(init=10, query=60, insert=120)),
        )

    def version(self) -> str:
        """The version that the server says it has."""
        return str(httpx.get(f"{self.url}/v1/meta", timeout=10, trust_env=False).json()["version"])

    def is_ready(self) -> bool:
        """Whether it answers its readiness probe with 200."""
        try:
            probe = httpx.get(f"{self.url}/v1/.well-known/ready", timeout=2, trust_env=False)
        except httpx.HTTPError:
            return False
        return probe.status_code == 200

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Raise `RuntimeError`, with the end of the log, when it ends or is not ready in time."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"Weaviate ({self.source}) ended at start:\n{self.log_text()[-3000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"Weaviate ({self.source}) is not ready:\n{self.log_text()[-3000:]}")
            time.sleep(0.1)

    def log_text(self) -> str:
        """What it has logged so far; "" for a server that was not started here."""
        return self.log.read_text(errors="replace") if self.log else ""


@contextmanager
def weaviate_server(
    version: str = DEFAULT_VERSION,
    environment: Mapping[str, str] | None = None,
    *,
    wait: bool = True,
    own: bool = False,
) -> Iterator[Server]:
    """A server of this version with these variables in its environment (`ENABLE_MODULES`, `CLIP_INFERENCE_API`, …).

    A server named by `WEAVIATE_URL` runs as it is: its environment is its owner's, and it stands in for the default
    version whatever its own; with `own` it is passed over. `wait=False` gives the server before it is ready. Raises
    `NoWeaviate` where none can be had.
    """
    url = os.environ.get("WEAVIATE_URL")
    if url and not own and version == DEFAULT_VERSION:
        server = external(url)
        server.wait_ready(READY_SECONDS if wait else 0)
        yield server
        return
    program = find(version)
    with tempfile.TemporaryDirectory(prefix="weaviate-", ignore_cleanup_errors=True) as folder:
        server = _start(program, Path(folder), environment or {})
        try:
            if wait:
                server.wait_ready()
            yield server
        finally:
            _stop(server, program)


def external(url: str) -> Server:
    """A server that runs already, by its address; its gRPC port is in `WEAVIATE_GRPC_PORT` unless it is 50051."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    grpc_port = int(os.environ.get("WEAVIATE_GRPC_PORT") or 50051)
    alias = os.environ.get("WEAVIATE_HOST_ALIAS") or LOOPBACK
    return Server(parts.hostname or LOOPBACK, parts.port or 80, grpc_port, "WEAVIATE_URL", alias, is_ours=False)


def free_ports(count: int) -> range:
    """Free ports in a row."""
    while True:
        first = random.choice(PORTS)
        ports = range(first, first + count)
        with ExitStack() as held:
            try:
                for port in ports:
                    held.enter_context(socket.socket()).bind(("", port))
            except OSError:
                continue
            return ports


def _start(program: Program, folder: Path, environment: Mapping[str, str]) -> Server:
    # Older versions want the data port to be the one after the gossip port.
    gossip, data, http, grpc, raft, raft_rpc, profiling = ports = free_ports(7)
    settings = {
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "CLUSTER_ADVERTISE_ADDR": LOOPBACK,
        "CLUSTER_BIND_ADDR": LOOPBACK,
        "CLUSTER_DATA_BIND_PORT": str(data),
        "CLUSTER_GOSSIP_BIND_PORT": str(gossip),
        "CLUSTER_HOSTNAME": "node1",
        "DISABLE_TELEMETRY": "true",
        # The disk of a developer's machine is often fuller than a server's; Weaviate would turn read-only.
        "DISK_USE_READONLY_PERCENTAGE": "100",
        "DISK_USE_WARNING_PERCENTAGE": "100",
        "GO_PROFILING_DISABLE": "true",
        "GO_PROFILING_PORT": str(profiling),
        "GRPC_PORT": str(grpc),
        "PERSISTENCE_DATA_PATH": program.data_path or str(folder / "data"),
        "RAFT_BOOTSTRAP_EXPECT": "1",
        "RAFT_INTERNAL_RPC_PORT": str(raft_rpc),
        "RAFT_PORT": str(raft),
        **{name: value.replace(LOOPBACK, program.host_alias) for name, value in environment.items()},
    }
    log = folder / "weaviate.log"
    command = program.command(settings, http, ports)
    # Not this process' own environment: variables of another cluster may be in it.
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "DOCKER_HOST") if name in os.environ}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=inherited | settings, stdout=output, stderr=subprocess.STDOUT)
    return Server(LOOPBACK, http, grpc, program.name, program.host_alias, process, log)


def _stop(server: Server, program: Program) -> None:
    assert server.process is not None
    server.process.terminate()
    try:
        server.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"Weaviate ({server.source}) does not stop; it is killed", file=sys.stderr)
        server.process.kill()
        server.process.wait()
    if program.remove:
        subprocess.run(program.remove, capture_output=True, check=False, timeout=STOP_SECONDS)
