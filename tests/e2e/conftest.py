"""What the end-to-end tests stand on: a real Weaviate server, and the service with the demo model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from weaviate import WeaviateClient
from weaviate.collections import Collection

from tests.e2e.weaviate_server import DEFAULT_VERSION, NoWeaviate, Server, weaviate_server
from tests.server import Server as Service
from tests.server import serving

OLDER_VERSIONS = ("1.29.0", "1.27.0")

# A first run may build Weaviate (minutes), and CI machines are slow.
TIMEOUT_SECONDS = 2400

Create = Callable[..., Collection[Any, Any]]
StartWeaviate = Callable[..., AbstractContextManager[Server]]
Figure = Callable[[str], None]

_missing = pytest.StashKey[list[str]]()
_figures = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --weaviate-versions."""
    parser.addoption(
        "--weaviate-versions",
        default=DEFAULT_VERSION,
        metavar="LIST",
        help="versions for the tests marked any_version, separated by commas, or all "
        f"({DEFAULT_VERSION}, {', '.join(OLDER_VERSIONS)}); the other tests run with {DEFAULT_VERSION}, the default",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Adds the marker."""
    config.addinivalue_line("markers", "any_version: runs with every version in --weaviate-versions")
    config.stash[_missing] = []
    config.stash[_figures] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time that a first run needs."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One round per version; pytest groups tests by it, so each server starts once."""
    if "server" not in metafunc.fixturenames:
        return
    versions = [DEFAULT_VERSION]
    if metafunc.definition.get_closest_marker("any_version"):
        wanted = metafunc.config.getoption("--weaviate-versions")
        versions = [DEFAULT_VERSION, *OLDER_VERSIONS] if wanted == "all" else wanted.split(",")
    metafunc.parametrize("server", versions, indirect=True, scope="session")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What was measured; and that tests were skipped for want of a server, which is easily taken for a pass."""
    if config.stash[_figures]:
        terminalreporter.section("measured through Weaviate")
        for line in config.stash[_figures]:
            terminalreporter.line(line)
    for reason in config.stash[_missing][:1]:
        terminalreporter.section("NOT TESTED AGAINST WEAVIATE", red=True, bold=True)
        terminalreporter.line(reason, red=True)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Takes lines for the report at the end."""
    return lambda line: request.config.stash[_figures].append(f"{request.node.name}: {line}")


@pytest.fixture(scope="session")
def start_weaviate(pytestconfig: pytest.Config) -> StartWeaviate:
    """`weaviate_server`, but where no server can be had the test fails in CI and is skipped elsewhere."""

    @contextmanager
    def start(*args: Any, **options: Any) -> Iterator[Server]:
        context = weaviate_server(*args, **options)
        try:
            # Building or pulling takes minutes and says so; nobody should wonder.
            with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                server = context.__enter__()
        except NoWeaviate as missing:
            if os.environ.get("CI"):
                pytest.fail(str(missing), pytrace=False)
            pytestconfig.stash[_missing].append(str(missing))
            pytest.skip(str(missing))
        try:
            yield server
        finally:
            context.__exit__(None, None, None)

    return start


@pytest.fixture(scope="session")
def demo() -> Iterator[Service]:
    """The service with the demo model."""
    with serving() as service:
        yield service


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, start_weaviate: StartWeaviate, demo: Service) -> Iterator[Server]:
    """A Weaviate server whose module multi2vec-clip calls the demo service."""
    environment = {"ENABLE_MODULES": "multi2vec-clip", "CLIP_INFERENCE_API": demo.url}
    with start_weaviate(request.param, environment) as running:
        assert not running.is_ours or running.version() == request.param
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[WeaviateClient]:
    """A client of that server."""
    with server.client() as connected:
        yield connected


@pytest.fixture(scope="session")
def inference(server: Server, demo: Service) -> dict[str, Any]:
    """Arguments that lead a collection to the demo service: none, but for a server that somebody else configured."""
    return {} if server.is_ours else {"inference_url": server.reach(demo.url)}


@pytest.fixture(scope="module")
def create(client: WeaviateClient) -> Iterator[Create]:
    """`client.collections.create` without a name; what it made goes when the module's tests are done."""
    names: list[str] = []

    def make(**configuration: Any) -> Collection[Any, Any]:
        names.append(f"Test{uuid4().hex}")
        return client.collections.create(names[-1], **configuration)

    yield make
    client.collections.delete(names)
