"""The rendered objects have no severe finding of trivy's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import render
from tests.chart.matrix import MATRIX
from tests.needs import lacking

TRIVY = Path(sys.executable).with_name("trivy")
SEVERE = ("HIGH", "CRITICAL")


@pytest.fixture(scope="module", autouse=True)
def trivy_is_there() -> None:
    """Trivy, which is not published for every machine."""
    if not TRIVY.exists():
        lacking("there is no trivy for this machine: the chart was not searched for weaknesses")


def findings(folder: Path) -> list[str]:
    """The severe findings in the manifests of a folder, each as `file: id title`."""
    command = [
        TRIVY,
        "config",
        "--quiet",
        "--skip-check-update",
        "--format",
        "json",
        "--severity",
        ",".join(SEVERE),
        folder,
    ]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    scanned = report["Results"]
    assert {result["Target"] for result in scanned} == {path.name for path in folder.iterdir()}
    return [
        f"{result['Target']}: {found['ID']} {found['Title']}"
        for result in scanned
        for found in result.get("Misconfigurations", [])
    ]


def write(folder: Path, name: str, objects: object) -> None:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(objects))


def test_nothing_severe(tmp_path: Path) -> None:
    for name, values in MATRIX.items():
        write(tmp_path, name.replace(" ", "-"), render(values))
    assert findings(tmp_path) == []


def test_something_severe_would_be_found(tmp_path: Path) -> None:
    objects = render()
    (deployment,) = (found for found in objects if found["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"]["privileged"] = True
    write(tmp_path, "privileged", objects)
    assert any("rivileged" in found for found in findings(tmp_path))
