"""Pods come and go under load, and not one request fails."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Figure
from tests.e2e_k8s.cluster import CommandFailed, kubectl, wait_until
from tests.e2e_k8s.conftest import REPLICAS, UnderLoad
from tests.e2e_k8s.namespaces import DEMO, OTHER, Namespace
from tests.e2e_k8s.releases import Release, model, values


def evict(namespace: Namespace, pod: str) -> None:
    """Ask for a pod's place, as a node drain does. Raises `CommandFailed` if the disruption budget says no."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace.name}}
    address = f"/api/v1/namespaces/{namespace.name}/pods/{pod}/eviction"
    kubectl("create", "--raw", address, "--filename=-", stdin=json.dumps(eviction))


def test_upgrade_to_another_model_and_rollback(release: Release, under_load: UnderLoad) -> None:
    """All the while each request gets the vectors of one of the two models; after each step those of the right one."""
    demo = release.values
    with under_load(release) as load:
        assert load.models_now() == {DEMO}
        release.upgrade(values(model(OTHER), replicas=REPLICAS))
        assert load.models_now() == {OTHER}
        release.rollback(demo)
        assert load.models_now() == {DEMO}


def test_a_pod_is_deleted(release: Release, under_load: UnderLoad) -> None:
    """It answers what it has, and another one takes its place."""
    gone = release.ready_pods()[0]
    with under_load(release):
        release.namespace.kubectl("delete", "pod", gone)
        release.settle()
    assert gone not in release.ready_pods()


def test_eviction_within_and_beyond_the_budget(release: Release, under_load: UnderLoad, figure: Figure) -> None:
    """One pod may be evicted, the other not before the first is replaced."""
    first, second = release.ready_pods()
    with under_load(release):
        wait_until("the budget allows one", lambda: allowed(release) == 1)
        evict(release.namespace, first)
        with pytest.raises(CommandFailed, match="disruption budget") as refusal:
            evict(release.namespace, second)
        assert second in release.ready_pods()
        release.settle()
        assert first not in release.ready_pods()
        wait_until("the budget allows one again", lambda: allowed(release) == 1)
        evict(release.namespace, second)
        release.settle()
    figure(f"the second eviction was refused: {str(refusal.value).rpartition('): ')[2]}")


def allowed(release: Release) -> int:
    """How many evictions the budget allows now."""
    (budget,) = release.namespace.list("poddisruptionbudgets", release.selector)
    return int(budget["status"]["disruptionsAllowed"])
