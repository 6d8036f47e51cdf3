"""Services, Ingress and NetworkPolicy: which requests reach the pods."""

from __future__ import annotations

import pytest

from tests.chart.helm import FULLNAME, NAMESPACE, Refused, Values, chart, environment
from tests.chart.matrix import EVERYTHING

SEVERAL: list[Values] = [
    {"tag": "demo"},
    {"name": "b", "tag": "demo"},
    {"tag": "x", "name": "c", "ingressPath": "/x/y"},
]
INGRESS: Values = {"enabled": True, "hosts": ["a.example.com", "b.example.com"]}


def test_service() -> None:
    spec = chart().one("Service")["spec"]
    del spec["selector"]
    port = {"name": "http", "port": 8080, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}
    assert spec == {"type": "ClusterIP", "ports": [port]}


def test_service_of_the_users_choice() -> None:
    service = {"type": "NodePort", "port": 80, "nodePort": 30080, "annotations": {"a": "b"}}
    found = chart({"service": service}).one("Service")
    assert found["metadata"]["annotations"] == {"a": "b"}
    assert found["spec"]["type"] == "NodePort"
    assert found["spec"]["ports"][0].items() >= {"port": 80, "nodePort": 30080, "targetPort": "http"}.items()


def test_nothing_is_open_that_was_not_asked_for() -> None:
    found = chart()
    assert {one["kind"] for one in found.all} == {
        "Deployment",
        "Service",
        "ServiceAccount",
        "PodDisruptionBudget",
        "Pod",
    }


@pytest.mark.parametrize("create", [True, False])
def test_no_token(create: bool) -> None:
    found = chart({"serviceAccount": {"create": create}})
    spec = found.one("Deployment")["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == (FULLNAME if create else "default")
    assert [one["automountServiceAccountToken"] for one in found.of("ServiceAccount")] == [False] * create


def test_ingress_of_one_model() -> None:
    found = chart({"ingress": {"enabled": True}})
    assert "URL_PREFIX" not in environment(found.one("Deployment"))
    backend = {"service": {"name": FULLNAME, "port": {"name": "http"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    assert found.one("Ingress")["spec"] == {"rules": [{"http": {"paths": [path]}}]}


def test_ingress_of_several_models() -> None:
    found = chart({"models": SEVERAL, "ingress": INGRESS})
    paths = {FULLNAME: "/", f"{FULLNAME}-b": "/b", f"{FULLNAME}-c": "/x/y"}
    rules = found.one("Ingress")["spec"]["rules"]
    assert [rule["host"] for rule in rules] == INGRESS["hosts"]
    for rule in rules:
        shown = {path["backend"]["service"]["name"]: path["path"] for path in rule["http"]["paths"]}
        assert shown == paths
    for name, path in paths.items():
        assert environment(found["Deployment", name]).get("URL_PREFIX", "/") == path


def test_no_prefix_without_an_ingress() -> None:
    found = chart({"models": SEVERAL})
    assert "URL_PREFIX" not in environment(found["Deployment", f"{FULLNAME}-b"])
    # For a Gateway of the user's own.
    assert environment(found["Deployment", f"{FULLNAME}-c"])["URL_PREFIX"] == "/x/y"


def test_two_models_on_one_path_are_refused() -> None:
    models = [{"tag": "a", "name": "a"}, {"tag": "b", "name": "b", "ingressPath": "/a"}]
    with pytest.raises(Refused, match="share the Ingress path /a"):
        chart({"models": models, "ingress": INGRESS})


def test_network_policy() -> None:
    spec = chart({"models": SEVERAL, "networkPolicy": {"enabled": True}}).one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == []
    assert spec["ingress"] == [{"from": [{"podSelector": {}}], "ports": [{"port": "http", "protocol": "TCP"}]}]


def test_network_policy_holds_for_every_model_and_not_for_the_test() -> None:
    found = chart({"models": SEVERAL, "networkPolicy": {"enabled": True}})
    covered = found.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items()
    for deployment in found.of("Deployment"):
        assert covered <= deployment["spec"]["template"]["metadata"]["labels"].items()
    for pod in found.of("Pod"):
        assert not covered <= pod["metadata"]["labels"].items()


def test_peers() -> None:
    policy = EVERYTHING["networkPolicy"]
    spec = chart(EVERYTHING).one("NetworkPolicy")["spec"]
    assert spec["ingress"][0]["from"] == [*policy["from"], *policy["monitoringFrom"]]
    assert spec["egress"] == policy["extraEgress"]


def test_no_peers() -> None:
    # An empty `from` would let everybody in.
    assert chart({"networkPolicy": {"enabled": True, "from": []}}).one("NetworkPolicy")["spec"]["ingress"] == []


def test_service_monitor() -> None:
    found = chart(EVERYTHING)
    monitor = found.one("ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["namespace"] == "monitoring"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    selector = monitor["spec"].pop("selector")["matchLabels"].items()
    for service in found.of("Service"):
        assert selector <= service["metadata"]["labels"].items()
    assert monitor["spec"] == {
        "namespaceSelector": {"matchNames": [NAMESPACE]},
        "endpoints": [
            {
                "port": "http",
                "path": "/metrics",
                "interval": "15s",
                "scrapeTimeout": "5s",
                "authorization": {"credentials": {"name": "prometheus", "key": "key"}},
                "metricRelabelings": [{"action": "labeldrop", "regex": "le"}],
            }
        ],
    }
