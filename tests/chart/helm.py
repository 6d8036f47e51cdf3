"""Helm, run on this chart."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "helm"
RELEASE = "r"
NAMESPACE = "search"
FULLNAME = f"{RELEASE}-multi2vec-openvino"

Values = dict[str, Any]
Object = dict[str, Any]


class Refused(Exception):
    """Helm ended with an error; the message is what it wrote."""


def program() -> str | None:
    """Helm from the variable HELM or from PATH."""
    return shutil.which(os.environ.get("HELM") or "helm")


def run(*arguments: str | Path, values: Values | None = None) -> str:
    """Helm's output for the chart with `values`."""
    command = [program() or "helm", *map(str, arguments)]
    # JSON is YAML, and unlike YAML it says which of 1 and "1" is meant.
    stdin = json.dumps(values or {})
    done = subprocess.run([*command, "--values", "-"], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


def render(values: Values | None = None, *options: str, release: str = RELEASE, chart: Path = CHART) -> list[Object]:
    """The objects that `helm template` makes."""
    out = run("template", release, chart, "--namespace", NAMESPACE, *options, values=values)
    return [found for found in yaml.safe_load_all(out) if found]


class Objects:
    """Rendered objects by kind and name."""

    def __init__(self, found: list[Object]) -> None:
        self.all = found

    def __getitem__(self, key: tuple[str, str]) -> Object:
        kind, name = key
        (one,) = (found for found in self.of(kind) if found["metadata"]["name"] == name)
        return one

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [found for found in self.all if found["kind"] == kind]

    def one(self, kind: str) -> Object:
        """The only object of a kind."""
        (found,) = self.of(kind)
        return found


def chart(values: Values | None = None, **options: Any) -> Objects:
    """The rendered chart."""
    return Objects(render(values, **options))


def container(deployment: Object) -> Object:
    """The container of a Deployment's pods."""
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(deployment: Object) -> dict[str, Any]:
    """The variables of a Deployment's container; those without a value as they are written."""
    return {entry["name"]: entry.get("value", entry) for entry in container(deployment)["env"]}
