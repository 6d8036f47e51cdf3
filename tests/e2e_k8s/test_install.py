"""`helm install --wait` in a namespace that enforces `restricted`: what runs then, and that it serves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.conftest import Figure
from tests.e2e.library import cosine
from tests.e2e_k8s.cluster import CommandFailed, Json, kubectl
from tests.e2e_k8s.conftest import REPLICAS
from tests.e2e_k8s.namespaces import DEMO, IMAGE, USER, Namespace, run_script
from tests.e2e_k8s.releases import Release, name_of

SMALLEST_COSINE = 0.999

LOOK_INSIDE = """
import json
status = dict(line.split(":", 1) for line in open("/proc/1/status"))
found = {name: status[name].split()[0] for name in ("Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}
try:
    open("/app/written", "w")
    found["root"] = "can be written"
except OSError as error:
    found["root"] = error.strerror
print(json.dumps(found))
"""


def test_the_namespace_refuses_what_is_not_restricted(namespace: Namespace) -> None:
    """So that pods of the chart run there says something."""
    lax = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lax"},
        "spec": {"containers": [{"name": "lax", "image": f"{IMAGE}:{DEMO}"}]},
    }
    with pytest.raises(CommandFailed, match='violates PodSecurity "restricted'):
        namespace.create(lax)


def test_pods_are_ready_through_the_real_probes(release: Release, namespace: Namespace) -> None:
    """Each pod passed a startup and a readiness probe of the server's own addresses, and is behind the Service."""
    pods = release.pods()
    assert len(release.ready_pods()) == REPLICAS
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        paths = {
            name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")
        }
        assert paths["readinessProbe"] == paths["startupProbe"] == "/.well-known/ready"
        assert paths["livenessProbe"] == "/.well-known/live"
    slices = namespace.list("endpointslices", f"kubernetes.io/service-name={release.service}")
    ready = [
        each["targetRef"]["name"] for part in slices for each in part["endpoints"] if each["conditions"].get("ready")
    ]
    assert sorted(ready) == sorted(map(name_of, pods))


def test_containers_are_hardened(release: Release, namespace: Namespace) -> None:
    """Seen from inside: no root, no capabilities, no way to more, system calls filtered, nothing to write to."""
    found = json.loads(namespace.kubectl("exec", release.ready_pods()[0], "--", "python", "-c", LOOK_INSIDE))
    assert found == {
        "Uid": str(USER),
        "CapEff": "0" * 16,
        "CapBnd": "0" * 16,
        "NoNewPrivs": "1",
        "Seccomp": "2",
        "root": "Read-only file system",
    }


def test_no_token_of_the_cluster_in_pods(release: Release) -> None:
    """The server never talks to Kubernetes, so it holds no key to it."""
    for pod in release.pods():
        assert pod["spec"]["automountServiceAccountToken"] is False


def test_vectors_through_the_service(release: Release, namespace: Namespace, examples: Json, figure: Figure) -> None:
    """They are the manifest's stored vectors, which the original library made."""
    wanted = examples[DEMO]
    texts = [each for each in wanted if each["modality"] == "text"]
    pictures = [each for each in wanted if each["modality"] == "image"]
    question = {
        "texts": [each["content"] for each in texts],
        "images": [each["content"] for each in pictures],
    }
    answer = run_script(namespace, "post", {"host": release.service, "port": 8080, **question})
    assert answer["status"] == 200
    found = answer["body"]["textVectors"] + answer["body"]["imageVectors"]
    similar = [
        cosine(np.array(one, np.float32), np.array(other["vector"], np.float32))
        for one, other in zip(found, texts + pictures, strict=True)
    ]
    figure(f"smallest cosine to the stored vectors {min(similar):.6f}")
    assert min(similar) >= SMALLEST_COSINE


def test_helm_test(release: Release, namespace: Namespace) -> None:
    """The chart's own test passes, and its pod is gone afterwards."""
    assert "Succeeded" in namespace.helm("test", release.name, "--timeout=60s")
    release.settle()


def test_strict_validation_by_the_api_server(release: Release, namespace: Namespace) -> None:
    """What the chart renders has no field that Kubernetes does not know; helm itself would let one pass."""
    manifest = namespace.helm("get", "manifest", release.name)
    kubectl(
        "apply", "--dry-run=server", "--validate=strict", "--namespace", namespace.name, "--filename=-", stdin=manifest
    )
