"""`helm uninstall` leaves nothing."""

from __future__ import annotations

import json

from tests.e2e_k8s.cluster import kubectl, wait_until
from tests.e2e_k8s.namespaces import DEMO, Namespace
from tests.e2e_k8s.releases import Release, model, values

# Kubernetes writes these about objects and removes them in its own time.
REMARKS = ("events", "events.events.k8s.io", "pods.metrics.k8s.io")

# Everything that the chart can install without custom resource types.
EVERYTHING = {
    "autoscaling": {"enabled": True},
    "networkPolicy": {"enabled": True},
    "ingress": {"enabled": True, "hosts": ["clip.example.com"]},
    "serviceAccount": {"create": True},
    "podDisruptionBudget": {"enabled": True},
}


def objects(namespace: Namespace) -> set[str]:
    """All that is in a namespace, of whatever type."""
    types = kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    kinds = ",".join(each for each in types if each not in REMARKS)
    return set(namespace.kubectl("get", kinds, "--output=name", "--ignore-not-found").split())


def labelled(release: Release) -> list[str]:
    """What carries the release's label outside of namespaces."""
    types = kubectl("api-resources", "--namespaced=false", "--verbs=list", "--output=name").split()
    return kubectl("get", ",".join(types), f"--selector={release.selector}", "--output=name").split()


def test_uninstall_leaves_nothing(own_namespace: Namespace) -> None:
    """Two models with every part of the chart come and go, and the namespace is as it was."""
    before = objects(own_namespace)
    release = Release(own_namespace, values(model(DEMO, name="a"), model(DEMO, name="b"), **EVERYTHING))
    release.install()
    kinds = {each.split("/")[0] for each in objects(own_namespace) - before}
    assert kinds >= {
        "deployment.apps",
        "horizontalpodautoscaler.autoscaling",
        "ingress.networking.k8s.io",
        "networkpolicy.networking.k8s.io",
        "poddisruptionbudget.policy",
        "service",
        "serviceaccount",
    }
    release.uninstall()
    wait_until("the namespace is as before", lambda: objects(own_namespace) == before, 90)
    assert labelled(release) == []
    assert json.loads(own_namespace.helm("list", "--all", "--output=json")) == []
