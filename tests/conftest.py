"""What several tests need."""

from __future__ import annotations

import functools
import gc
import os
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import toy
from tests.needs import NOT_TESTED
from tests.server import Server, serving

Figure = Callable[[str], None]

# Under which a test's report keeps its figures: with several processes it comes from another one.
FIGURE = "figure"

# So many further modules are worth a look through everything.
MANY_MODULES = 100

# Each client would read the certificates of all authorities anew, which takes longer than most requests here.
ssl.create_default_context = functools.cache(ssl.create_default_context)

# A busy machine is no failure; how fast things are is the benchmarks' business.
settings.register_profile("calm", deadline=None, max_examples=int(os.environ.get("EXAMPLES", "60")))
settings.load_profile("calm")


def pytest_unconfigure() -> None:
    """Libraries warn of what they find alive when a process ends."""
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was measured; and what was not tested for want of something, which is easily taken for a pass."""
    ended = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    if figures := [line for report in ended for name, line in report.user_properties if name == FIGURE]:
        terminalreporter.section("measured")
        for line in figures:
            terminalreporter.line(line)
    skipped = {report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])}
    lacking = sorted(reason.partition(NOT_TESTED)[2] for reason in skipped if NOT_TESTED in reason)
    if lacking:
        terminalreporter.section(NOT_TESTED.strip(" :"), red=True, bold=True)
        for reason in lacking:
            terminalreporter.line(reason, red=True)


_known_modules = 0


@pytest.fixture(autouse=True)
def modules_are_no_garbage() -> None:
    """What libraries hold, millions of objects, is not looked through by each of the many garbage collections."""
    global _known_modules
    if len(sys.modules) > _known_modules + MANY_MODULES:
        gc.collect()
        gc.freeze()
        _known_modules = len(sys.modules)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Takes lines for the report at the end."""
    return lambda line: request.node.user_properties.append((FIGURE, f"{request.node.name}: {line}"))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for all processes that run tests side by side."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's model folder; not to be changed."""
    return toy.write(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def server(toy_folder: Path) -> Iterator[Server]:
    """One server with the toy, in f32, for all tests that leave it as it was."""
    with serving(toy_folder, PRECISION="f32") as running:
        yield running
