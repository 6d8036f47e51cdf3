"""What the chart renders from many combinations of values is valid for Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator

import kubernetes_validate
import pytest

from tests.chart.helm import CHART, NAMESPACE, Object, chart, render, run
from tests.chart.matrix import MATRIX

CUSTOM = {"keda.sh/v1alpha1", "monitoring.coreos.com/v1"}
VERSIONS = ["1.28", kubernetes_validate.latest_version()]


def pod_specs(found: list[Object]) -> Iterator[Object]:
    for one in found:
        if one["kind"] == "Pod":
            yield one["spec"]
        elif one["kind"] == "Deployment":
            yield one["spec"]["template"]["spec"]


def test_lint() -> None:
    assert "0 chart(s) failed" in run("lint", "--strict", CHART)


@pytest.mark.parametrize("name", MATRIX)
def test_lint_with_values(name: str) -> None:
    assert "0 chart(s) failed" in run("lint", "--strict", CHART, values=MATRIX[name])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MATRIX)
def test_valid_for_kubernetes(name: str, version: str) -> None:
    found = render(MATRIX[name], "--kube-version", version)
    standard = [one for one in found if one["apiVersion"] not in CUSTOM]
    assert {"Deployment", "Service", "Pod"} <= {one["kind"] for one in standard}
    for one in standard:
        assert kubernetes_validate.validate(one, version, strict=True) == version.removesuffix(".0")


def test_the_check_is_strict() -> None:
    (service,) = chart().of("Service")
    service["spec"]["tpye"] = "ClusterIP"
    with pytest.raises(kubernetes_validate.ValidationError, match="tpye"):
        kubernetes_validate.validate(service, "1.28", strict=True)


def test_older_kubernetes_is_refused() -> None:
    with pytest.raises(Exception, match="kubeVersion"):
        render({}, "--kube-version", "1.27.9")


@pytest.mark.parametrize("name", MATRIX)
def test_names_and_namespaces(name: str) -> None:
    found = render(MATRIX[name])
    keys = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert len(keys) == len(set(keys))
    for one in found:
        # KEDA puts nine characters in front of a name that may have 63.
        assert len(one["metadata"]["name"].removesuffix("-test")) <= 54
        where = "monitoring" if one["kind"] == "ServiceMonitor" and name == "everything" else NAMESPACE
        assert one["metadata"]["namespace"] == where
        for value in one["metadata"]["labels"].values():
            assert len(value) <= 63


@pytest.mark.parametrize("name", MATRIX)
def test_the_restricted_pod_security_standard(name: str) -> None:
    specs = list(pod_specs(render(MATRIX[name])))
    assert specs
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert all("hostPath" not in volume for volume in spec.get("volumes", []))
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            # These two go beyond the standard.
            assert context["readOnlyRootFilesystem"] is True
            assert spec["automountServiceAccountToken"] is False
            assert all("hostPort" not in port for port in container.get("ports", []))
