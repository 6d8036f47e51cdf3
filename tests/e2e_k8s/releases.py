"""A release of the chart, and what tests ask of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e_k8s.cluster import Json, wait_until
from tests.e2e_k8s.namespaces import DEMO, IMAGE, OTHER, Namespace

CHART = Path(__file__).resolve().parents[2] / "helm"
HELM_TIMEOUT = "--timeout=150s"
SETTLE_SECONDS = 120.0

# The chart's own are for larger models, and for more than one small machine.
RESOURCES = {
    DEMO: {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "384Mi"}},
    OTHER: {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
}


def model(tag: str, **settings: object) -> Json:
    """An entry of the chart's `models`."""
    return {"tag": tag, "resources": RESOURCES[tag], **settings}


def values(*models: Json, **settings: object) -> Json:
    """The chart's values for the images under test; without models the demo."""
    registry, _, repository = IMAGE.rpartition("/")
    image = {"registry": registry, "repository": repository, "pullPolicy": "IfNotPresent"}
    return {"image": image, "models": list(models or [model(DEMO)]), **settings}


class Release:
    """One release. `values` are those that it was last given."""

    def __init__(self, namespace: Namespace, values: Json, name: str = "clip") -> None:
        self.namespace = namespace
        self.name = name
        self.values = values

    @property
    def selector(self) -> str:
        """Finds what belongs to it."""
        return f"app.kubernetes.io/instance={self.name}"

    def install(self) -> None:
        """And wait until it is ready."""
        self._helm("install", "--wait")

    def upgrade(self, values: Json, *, wait: bool = True) -> None:
        """Give it other values."""
        self.values = values
        self._helm("upgrade", *(["--wait"] if wait else []))
        if wait:
            self.settle()

    def rollback(self, values: Json) -> None:
        """To the revision before, which had these values."""
        self.values = values
        self.namespace.helm("rollback", self.name, "--wait", HELM_TIMEOUT)
        self.settle()

    def uninstall(self) -> None:
        """Remove it."""
        self.namespace.helm("uninstall", self.name, "--wait", HELM_TIMEOUT)

    @property
    def services(self) -> list[str]:
        """The names of its Services."""
        return [each["metadata"]["name"] for each in self.namespace.list("services", self.selector)]

    @property
    def service(self) -> str:
        """The name of its only Service."""
        (name,) = self.services
        return name

    @property
    def deployment(self) -> Json:
        """Its only Deployment."""
        (found,) = self.namespace.list("deployments", self.selector)
        return found

    def pods(self) -> list[Json]:
        """Its pods, those that are being ended too."""
        return self.namespace.list("pods", self.selector)

    def ready_pods(self) -> list[str]:
        """The names of those that take requests and are to stay."""
        return [name_of(pod) for pod in self.pods() if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]]

    def settle(self) -> None:
        """Wait until there are as many pods as wanted, each is ready and none is left over."""

        def settled() -> bool:
            wanted: int = sum(each["spec"]["replicas"] for each in self.namespace.list("deployments", self.selector))
            return len(self.pods()) == len(self.ready_pods()) == wanted

        wait_until(f"release {self.name} has settled", settled, SETTLE_SECONDS)

    def _helm(self, command: str, *options: str) -> None:
        arguments = [command, self.name, str(CHART), "--values=-", HELM_TIMEOUT, *options]
        self.namespace.helm(*arguments, stdin=json.dumps(self.values))


@contextmanager
def installed(namespace: Namespace, values: Json) -> Iterator[Release]:
    """A release for as long as the block."""
    release = Release(namespace, values)
    release.install()
    try:
        yield release
    finally:
        release.uninstall()


def name_of(thing: Json) -> str:
    """Of any object."""
    return str(thing["metadata"]["name"])


def is_ready(pod: Json) -> bool:
    """Whether its readiness probe says so."""
    conditions: Sequence[Json] = pod["status"].get("conditions", ())
    return "True" in [each["status"] for each in conditions if each["type"] == "Ready"]
