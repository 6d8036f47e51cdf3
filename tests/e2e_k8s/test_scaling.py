"""The HorizontalPodAutoscaler follows the load, up and down, and not one request fails."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Figure
from tests.e2e_k8s.cluster import Json, has_metrics, wait_until
from tests.e2e_k8s.conftest import UnderLoad
from tests.e2e_k8s.load import load
from tests.e2e_k8s.namespaces import DEMO, Namespace
from tests.e2e_k8s.releases import Release, installed, model, values
from tests.needs import lacking

MOST = 3
# A little load stays all the time, on all pods by turns: it would see a request fail while they come and go.
LITTLE: dict[str, Any] = {"clients": 2, "pause": 0.5}
LIMIT = 5
MUCH: dict[str, Any] = {"clients": 4, "pause": 0.01}
SCALE_SECONDS = 180.0

AUTOSCALING = {
    "enabled": True,
    "minReplicas": 1,
    "maxReplicas": MOST,
    "cpuUtilization": 60,
    # The usual five minutes of patience before scaling down are for users, not for tests.
    "behavior": {
        "scaleUp": {"stabilizationWindowSeconds": 0},
        "scaleDown": {
            "stabilizationWindowSeconds": 5,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}],
        },
    },
}
RESOURCES = {"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}


@pytest.fixture
def metrics(cluster: None) -> None:
    """A cluster with a metrics server."""
    if not has_metrics():
        lacking("the cluster has no metrics server, so nothing can scale by CPU use")


@pytest.mark.usefixtures("metrics")
def test_pods_follow_the_load(own_namespace: Namespace, under_load: UnderLoad, examples: Json, figure: Figure) -> None:
    """From one pod to more and back to one."""
    with installed(
        own_namespace, values(model(DEMO, resources=RESOURCES), autoscaling=AUTOSCALING, maxRequestsPerConnection=LIMIT)
    ) as release:
        release.settle()
        assert len(release.ready_pods()) == 1
        with under_load(release, **LITTLE):
            with load(own_namespace, release.service, examples, **MUCH) as much:
                wait_until("more pods are ready", lambda: len(release.ready_pods()) > 1, SCALE_SECONDS)
                up = much.counts().seconds
                release.settle()
            figure(f"much load: {much.counts()}; a second pod was ready after {up:.0f} s")
            assert much.counts().failures == 0, much.failures()
            wait_until("one pod is left", lambda: len(release.pods()) == 1, SCALE_SECONDS)
            assert wanted(release) == 1


def wanted(release: Release) -> int:
    """How many pods the autoscaler wants."""
    (scaler,) = release.namespace.list("horizontalpodautoscalers", release.selector)
    return int(scaler["status"]["desiredReplicas"])
