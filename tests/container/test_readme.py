"""What the README tells people to look at in an image is there."""

from __future__ import annotations

import json
import re
import subprocess

from multi2vec import manifest as manifests
from tests.container.images import DEMO
from tests.server import ROOT

README = (ROOT / "README.md").read_text()


def test_the_commands_that_verify_an_image() -> None:
    shown = re.search(r"<!-- test: verify -->\n```sh\n(.*?)```", README, re.DOTALL)
    assert shown
    script = shown[1].replace("multi2vec-openvino:demo", DEMO)
    done = subprocess.run(["bash", "-e", "-c", script], capture_output=True, text=True, check=True, timeout=120)
    labels, rest = done.stdout.split("\n", 1)
    assert json.loads(labels)["io.github.multi2vec-openvino.tag"] == "demo"
    listed, end = json.JSONDecoder().raw_decode(rest)
    assert listed["bomFormat"] == "CycloneDX"
    sums = {name: digest for digest, name in (line.split() for line in rest[end:].split("\n") if line)}
    model = next(part for part in listed["components"] if part["type"] == "machine-learning-model")
    assert {part["name"]: part["hashes"][0]["content"] for part in model["components"]}.items() <= sums.items()
    assert set(sums) - {part["name"] for part in model["components"]} == {manifests.FILE_NAME}
    assert "demo is ready" in done.stderr
