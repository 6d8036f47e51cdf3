"""The chart's README says what the chart does."""

from __future__ import annotations

import re

import pytest
import yaml

import multi2vec
from tests.chart import values_table
from tests.chart.helm import CHART, chart

README = (CHART / "README.md").read_text()
EXAMPLES = re.findall(r"```yaml values\n(.*?)```", README, re.DOTALL)


def test_every_value_is_described() -> None:
    missing = [".".join(row.path) for row in values_table.rows() if not row.text]
    assert not missing, f"no comment above: {', '.join(missing)}"


def test_the_table() -> None:
    shown = re.search(r"<!-- values -->\n(.*?)<!-- /values -->", README, re.DOTALL)
    assert shown
    table = values_table.table()
    assert shown[1].strip() == table, "write the output of `python -m tests.chart.values_table` into helm/README.md"


def test_per_model_values_stand_together() -> None:
    keys = [row.path[0] for row in values_table.rows()]
    shared = list(dict.fromkeys(keys[keys.index("image") : len(keys) - keys[::-1].index("keda")]))
    alone = set(keys) - set(shared)
    assert alone == {
        "nameOverride",
        "fullnameOverride",
        "commonLabels",
        "models",
        "serviceAccount",
        "networkPolicy",
        "serviceMonitor",
        "ingress",
    }


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split(":")[0])
def test_examples(example: str) -> None:
    found = chart(yaml.safe_load(example))
    assert found.of("Deployment")


def test_the_address_for_weaviate() -> None:
    found = chart(release="vectors").one("Service")
    assert f"http://{found['metadata']['name']}.vectors.svc:{found['spec']['ports'][0]['port']}" in README


def test_versions() -> None:
    meta = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert meta["appVersion"] == multi2vec.__version__
    assert f"Kubernetes ≥ {meta['kubeVersion'].removeprefix('>=').removesuffix('.0-0')}" in README
