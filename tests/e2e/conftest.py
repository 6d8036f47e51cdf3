"""What the end-to-end tests stand on: a real Weaviate server, and the service with the demo model.

By default both are started here; with --compose they are those of docker-compose.yml, and the same tests run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from weaviate import WeaviateClient
from weaviate.collections import Collection

from tests.e2e.stack import NoStack, Stack, composed
from tests.e2e.weaviate_server import DEFAULT_VERSION, NoWeaviate, Server, weaviate_server
from tests.needs import lacking
from tests.server import Server as Service
from tests.server import serving

OLDER_VERSIONS = ("1.29.0", "1.27.0")

# The fixtures whose parameter is a version; a test uses one of them.
SERVERS = ("server", "texts_server")

# A first run may build Weaviate (minutes), and CI machines are slow.
TIMEOUT_SECONDS = 2400

Create = Callable[..., Collection[Any, Any]]
StartWeaviate = Callable[..., AbstractContextManager[Server]]
StartStack = Callable[[], AbstractContextManager[Stack]]


@dataclass(frozen=True)
class Mortal:
    """A service that a test may end, and the arguments that lead a collection to it."""

    service: Service
    inference: dict[str, Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --compose and --weaviate-versions."""
    parser.addoption("--compose", action="store_true", help="test the Compose stack; the image is IMAGE:demo")
    parser.addoption(
        "--weaviate-versions",
        default=DEFAULT_VERSION,
        metavar="LIST",
        help="versions for the tests marked any_version, separated by commas, or all "
        f"({DEFAULT_VERSION}, {', '.join(OLDER_VERSIONS)}); the other tests run with {DEFAULT_VERSION}, the default",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Adds the markers."""
    config.addinivalue_line("markers", "any_version: runs with every version in --weaviate-versions")
    config.addinivalue_line("markers", "compose: is about the Compose stack")
    config.addinivalue_line("markers", "outside_compose(reason): cannot be asked of the Compose stack")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time that a first run needs, and leave out what is not of this run."""
    here = Path(__file__).parent
    other = "outside_compose" if config.getoption("--compose") else "compose"
    left_out = [item for item in items if item.get_closest_marker(other)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One round per version; pytest groups tests by it, so each server starts once."""
    names = [name for name in SERVERS if name in metafunc.fixturenames]
    if not names:
        return
    versions = [DEFAULT_VERSION]
    if metafunc.definition.get_closest_marker("any_version") and not metafunc.config.getoption("--compose"):
        wanted = metafunc.config.getoption("--weaviate-versions")
        versions = [DEFAULT_VERSION, *OLDER_VERSIONS] if wanted == "all" else wanted.split(",")
    metafunc.parametrize(names[0], versions, indirect=True, scope="session")


@pytest.fixture(scope="session")
def start_weaviate(pytestconfig: pytest.Config) -> StartWeaviate:
    """`weaviate_server`, but where no server can be had the test fails in CI and is skipped elsewhere."""

    @contextmanager
    def start(*args: Any, **options: Any) -> Iterator[Server]:
        context = weaviate_server(*args, **options)
        try:
            # Building or pulling takes minutes: its messages are shown.
            with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                server = context.__enter__()
        except NoWeaviate as missing:
            lacking(str(missing))
        try:
            yield server
        finally:
            context.__exit__(None, None, None)

    return start


@pytest.fixture(scope="session")
def start_stack() -> StartStack:
    """`composed`, but where no stack can be had the test fails in CI and is skipped elsewhere."""

    @contextmanager
    def start() -> Iterator[Stack]:
        context = composed()
        try:
            stack = context.__enter__()
        except NoStack as missing:
            lacking(str(missing))
        try:
            yield stack
        finally:
            context.__exit__(None, None, None)

    return start


@pytest.fixture(scope="session")
def stack(start_stack: StartStack) -> Iterator[Stack]:
    """The Compose stack."""
    with start_stack() as running:
        yield running


@pytest.fixture(scope="session")
def demo(request: pytest.FixtureRequest) -> Iterator[Service]:
    """The service with the demo model."""
    if request.config.getoption("--compose"):
        yield request.getfixturevalue("stack").service
        return
    with serving() as service:
        yield service


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, start_weaviate: StartWeaviate, demo: Service) -> Iterator[Server]:
    """A Weaviate server whose module multi2vec-clip calls the demo service."""
    if request.config.getoption("--compose"):
        running = request.getfixturevalue("stack").weaviate
        assert running.version() == request.param
        yield running
        return
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
    """Arguments that lead a collection to the demo service: needed only by a server that was configured elsewhere."""
    return {} if server.is_ours else {"inference_url": server.reach(demo.url)}


@pytest.fixture
def mortal(request: pytest.FixtureRequest, server: Server, demo: Service) -> Iterator[Mortal]:
    """A service of the test's own; of the Compose stack its only one, which runs again afterwards."""
    if request.config.getoption("--compose"):
        yield Mortal(demo, {})
        demo.start()
        return
    with serving() as service:
        yield Mortal(service, {"inference_url": server.reach(service.url)})


@pytest.fixture(scope="module")
def create(client: WeaviateClient) -> Iterator[Create]:
    """`client.collections.create` without a name; what it made goes when the module's tests are done."""
    names: list[str] = []

    def make(**configuration: Any) -> Collection[Any, Any]:
        names.append(f"Test{uuid4().hex}")
        return client.collections.create(names[-1], **configuration)

    yield make
    client.collections.delete(names)
