"""What the container tests stand on: an engine and images."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multi2vec import manifest as manifests
from multi2vec.manifest import Manifest
from tests.container.container import Container, docker, inspect, running
from tests.container.images import DEMO, RANDOM, VIDEO
from tests.needs import lacking


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Docker and the images."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        lacking("no docker engine runs here for the tests of the images")
    absent = [name for name in (DEMO, RANDOM, VIDEO) if not docker("images", "--quiet", name)]
    if absent:
        lacking(f"make test-images builds {', '.join(absent)}")


@pytest.fixture(scope="session", params=[DEMO, RANDOM], ids=["demo", "random"])
def image(request: pytest.FixtureRequest) -> str:
    """Each image's name."""
    return str(request.param)


@pytest.fixture(scope="session")
def known(image: str) -> dict[str, Any]:
    """What docker knows of the image."""
    return inspect(image, "image")


@pytest.fixture(scope="session")
def container(image: str) -> Iterator[Container]:
    """A hardened container of it that is ready."""
    with running(image) as started:
        yield started


@pytest.fixture(scope="session")
def manifest(container: Container, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The manifest inside."""
    folder: Path = tmp_path_factory.mktemp("manifest")
    (folder / manifests.FILE_NAME).write_text(container.run("cat", "/model/manifest.json"))
    return manifests.read(folder)
