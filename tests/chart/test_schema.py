"""Values that are wrong are refused before anything is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from tests.chart.helm import CHART, Refused, Values, chart, render

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS: Values = yaml.safe_load((CHART / "values.yaml").read_text())

# Keys of the release as a whole.
RELEASE = {
    "global", "enabled", "nameOverride", "fullnameOverride", "commonLabels", "models",
    "serviceAccount", "networkPolicy", "serviceMonitor", "ingress",
}  # fmt: skip
# Maps of the user's own keys.
FREE = {("resources", "requests"), ("resources", "limits")}


def maps(values: Values, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of the maps in the values whose keys the chart knows."""
    yield above
    for key, value in values.items():
        if isinstance(value, dict) and value and (*above, key) not in FREE:
            yield from maps(value, (*above, key))


def nested(path: tuple[str, ...], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


MAPS = list(maps(DEFAULTS))


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    found = list(objects(SCHEMA))
    assert len(found) > 20
    assert all(one["additionalProperties"] is False for one in found)


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    assert SCHEMA["properties"].keys() - {"global", "enabled"} == DEFAULTS.keys()
    assert set(SCHEMA["required"]) == DEFAULTS.keys()


def test_a_model_may_set_what_is_not_the_releases() -> None:
    keys = SCHEMA["definitions"]["model"]["properties"]
    assert keys.keys() - {"tag", "name", "ingressPath"} == DEFAULTS.keys() - RELEASE
    for key in keys.keys() & DEFAULTS.keys():
        assert keys[key] == SCHEMA["properties"][key]


@pytest.mark.parametrize("path", MAPS, ids=".".join)
def test_unknown_keys_are_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="additional properties 'misspelt' not allowed"):
        render(nested(path, {"misspelt": 1}))


@pytest.mark.parametrize("path", [path for path in MAPS if not set(path[:1]) & RELEASE], ids=".".join)
def test_unknown_keys_of_a_model_are_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="additional properties 'misspelt' not allowed"):
        render({"models": [{"tag": "demo", **nested(path, {"misspelt": 1})}]})


@pytest.mark.parametrize(
    "entry",
    [
        {"imagePullSecrets": [{"name": "a", "misspelt": 1}]},
        {"extraEnv": [{"name": "A", "misspelt": 1}]},
        {"extraEnvFrom": [{"misspelt": {"name": "a"}}]},
        {"tolerations": [{"misspelt": 1}]},
        {"affinity": {"misspelt": {}}},
        {"topologySpreadConstraints": [{"misspelt": 1}]},
        {"autoscaling": {"behavior": {"misspelt": {}}}},
        {"resources": {"misspelt": {}}},
        {"securityContext": {"capabilities": {"misspelt": []}}},
    ],
    ids=lambda entry: next(iter(entry)),
)
def test_unknown_keys_of_what_is_empty_by_default_are_refused(entry: Values) -> None:
    for values in (entry, {"models": [{"tag": "demo", **entry}]}):
        with pytest.raises(Refused, match="additional properties 'misspelt' not allowed"):
            render(values)


@pytest.mark.parametrize(
    "values",
    [
        {"models": []},
        {"models": [{}]},
        {"models": [{"tag": ""}]},
        {"models": [{"tag": "a b"}]},
        {"models": [{"tag": "-a"}]},
        {"models": [{"tag": 1}]},
        {"models": [{"tag": "x" * 129}]},
        {"models": ["demo"]},
        {"models": {"tag": "demo"}},
        {"models": [{"tag": "demo", "name": "Upper"}]},
        {"models": [{"tag": "demo", "name": "x" * 41}]},
        {"models": [{"tag": "demo", "replicas": -1}]},
        {"models": [{"tag": "demo", "ingressPath": "clip"}]},
        {"models": [{"tag": "demo", "ingressPath": "/clip/"}]},
        {"models": [{"tag": "demo", "global": {}}]},
        {"models": [{"tag": "demo", "ingress": {"enabled": True}}]},
        {"replicas": -1},
        {"replicas": "2"},
        {"replicas": 1.5},
        {"replicas": None},
        {"image": {"digest": "sha256:abc"}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"image": {"tag": "demo"}},
        {"image": None},
        {"env": {"lower": "x"}},
        {"env": {"LIST": ["x"]}},
        {"env": [{"name": "A", "value": "b"}]},
        {"extraEnv": [{"value": "b"}]},
        {"extraEnv": {"A": "b"}},
        {"resources": {"limits": {"memory": ["1Gi"]}}},
        {"tmp": {"sizeLimit": "many"}},
        {"accelerator": {"kind": "cuda"}},
        {"accelerator": {"count": 0}},
        {"drain": {"seconds": -1}},
        {"drain": {"seconds": "2s"}},
        {"strategy": {"type": "BlueGreen"}},
        {"probes": {"liveness": {"periodSeconds": 0}}},
        {"podSecurityContext": {"runAsNonRoot": "yes"}},
        {"securityContext": {"readOnlyRootFilesystem": "true"}},
        {"podLabels": {"app.kubernetes.io/component": "mine"}},
        {"podLabels": {"a": 1}},
        {"commonLabels": {"app.kubernetes.io/name": "mine"}},
        {"service": {"port": 0}},
        {"service": {"port": 65536}},
        {"service": {"type": "ExternalName"}},
        {"podDisruptionBudget": {"minAvailable": "half"}},
        {"autoscaling": {"minReplicas": 0}},
        {"autoscaling": {"cpuUtilization": 0}},
        {"keda": {"triggers": [{"type": "cron"}]}},
        {"networkPolicy": {"from": [{}]}},
        {"networkPolicy": {"from": {"podSelector": {}}}},
        {"serviceMonitor": {"interval": "often"}},
        {"ingress": {"hosts": "a.example.com"}},
        {"ingress": {"enabled": "yes"}},
        {"nameOverride": "Upper"},
        {"fullnameOverride": "-x"},
        {"fullnameOverride": "x" * 55},
    ],
    ids=json.dumps,
)
def test_wrong_values_are_refused(values: Values) -> None:
    with pytest.raises(Refused, match="values don't meet the specifications of the schema"):
        render(values)


def test_the_values_of_an_umbrella_chart_are_taken() -> None:
    assert chart({"global": {"anything": {"at": ["all"]}}, "enabled": True}).one("Deployment")
