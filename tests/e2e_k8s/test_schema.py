"""Wrong values are refused before anything happens in the cluster."""

from __future__ import annotations

import json

import pytest

from tests.e2e_k8s.cluster import CommandFailed, Json
from tests.e2e_k8s.namespaces import DEMO, Namespace
from tests.e2e_k8s.releases import Release, model, values

WRONG: dict[str, tuple[Json, str]] = {
    "misspelt key": (values(replica=2), "replica"),
    "misspelt key in a model": (values(model(DEMO, replcas=2)), "replcas"),
    "misspelt key deep inside": (values(autoscaling={"enable": True}), "enable"),
    "text for a number": (values(replicas="two"), "replicas"),
    "negative": (values(replicas=-1), "replicas"),
    "no tag": (values({"name": "nameless"}), "tag"),
    "no models": ({**values(), "models": []}, "models"),
    "a list as environment": (values(env=[{"name": "THREADS", "value": "1"}]), "env"),
    "no such policy": ({**values(), "image": {**values()["image"], "pullPolicy": "Sometimes"}}, "pullPolicy"),
    "negative limit": (values(maxRequestsPerConnection=-1), "maxRequestsPerConnection"),
    "two models, one name": (values(model(DEMO, name="a"), model(DEMO, name="a")), "a"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_change_nothing(release: Release, namespace: Namespace, wrong: str) -> None:
    """An upgrade with them fails, names the key, and leaves the release at its revision with its pods."""
    bad, culprit = WRONG[wrong]
    before = revision(release), set(release.ready_pods())
    with pytest.raises(CommandFailed, match=rf"\b{culprit}\b"):
        Release(namespace, bad, release.name).upgrade(bad)
    assert (revision(release), set(release.ready_pods())) == before


def test_nothing_is_installed_with_wrong_values(own_namespace: Namespace) -> None:
    """Not even a part."""
    with pytest.raises(CommandFailed, match="schema"):
        Release(own_namespace, values(replica=2)).install()
    assert own_namespace.list("deployments,services,pods") == []
    assert json.loads(own_namespace.helm("list", "--all", "--output=json")) == []


def revision(release: Release) -> int:
    """The number of the release's last revision, failed ones too."""
    return int(json.loads(release.namespace.helm("history", release.name, "--output=json"))[-1]["revision"])
