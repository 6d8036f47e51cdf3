"""What people read after `helm install`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import CHART, FULLNAME, NAMESPACE, Values, render


@pytest.fixture(scope="module")
def notes_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with its notes as an object: `helm template` shows no notes, `helm install` wants a cluster."""
    copy = tmp_path_factory.mktemp("notes") / "helm"
    shutil.copytree(CHART, copy)
    notes = copy / "templates" / "NOTES.txt"
    (copy / "templates" / "_notes.tpl").write_text('{{ define "notes" }}' + notes.read_text() + "{{ end }}")
    (copy / "templates" / "notes.yaml").write_text('notes: {{ include "notes" . | toJson }}\n')
    notes.unlink()
    return copy


def notes(chart: Path, values: Values | None = None) -> str:
    (found,) = render(values, "--show-only", "templates/notes.yaml", chart=chart)
    return str(found["notes"])


def weaviate(text: str) -> list[Values]:
    """The values for Weaviate's chart, as they stand in the notes."""
    return [yaml.safe_load(block) for block in re.findall(r"^modules:\n(?:  .*\n)+?(?=\n)", text, re.MULTILINE)]


def test_one_model(notes_chart: Path) -> None:
    text = notes(notes_chart)
    url = f"http://{FULLNAME}.{NAMESPACE}.svc:8080"
    assert weaviate(text) == [{"modules": {"multi2vec-clip": {"enabled": False, "inferenceUrl": url}}}]
    assert f"kubectl --namespace {NAMESPACE} port-forward service/{FULLNAME} 8080:8080" in text
    assert f"helm test r --namespace {NAMESPACE}" in text
    assert "One replica" in text


@pytest.mark.parametrize("values", [{"replicas": 2}, {"autoscaling": {"enabled": True}}])
def test_no_warning_without_need(notes_chart: Path, values: Values) -> None:
    assert "One replica" not in notes(notes_chart, values)


def test_several_models(notes_chart: Path) -> None:
    values: Values = {
        "models": [{"tag": "demo"}, {"tag": "random", "name": "b", "service": {"port": 80}}],
        "ingress": {"enabled": True, "hosts": ["a.example.com"]},
    }
    text = notes(notes_chart, values)
    urls = [found["modules"]["multi2vec-clip"]["inferenceUrl"] for found in weaviate(text)]
    assert urls == [f"http://{FULLNAME}.{NAMESPACE}.svc:8080", f"http://{FULLNAME}-b.{NAMESPACE}.svc:80"]
    assert "on the Ingress: a.example.com/\n" in text
    assert "on the Ingress: a.example.com/b\n" in text
    assert "port-forward" in text
    assert "inferenceUrl of its own" in text
