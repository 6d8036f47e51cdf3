"""What the container tests stand on: an engine, two images, and a report of what was measured."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inference import manifest as manifests
from inference.manifest import Manifest
from tests.container.container import Container, docker, inspect, running
from tests.container.images import DEMO, RANDOM

Figure = Callable[[str], None]

_figures = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Room for the figures."""
    config.stash[_figures] = []


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What was measured."""
    if config.stash[_figures]:
        terminalreporter.section("measured of the images")
        for line in config.stash[_figures]:
            terminalreporter.line(line)


@pytest.fixture
def figure(pytestconfig: pytest.Config) -> Figure:
    """Takes lines for the report at the end."""
    return pytestconfig.stash[_figures].append


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Where docker or the images are missing, tests fail in CI and are skipped loudly elsewhere."""
    missing = ""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        missing = "no docker engine runs here"
    else:
        absent = [name for name in (DEMO, RANDOM) if not docker("images", "--quiet", name)]
        missing = f"make test-images builds {', '.join(absent)}" if absent else ""
    if missing and os.environ.get("CI"):
        pytest.fail(missing, pytrace=False)
    elif missing:
        pytest.skip(f"THE IMAGES ARE NOT TESTED: {missing}")


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
