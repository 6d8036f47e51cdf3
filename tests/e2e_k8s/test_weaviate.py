"""A real Weaviate in the cluster imports and searches through the Service while the pods behind it are replaced."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.conftest import Figure
from tests.e2e.pictures import scenes
from tests.e2e_k8s.cluster import Json, wait_until
from tests.e2e_k8s.namespaces import CONTAINER_SECURITY, POD_SECURITY, Namespace, ScriptPod, script_pod
from tests.e2e_k8s.releases import Release, is_ready, name_of

IMAGE = os.environ.get("K8S_WEAVIATE_IMAGE") or "cr.weaviate.io/semitechnologies/weaviate:1.35.2"
PORT = 8080
PICTURES = 120
# A cluster that must fetch the image takes its time.
START_SECONDS = 300.0
# Imported and searched before the pods are replaced, and again afterwards.
AROUND = {"objects": 200, "by_picture": 20}
RECALL = 0.9


def weaviate(service: str) -> list[Json]:
    """A pod with Weaviate, whose module calls a Service, and a Service for it."""
    settings = {
        "ENABLE_MODULES": "multi2vec-clip",
        "CLIP_INFERENCE_API": f"http://{service}:8080",
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "CLUSTER_HOSTNAME": "node1",
        "DISABLE_TELEMETRY": "true",
        "DISK_USE_READONLY_PERCENTAGE": "100",
        "DISK_USE_WARNING_PERCENTAGE": "100",
        "PERSISTENCE_DATA_PATH": "/data",
        "RAFT_BOOTSTRAP_EXPECT": "1",
    }
    container = {
        "name": "weaviate",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--host", "0.0.0.0", "--port", str(PORT), "--scheme", "http"],
        "env": [{"name": name, "value": value} for name, value in settings.items()],
        "securityContext": CONTAINER_SECURITY,
        "readinessProbe": {"httpGet": {"path": "/v1/.well-known/ready", "port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    metadata = {"name": "weaviate", "labels": {"app": "weaviate"}}
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    ports = {"selector": {"app": "weaviate"}, "ports": [{"port": PORT}]}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": ports},
    ]


def latest(pod: ScriptPod) -> dict[str, Any]:
    """The script's last line; nothing before the first."""
    lines = pod.log().splitlines()
    return dict(json.loads(lines[-1])) if lines else {}


def wait_for_more(pod: ScriptPod) -> None:
    """Until more is imported and searched."""
    before = latest(pod)
    wanted = {name: before.get(name, 0) + more for name, more in AROUND.items()}

    def there() -> bool:
        now = latest(pod)
        assert not now.get("errors"), now["errors"]
        return all(now.get(name, 0) >= count for name, count in wanted.items())

    wait_until(f"Weaviate did more: {wanted}", there, 120)


def test_import_and_search_while_pods_are_replaced(
    release: Release, namespace: Namespace, own_namespace: Namespace, figure: Figure
) -> None:
    """All pods are replaced meanwhile. No object fails, each gets its vectors, and searches find the right pictures."""
    own_namespace.create(*weaviate(f"{release.service}.{namespace.name}.svc"))
    wait_until("Weaviate is ready", lambda: is_ready(own_namespace.get("pod", "weaviate")), START_SECONDS)
    pictures = [picture.properties for picture in scenes(PICTURES)]
    with script_pod(own_namespace, "objects", {"host": "weaviate", "port": PORT, "pictures": pictures}) as pod:
        wait_for_more(pod)
        before = set(map(name_of, release.pods()))
        namespace.kubectl("rollout", "restart", f"deployment/{name_of(release.deployment)}")
        wait_until("all pods are new", lambda: not before & set(map(name_of, release.pods())), 120)
        release.settle()
        wait_for_more(pod)
        pod.terminate()
        result = json.loads(pod.wait_done().splitlines()[-1])
    figure(
        f"{result['objects']} objects imported, {len(result['errors'])} failed; searches: "
        f"{result['by_picture_right']} of {result['by_picture']} right by picture, "
        f"{result['by_title_right']} of {result['by_title']} by title"
    )
    assert result["errors"] == []
    assert result["stored"] == dict.fromkeys(("objects", "picture", "words"), result["objects"])
    assert result["by_picture_right"] == result["by_picture"]
    assert result["by_title_right"] >= RECALL * result["by_title"]
