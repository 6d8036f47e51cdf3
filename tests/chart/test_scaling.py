"""Replicas, autoscalers and disruption budgets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.helm import FULLNAME, NAMESPACE, Refused, Values, chart

KEDA: Values = {"enabled": True, "prometheus": {"serverAddress": "http://prometheus:9090"}}
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
QUEUE = {
    "type": "Pods",
    "pods": {
        "metric": {"name": "multi2vec_queue_items"},
        "target": {"type": "AverageValue", "averageValue": "8"},
    },
}


def test_a_fixed_number() -> None:
    found = chart({"replicas": 2})
    assert found.one("Deployment")["spec"]["replicas"] == 2
    assert not found.of("HorizontalPodAutoscaler")
    assert not found.of("ScaledObject")


@pytest.mark.parametrize(
    ("values", "metrics"),
    [
        ({}, [CPU]),
        ({"queueItems": 8}, [CPU, QUEUE]),
        ({"queueItems": 8, "cpuUtilization": None}, [QUEUE]),
    ],
)
def test_autoscaler(values: Values, metrics: list[Any]) -> None:
    scaling = {"enabled": True, "minReplicas": 2, "maxReplicas": 5, "behavior": {"scaleDown": {}}, **values}
    found = chart({"models": [{"tag": "demo", "autoscaling": scaling}]})
    # An upgrade would set the pods back to `replicas`.
    assert "replicas" not in found.one("Deployment")["spec"]
    assert found.one("HorizontalPodAutoscaler")["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": FULLNAME},
        "minReplicas": 2,
        "maxReplicas": 5,
        "metrics": metrics,
        "behavior": {"scaleDown": {}},
    }


def test_keda() -> None:
    found = chart({"keda": {**KEDA, "cpuUtilization": 60, "advanced": {"restoreToOriginalReplicaCount": True}}})
    assert "replicas" not in found.one("Deployment")["spec"]
    scaled = found.one("ScaledObject")
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert scaled["spec"] == {
        "scaleTargetRef": {"name": FULLNAME},
        "minReplicaCount": 1,
        "maxReplicaCount": 4,
        "pollingInterval": 15,
        "cooldownPeriod": 300,
        "advanced": {"restoreToOriginalReplicaCount": True},
        "triggers": [
            {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}},
            {
                "type": "prometheus",
                "metadata": {
                    "serverAddress": "http://prometheus:9090",
                    "query": f'sum(multi2vec_queue_items{{namespace="{NAMESPACE}",service="{FULLNAME}"}})',
                    "threshold": "16",
                },
            },
        ],
    }


def test_triggers_of_the_users_own() -> None:
    own = {"type": "cron", "metadata": {"timezone": "UTC", "start": "0 1 * * *", "end": "0 2 * * *"}}
    query = {"query": "up", "threshold": 0.5, "serverAddress": "http://p"}
    spec = chart({"keda": {"enabled": True, "prometheus": query, "triggers": [own]}}).one("ScaledObject")["spec"]
    prometheus, cron = spec["triggers"]
    assert prometheus["metadata"] == {"query": "up", "threshold": "0.5", "serverAddress": "http://p"}
    assert cron == own


def test_only_some_models_scale() -> None:
    models = [{"tag": "a", "replicas": 2}, {"tag": "b", "name": "b", "autoscaling": {"enabled": True}}]
    found = chart({"models": models})
    assert found["Deployment", FULLNAME]["spec"]["replicas"] == 2
    assert found.one("HorizontalPodAutoscaler")["metadata"]["name"] == f"{FULLNAME}-b"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"autoscaling": {"enabled": True}, "keda": KEDA}, "both enabled; choose one"),
        ({"autoscaling": {"enabled": True, "minReplicas": 9}}, r"autoscaling\.maxReplicas is below"),
        ({"keda": {**KEDA, "minReplicas": 9}}, r"keda\.maxReplicas is below"),
        ({"keda": {"enabled": True}}, r"keda needs prometheus\.serverAddress, cpuUtilization or triggers"),
        ({"autoscaling": {"enabled": True, "cpuUtilization": None}}, "needs cpuUtilization or queueItems"),
        (
            {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
            r"share of resources\.requests\.cpu, which is not set",
        ),
    ],
)
def test_what_cannot_scale_is_refused(values: Values, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        chart(values)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"maxUnavailable": "25%"}, {"maxUnavailable": "25%"}),
        ({"minAvailable": 0}, {"minAvailable": 0}),
        ({"minAvailable": "50%", "maxUnavailable": 3}, {"minAvailable": "50%"}),
    ],
)
def test_disruption_budget(budget: Values, expected: dict[str, Any]) -> None:
    spec = chart({"podDisruptionBudget": budget}).one("PodDisruptionBudget")["spec"]
    del spec["selector"]
    assert spec == {**expected, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
