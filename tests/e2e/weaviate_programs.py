"""Finding a program that runs a given version of Weaviate; see `weaviate_server` for the order."""

from __future__ import annotations

import mmap
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"

IMAGE = "cr.weaviate.io/semitechnologies/weaviate"
ENGINES = ("docker", "podman")

MODULE = "github.com/weaviate/weaviate"
BINARY = "weaviate-server"

# Variables of a server's environment that name a folder which it reads.
FOLDERS = ("TIKTOKEN_CACHE_DIR",)

PROBE_SECONDS = 30
PULL_SECONDS = 600
BUILD_SECONDS = 1800


class NoWeaviate(RuntimeError):
    """No Weaviate server can be had here; the message says what was tried."""


@dataclass(frozen=True)
class Program:
    """`command(environment, http_port, all_ports)` is what to run."""

    name: str
    command: Callable[[Mapping[str, str], int, Sequence[int]], list[str]]
    # Where the server finds what listens on this machine's loopback address.
    host_alias: str = LOOPBACK
    # The server's data folder where it cannot be a folder of ours.
    data_path: str | None = None
    # Run after the end, to leave nothing behind.
    remove: tuple[str, ...] = ()


def find(version: str) -> Program:
    """Raises `NoWeaviate`, which says what was tried."""
    tried: list[str] = []
    for way in (_container, _installed, _built):
        program = way(version, tried)
        if program is not None:
            return program
    raise NoWeaviate(
        f"there is no Weaviate {version} to test against: {'; '.join(tried)}. Set WEAVIATE_URL to a running server, "
        "start a container engine, or install Go"
    )


def _container(version: str, tried: list[str]) -> Program | None:
    engine = next((each for each in ENGINES if shutil.which(each) and _succeeds(PROBE_SECONDS, each, "info")), None)
    if engine is None:
        tried.append(f"no container engine runs ({' or '.join(ENGINES)})")
        return None
    image = f"{IMAGE}:{version}"
    if not _succeeds(PROBE_SECONDS, engine, "image", "inspect", image):
        _say(f"{engine} pull {image}")
        if not _succeeds(PULL_SECONDS, engine, "pull", image):
            tried.append(f"{engine} could not pull {image}")
            return None
    name = f"weaviate-{uuid.uuid4().hex[:12]}"
    # Elsewhere than on Linux the engine lives in a virtual machine, where the host's network is not at hand.
    native = sys.platform == "linux"

    def command(environment: Mapping[str, str], http_port: int, ports: Sequence[int]) -> list[str]:
        network = ["--network=host"] if native else [f"--publish={LOOPBACK}:{port}:{port}" for port in ports]
        variables = [f"--env={key}={value}" for key, value in environment.items()]
        # Folders of this machine are at the same place there.
        folders = [environment[name] for name in FOLDERS if name in environment]
        variables += [f"--volume={folder}:{folder}:ro" for folder in folders]
        host = LOOPBACK if native else "0.0.0.0"
        return [engine, "run", "--rm", "--name", name, *network, *variables, image, *_flags(host, http_port)]

    return Program(
        f"{image} in {engine}",
        command,
        host_alias=LOOPBACK if native else f"host.{engine}.internal".replace("podman", "containers"),
        data_path="/var/lib/weaviate",
        remove=(engine, "rm", "--force", name),
    )


def _installed(version: str, tried: list[str]) -> Program | None:
    places = os.environ.get("PATH", "").split(os.pathsep)
    go_bin = _go_bin()
    if go_bin is not None:
        places.append(str(go_bin))
    for place in places:
        for name in (f"{BINARY}-{version}", BINARY):
            path = Path(place) / name
            if path.is_file() and os.access(path, os.X_OK) and built_version(path) == version:
                return _binary(path, version)
    tried.append(f"no {BINARY} of this version on PATH or among Go's binaries")
    return None


def _built(version: str, tried: list[str]) -> Program | None:
    go_bin = _go_bin()
    if go_bin is None:
        tried.append("no Go to build it with")
        return None
    source = f"{MODULE}/cmd/{BINARY}@v{version}"
    _say(f"go install {source} (some minutes, once)")
    go_bin.mkdir(parents=True, exist_ok=True)
    path = go_bin / f"{BINARY}-{version}"
    with tempfile.TemporaryDirectory(dir=go_bin) as folder:
        try:
            built = subprocess.run(
                ["go", "install", source],
                env=os.environ | {"GOBIN": folder},
                capture_output=True,
                text=True,
                check=False,
                timeout=BUILD_SECONDS,
            )
        except subprocess.TimeoutExpired:
            tried.append(f"go install {source} took longer than {BUILD_SECONDS} s")
            return None
        if built.returncode:
            tried.append(f"go install {source} failed: {built.stderr.strip()[-500:]}")
            return None
        # The plain name is left to its owner: another version may stand there.
        (Path(folder) / BINARY).replace(path)
    return _binary(path, version)


def _binary(path: Path, version: str) -> Program:
    return Program(f"{path.name} {version}", lambda _, http_port, __: [str(path), *_flags(LOOPBACK, http_port)])


def _flags(host: str, port: int) -> list[str]:
    return ["--host", host, "--port", str(port), "--scheme", "http"]


def built_version(path: Path) -> str | None:
    """The version of Weaviate that Go wrote into a binary."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = re.search(rb"mod\t" + re.escape(MODULE.encode()) + rb"\tv([\w.+-]+)", content)
        return found.group(1).decode() if found else None


def _go_bin() -> Path | None:
    """The folder that `go install` writes to; None without Go."""
    if shutil.which("go") is None:
        return None
    asked = subprocess.run(
        ["go", "env", "GOBIN", "GOPATH"], capture_output=True, text=True, check=False, timeout=PROBE_SECONDS
    )
    binaries, _, path = asked.stdout.rstrip().partition("\n")
    if binaries:
        return Path(binaries)
    return Path(path.split(os.pathsep)[0]) / "bin" if path else None


def _succeeds(seconds: float, *command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=seconds).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _say(what: str) -> None:
    print(f"\n{what}", file=sys.stderr, flush=True)
