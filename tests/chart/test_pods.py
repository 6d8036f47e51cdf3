"""The pods: settings, resources, security, probes, scheduling."""

from __future__ import annotations

import pytest

from tests.chart.helm import FULLNAME, Refused, Values, chart, container, environment
from tests.chart.matrix import DIGEST, EVERYTHING

USER = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def only(values: Values | None = None) -> dict[str, object]:
    return container(chart(values).one("Deployment"))


def test_the_user() -> None:
    assert chart().one("Deployment")["spec"]["template"]["spec"]["securityContext"] == USER


def test_what_can_be_written() -> None:
    spec = chart({"tmp": {"sizeLimit": "5Gi"}}).one("Deployment")["spec"]["template"]["spec"]
    assert spec["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "5Gi"}}]
    mounts = spec["containers"][0]["volumeMounts"]
    assert [(mount["name"], mount["mountPath"]) for mount in mounts] == [("tmp", "/tmp")]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, "multi2vec-openvino:demo"),
        ({"registry": "localhost"}, "localhost/multi2vec-openvino:demo"),
        ({"registry": "r.example.com/a/", "repository": "b/c"}, "r.example.com/a/b/c:demo"),
        ({"version": "0.1.0"}, "multi2vec-openvino:demo-0.1.0"),
        ({"digest": DIGEST}, f"multi2vec-openvino:demo@{DIGEST}"),
    ],
)
def test_the_image(image: Values, expected: str) -> None:
    assert only({"models": [{"tag": "demo"}], "image": image})["image"] == expected
    assert only({"models": [{"tag": "demo", "image": image}]})["image"] == expected


def test_one_digest_for_several_models_is_refused() -> None:
    models = [{"tag": "a"}, {"tag": "b"}]
    with pytest.raises(Refused, match=r"image\.digest pins one image.*models\[\]\.image\.digest"):
        chart({"models": models, "image": {"digest": DIGEST}})


def test_probes() -> None:
    probed = only({"probes": {"liveness": {"periodSeconds": 7}}})
    assert probed["startupProbe"] == {
        "httpGet": {"path": "/.well-known/ready", "port": "http"},
        "periodSeconds": 1,
        "timeoutSeconds": 2,
        "failureThreshold": 300,
    }
    assert probed["readinessProbe"] == {
        "httpGet": {"path": "/.well-known/ready", "port": "http"},
        "periodSeconds": 5,
        "timeoutSeconds": 2,
        "failureThreshold": 2,
    }
    assert probed["livenessProbe"] == {
        "httpGet": {"path": "/.well-known/live", "port": "http"},
        "periodSeconds": 7,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }
    assert probed["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("drain", "sleep", "period"),
    [
        ({}, 5, 60),
        ({"preStopSeconds": 10, "seconds": 0.3, "graceSeconds": 20}, 10, 34),
        ({"preStopSeconds": 2.5, "seconds": 0.5, "graceSeconds": 0}, 2.5, 6),
        ({"preStopSeconds": 0}, None, 55),
    ],
)
def test_drain(drain: Values, sleep: float | None, period: int) -> None:
    deployment = chart({"drain": drain}).one("Deployment")
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == period
    variables = environment(deployment)
    assert float(variables["DRAIN_SECONDS"]) == drain.get("seconds", 2)
    assert float(variables["SHUTDOWN_GRACE"]) == drain.get("graceSeconds", 50)
    hook = container(deployment).get("lifecycle")
    if sleep is None:
        assert hook is None
    else:
        command = ["python", "-c", f"import time; time.sleep({sleep})"]
        assert hook == {"preStop": {"exec": {"command": command}}}


def test_rollout() -> None:
    spec = chart().one("Deployment")["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert spec["minReadySeconds"] == 5
    assert chart({"strategy": {"type": "Recreate"}}).one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_settings() -> None:
    assert environment(chart().one("Deployment")) == {
        "DRAIN_SECONDS": "2",
        "MAX_REQUESTS_PER_CONNECTION": "1000",
        "SHUTDOWN_GRACE": "50",
    }


def test_settings_of_the_user() -> None:
    env = {"MAX_BODY_BYTES": 134217728, "ACCESS_LOG": True, "MAX_WAIT": 0.5, "LOG_FORMAT": "json", "THREADS": 0}
    deployment = chart({"env": env, "maxRequestsPerConnection": 0}).one("Deployment")
    found = environment(deployment)
    # Not 1.34217728e+08, as a template would write it.
    assert found["MAX_BODY_BYTES"] == "134217728"
    assert found["ACCESS_LOG"] == "true"
    assert found["MAX_WAIT"] == "0.5"
    assert found["LOG_FORMAT"] == "json"
    assert found["THREADS"] == "0"
    assert found["MAX_REQUESTS_PER_CONNECTION"] == "0"


def test_secrets() -> None:
    deployment = chart(EVERYTHING)["Deployment", FULLNAME]
    token = environment(deployment)["TOKEN"]
    assert token["valueFrom"] == {"secretKeyRef": {"name": "tokens", "key": "token"}}
    assert container(deployment)["envFrom"] == EVERYTHING["extraEnvFrom"]
    assert deployment["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]


@pytest.mark.parametrize(
    "name", ["PORT", "URL_PREFIX", "DRAIN_SECONDS", "SHUTDOWN_GRACE", "MAX_REQUESTS_PER_CONNECTION"]
)
def test_what_the_chart_sets_has_one_place(name: str) -> None:
    sentence = rf"the variable {name} is set by the chart; use \S+\."
    with pytest.raises(Refused, match=sentence):
        chart({"env": {name: "1"}})
    with pytest.raises(Refused, match=sentence):
        chart({"extraEnv": [{"name": name, "value": "1"}]})


def test_resources() -> None:
    assert only()["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}


@pytest.mark.parametrize(
    ("accelerator", "device", "resource", "count"),
    [
        ({"kind": "gpu"}, "GPU", "gpu.intel.com/i915", 1),
        ({"kind": "gpu", "resource": "gpu.intel.com/xe", "count": 2}, "GPU", "gpu.intel.com/xe", 2),
        ({"kind": "npu"}, "NPU", "npu.intel.com/accel", 1),
    ],
)
def test_accelerator(accelerator: Values, device: str, resource: str, count: int) -> None:
    deployment = chart({"accelerator": accelerator}).one("Deployment")
    resources = container(deployment)["resources"]
    assert environment(deployment)["DEVICE"] == device
    assert resources["limits"] == {"memory": "2Gi", resource: count}
    assert resources["requests"] == {"cpu": "1", "memory": "1Gi", resource: count}


def test_the_user_may_choose_the_device() -> None:
    values = {"accelerator": {"kind": "gpu", "supplementalGroups": [109, 993]}, "env": {"DEVICE": "AUTO"}}
    deployment = chart(values).one("Deployment")
    assert environment(deployment)["DEVICE"] == "AUTO"
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    assert context == {**USER, "supplementalGroups": [109, 993]}


def test_scheduling() -> None:
    spec = chart(EVERYTHING)["Deployment", FULLNAME]["spec"]["template"]["spec"]
    for key in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert spec[key] == EVERYTHING[key]


def test_spread() -> None:
    deployment = chart().one("Deployment")["spec"]
    (constraint,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert constraint == {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": deployment["selector"],
        "matchLabelKeys": ["pod-template-hash"],
    }


def test_a_selector_of_the_users_own_stays() -> None:
    own = {
        "maxSkew": 2,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"a": "b"}},
    }
    spec = chart({"topologySpreadConstraints": [own]}).one("Deployment")["spec"]["template"]["spec"]
    assert spec["topologySpreadConstraints"] == [own]
