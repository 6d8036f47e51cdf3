"""API keys out of a Secret: callers without one are refused, the chart's own test shows one."""

from __future__ import annotations

from typing import Any

from tests.e2e_k8s.namespaces import Namespace, run_script
from tests.e2e_k8s.releases import installed, values

SECRET = "vectors-keys"
# As helm/README.md has it.
KEYS: dict[str, Any] = {
    "env": {"API_KEYS_FILE": "/keys/keys"},
    "extraVolumes": [{"name": "keys", "secret": {"secretName": SECRET}}],
    "extraVolumeMounts": [{"name": "keys", "mountPath": "/keys", "readOnly": True}],
}


def test_a_release_with_keys(own_namespace: Namespace) -> None:
    """Its pods become ready, since probes need no key."""
    keys = "# of Weaviate\nfirst\nsecond\n"
    own_namespace.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": {"keys": keys}}
    )
    with installed(own_namespace, values(**KEYS)) as release:
        question = {"host": release.service, "port": 8080, "texts": ["a red circle"]}
        answer = run_script(own_namespace, "post", question)
        assert (answer["status"], list(answer["body"])) == (401, ["error"])
        assert "Succeeded" in own_namespace.helm("test", release.name, "--timeout=60s")
