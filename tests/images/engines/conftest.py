"""Real engines and a real registry: `pytest tests/images/engines`.

BASE_IMAGE, BUILD_NETWORK and TORCH_INDEX are taken from the environment, where an engine cannot pull
python:3.12-slim, has no network of its own, or should not install CUDA.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.needs import lacking
from tests.server import ROOT, free_port

BASE_IMAGE = os.environ.get("BASE_IMAGE") or "python:3.12-slim"

# What build_images.sh needs of the repository.
CONTEXT = ("build_images.sh", "Dockerfile", ".dockerignore", "LICENSE", "images", "inference", "requirements")

COMMAND_SECONDS = 300
# The first build installs gigabytes.
BUILD_SECONDS = 2400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give builds their time."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS))


@dataclass(frozen=True)
class Engine:
    """One that works, and the environment that it works in."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str) -> str:
        """What the engine prints; raises when it fails."""
        return run(self.name, *arguments, environment=self.environment).stdout

    def build(self, root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """build_images.sh in that copy of the repository."""
        return run(*self.command(root, *arguments), environment={**self.environment, **variables}, check=False)

    def command(self, root: Path, *arguments: str) -> tuple[str, ...]:
        """The call of build_images.sh."""
        network = ("--", "--network", os.environ["BUILD_NETWORK"]) if os.environ.get("BUILD_NETWORK") else ()
        return (str(root / "build_images.sh"), "--engine", self.name, *arguments, *network)


def run(
    *command: str, environment: Mapping[str, str], check: bool = True, seconds: float = BUILD_SECONDS
) -> subprocess.CompletedProcess[str]:
    """A command with nothing of our environment but what engines need."""
    done = subprocess.run(
        command, env=surroundings(environment), capture_output=True, text=True, check=False, timeout=seconds
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done


def surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_RUNTIME_DIR", "TORCH_INDEX") if name in os.environ}
    return kept | {"BASE_IMAGE": BASE_IMAGE} | dict(environment)


@pytest.fixture(scope="session")
def docker() -> Engine:
    """Docker with BuildKit."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    engine = Engine("docker", variables)
    if shutil.which("docker") is None or run("docker", "info", environment=variables, check=False).returncode:
        lacking("no Docker engine runs here")
    return engine


@pytest.fixture(scope="session")
def address() -> str:
    """Where the registry is, if there is one."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def buildah(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[Engine]:
    """Buildah with a storage of its own, which goes afterwards: a build takes some 15 GB."""
    if shutil.which("buildah") is None:
        lacking("buildah is not installed")
    folder = tmp_path_factory.mktemp("buildah")
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
    )
    # Not every command of buildah's listens to a variable that names this file.
    (folder / ".config" / "containers").mkdir(parents=True)
    (folder / ".config" / "containers" / "registries.conf").write_text(
        f'[[registry]]\nlocation = "{address}"\ninsecure = true\n'
    )
    engine = Engine(
        "buildah",
        {
            "BUILDAH_ISOLATION": os.environ.get("BUILDAH_ISOLATION") or "chroot",
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "HOME": str(folder),
        },
    )
    try:
        _import_base(engine, folder)
        yield engine
    finally:
        run("buildah", "rm", "--all", environment=engine.environment, check=False)
        run("buildah", "rmi", "--all", "--force", environment=engine.environment, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _import_base(engine: Engine, folder: Path) -> None:
    """The base image from Docker, if it is one that exists there only."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    if BASE_IMAGE.startswith("localhost/"):
        archive = folder / "base.tar"
        run("docker", "save", BASE_IMAGE, "--output", str(archive), environment=variables, seconds=COMMAND_SECONDS)
        engine("pull", f"docker-archive:{archive}")
        archive.unlink()


@pytest.fixture(params=["docker", "buildah"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each of them."""
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def repo(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for images; Docker's of that name go afterwards, buildah's with its storage."""
    name = f"localhost/test-{uuid4().hex[:12]}"
    yield name
    used = {each.name: each for each in request.node.funcargs.values() if isinstance(each, Engine)}
    if "docker" in used:
        images = used["docker"]("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", name).split()
        for image in images:
            used["docker"]("image", "rm", "--force", image)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[str]:
    """A registry on loopback; its address."""
    if shutil.which("docker-registry") is None:
        lacking("docker-registry, a registry to push to, is not installed")
    folder = tmp_path_factory.mktemp("registry")
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait(f"http://{address}/v2/", process)
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None, "the registry ended at its start"
        assert time.monotonic() < deadline, "the registry does not answer"
        try:
            httpx.get(url, timeout=2, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of what images are built from: builds leave their logs in it."""
    return copy(tmp_path / "repository")


def copy(folder: Path) -> Path:
    """What build_images.sh needs of this repository, in another folder."""
    folder.mkdir()
    for name in CONTEXT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder
