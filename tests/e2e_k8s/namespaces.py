"""Namespaces that enforce the `restricted` pod security standard, and the pods that tests run in them.

Nothing outside a cluster needs to reach an address inside it: what asks the Service runs as a pod as well. Such a pod
uses the image under test for its Python; the script comes in a ConfigMap.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tests.e2e_k8s.cluster import CommandFailed, Json, helm, kubectl, wait_until

IMAGE = os.environ.get("K8S_IMAGE") or "localhost/multi2vec-openvino"
DEMO, OTHER = "demo", "random"

SCRIPTS = Path(__file__).parent / "scripts"
USER = 10001
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
POD_SECONDS = 120.0
NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")


class NoImage(Exception):
    """An image is neither on the nodes nor can it be pulled."""


@dataclass(frozen=True)
class Namespace:
    """One namespace."""

    name: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl in this namespace."""
        return kubectl("--namespace", self.name, *arguments, stdin=stdin)

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        """helm in this namespace."""
        return helm("--namespace", self.name, *arguments, stdin=stdin)

    def create(self, *objects: Json) -> None:
        """Make objects."""
        self.kubectl("create", "--filename=-", stdin="\n---\n".join(map(json.dumps, objects)))

    def get(self, kind: str, name: str) -> Json:
        """One object."""
        found: Json = json.loads(self.kubectl("get", kind, name, "--output=json"))
        return found

    def list(self, kind: str, selector: str = "") -> list[Json]:
        """All objects of a kind, or those with a label."""
        found: list[Json] = json.loads(self.kubectl("get", kind, f"--selector={selector}", "--output=json"))["items"]
        return found

    def proxy(self, pod: str, path: str) -> str:
        """GET `path` from one pod, by way of the API server."""
        return kubectl("get", "--raw", f"/api/v1/namespaces/{self.name}/pods/{pod}:8080/proxy{path}")


@contextmanager
def restricted_namespace() -> Iterator[Namespace]:
    """A new one; it goes with all that is in it."""
    namespace = Namespace(f"multi2vec-e2e-{uuid4().hex[:8]}")
    kubectl("create", "namespace", namespace.name)
    try:
        kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
        yield namespace
    finally:
        kubectl("delete", "namespace", namespace.name, "--wait=false")


class ScriptPod:
    """A pod that runs one of `scripts/` with some data."""

    def __init__(self, namespace: Namespace, script: str, data: Json, tag: str = DEMO) -> None:
        self.name = f"{script}-{uuid4().hex[:8]}"
        self._namespace = namespace
        files = {"script.py": (SCRIPTS / f"{script}.py").read_text("utf-8"), "data.json": json.dumps(data)}
        namespace.create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self.name}, "data": files},
            _script_pod(self.name, f"{IMAGE}:{tag}"),
        )

    @property
    def phase(self) -> str:
        """As Kubernetes calls it. Raises `NoImage`."""
        status = self._namespace.get("pod", self.name)["status"]
        for container in status.get("containerStatuses", ()):
            waiting = container["state"].get("waiting", {})
            if waiting.get("reason") in NO_IMAGE:
                raise NoImage(f"no image {container['image']} on the cluster: {waiting.get('message')}")
        return str(status["phase"])

    def log(self) -> str:
        """What the script printed."""
        return self._namespace.kubectl("logs", self.name)

    def wait_started(self) -> None:
        """Until the script runs."""
        wait_until(f"pod {self.name} runs", lambda: self.phase != "Pending", POD_SECONDS)

    def wait_done(self, seconds: float = POD_SECONDS) -> str:
        """Until the script ends well; gives what it printed."""
        wait_until(f"pod {self.name} ends", lambda: self.phase in ("Succeeded", "Failed"), seconds)
        assert self.phase == "Succeeded", self.log()
        return self.log()

    def terminate(self) -> None:
        """Ask the script to come to an end; its log stays."""
        order = "import os, signal; os.kill(1, signal.SIGTERM)"
        self._namespace.kubectl("exec", self.name, "--", "python", "-c", order)

    def delete(self) -> None:
        """Pod and script go."""
        self._namespace.kubectl("delete", f"pod/{self.name}", f"configmap/{self.name}", "--grace-period=1")


@contextmanager
def script_pod(namespace: Namespace, script: str, data: Json, tag: str = DEMO) -> Iterator[ScriptPod]:
    """A pod with a script, for as long as the block."""
    pod = ScriptPod(namespace, script, data, tag)
    try:
        pod.wait_started()
        yield pod
    finally:
        pod.delete()


def run_script(namespace: Namespace, script: str, data: Json, tag: str = DEMO) -> Json:
    """Run a script to its end; gives the JSON that it prints last."""
    with script_pod(namespace, script, data, tag) as pod:
        printed: Json = json.loads(pod.wait_done().splitlines()[-1])
        return printed


def describe(namespace: Namespace) -> str:
    """Pods, events and logs, to find out why a test failed."""
    parts = []
    for command in (
        ("get", "pods,deployments,horizontalpodautoscalers,poddisruptionbudgets", "--output=wide"),
        ("get", "events", "--sort-by=.lastTimestamp"),
        ("logs", "--selector=app.kubernetes.io/instance", "--prefix", "--tail=20"),
    ):
        try:
            parts.append("\n".join(namespace.kubectl(*command).splitlines()[-60:]))
        except CommandFailed as error:
            parts.append(str(error))
    return "\n\n".join(parts)


def _script_pod(name: str, image: str) -> Json:
    container = {
        "name": "script",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "/script/script.py", "/script/data.json"],
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "securityContext": CONTAINER_SECURITY,
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "script", "mountPath": "/script", "readOnly": True}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": [{"name": "script", "configMap": {"name": name}}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "test-script"}},
        "spec": spec,
    }
