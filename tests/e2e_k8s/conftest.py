"""What the tests on a real Kubernetes stand on: a restricted namespace, a release of the chart, load on its Service.

kubectl, helm and the cluster in `KUBECONFIG` are used as they are; all that the tests make is in namespaces of theirs.
The nodes must have the images `demo` and `random` of `K8S_IMAGE` (default: `localhost/multi2vec-openvino`) and may have
to fetch `K8S_WEAVIATE_IMAGE`. With kind: `kind load docker-image localhost/multi2vec-openvino:demo`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Figure
from tests.e2e_k8s.cluster import Json, missing
from tests.e2e_k8s.load import Load, load
from tests.e2e_k8s.namespaces import DEMO, OTHER, Namespace, NoImage, describe, restricted_namespace, run_script
from tests.e2e_k8s.releases import Release, installed, values
from tests.needs import lacking
from tests.server import DEMO as DEMO_FOLDER

TIMEOUT_SECONDS = 900
REPLICAS = 2

UnderLoad = Callable[..., AbstractContextManager[Load]]

_namespaces: list[Namespace] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time that a cluster needs."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A failure comes with what the cluster has to say, as the namespace is soon gone."""
    report = yield
    if report.failed:
        report.sections.extend((f"namespace {each.name}", describe(each)) for each in _namespaces)
    return report


@contextmanager
def _namespace() -> Iterator[Namespace]:
    with restricted_namespace() as namespace:
        _namespaces.append(namespace)
        try:
            yield namespace
        finally:
            _namespaces.remove(namespace)


@pytest.fixture(scope="session")
def cluster() -> None:
    """A cluster that answers."""
    if reason := missing():
        lacking(reason)


@pytest.fixture(scope="session")
def namespace(cluster: None) -> Iterator[Namespace]:
    """The namespace of the release that most tests share."""
    with _namespace() as made:
        yield made


@pytest.fixture
def own_namespace(cluster: None) -> Iterator[Namespace]:
    """A namespace for one test."""
    with _namespace() as made:
        yield made


@pytest.fixture(scope="session")
def examples(namespace: Namespace) -> Json:
    """Model → its manifest's stored texts and pictures with the original library's vectors, read in its image."""
    found = {}
    for tag in (DEMO, OTHER):
        try:
            found[tag] = run_script(namespace, "manifest", {}, tag)["examples"]
        except NoImage as error:
            lacking(str(error))
    # The image under test has to hold this checkout's demo model, or its vectors would be compared with themselves.
    known = json.loads((DEMO_FOLDER / "manifest.json").read_text("utf-8"))["examples"]
    for one, other in zip(found[DEMO], known, strict=True):
        assert (one["modality"], one["content"]) == (other["modality"], other["content"])
        assert one["vector"] == pytest.approx(other["vector"], abs=1e-4)
    assert len(found[DEMO][0]["vector"]) != len(found[OTHER][0]["vector"])
    return found


@pytest.fixture(scope="session")
def _shared(namespace: Namespace, examples: Json) -> Iterator[Release]:
    with installed(namespace, values(replicas=REPLICAS)) as release:
        release.settle()
        restarts = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in release.pods()]
        assert restarts == [0] * REPLICAS, "a start that needs a second try is a failed start"
        yield release


@pytest.fixture
def release(_shared: Release) -> Iterator[Release]:
    """Two ready pods of the demo model; whatever a test does to them is undone."""
    before = _shared.values
    yield _shared
    if _shared.values != before:
        _shared.upgrade(before)
    _shared.settle()


@pytest.fixture
def under_load(examples: Json, figure: Figure) -> UnderLoad:
    """`with under_load(release): …`: clients ask all the while, and each of their requests gets its vectors."""

    @contextmanager
    def start(release: Release, **options: Any) -> Iterator[Load]:
        with load(release.namespace, release.service, examples, **options) as running:
            yield running
        figure(str(running.counts()))
        assert running.counts().failures == 0, running.failures()

    return start
