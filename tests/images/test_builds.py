"""What build_images.sh makes of manifests and logs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from images import builds
from tests.server import DEMO

BUILDKIT = """\
#11 [converter 2/5] RUN sh /build/install.sh
#11 1.2 Collecting torch
#13 [packages 2/7] RUN python3 -m venv
#13 0.5 all is well here
#11 2.0 ERROR: Could not find a version that satisfies torch==99
#11 ERROR: executor failed running [/bin/sh -c sh /build/install.sh]: exit code: 1

#13 [packages 2/7] RUN python3 -m venv
#13 CANCELED
------
 > [converter 2/5] RUN sh /build/install.sh:
------
executor failed running [/bin/sh -c sh /build/install.sh]: exit code: 1
"""
WRAPPED = """\
#9 31.0 loading
#9 40.2 demo was not converted: the smallest cosine of text is 0.91, and that is
#9 40.2 below the floor of 0.9999
#9 ERROR: process "/bin/sh -c python" did not complete successfully: exit code: 1
"""
NOT_FOUND = """\
#3 [internal] load metadata for docker.io/library/python:3.12-slim
#3 ERROR: pulling from host registry-1.docker.io failed
------
failed to solve with frontend dockerfile.v0
"""
BUILDAH = """\
STEP 5/9: RUN python -m multi2vec convert
demo was not converted: the hub did not give it
time="2026-01-01T00:00:00Z" level=warning msg="Failed to shut down"
error building at STEP "RUN python -m multi2vec convert": error while running runtime: exit status 1
"""


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (BUILDKIT, "ERROR: Could not find a version that satisfies torch==99"),
        (
            WRAPPED,
            "demo was not converted: the smallest cosine of text is 0.91, and that is below the floor of 0.9999",
        ),
        (NOT_FOUND, "pulling from host registry-1.docker.io failed"),
        (BUILDAH, "demo was not converted: the hub did not give it"),
        ("denied: not allowed to push\n\n", "denied: not allowed to push"),
        ("", "the log is empty"),
    ],
)
def test_reason(log: str, expected: str) -> None:
    """The words of the step that failed, not of its neighbours and not the engine's own."""
    assert builds.reason(log) == expected


def test_labels_of_the_demo() -> None:
    """From the manifest as conversion writes it."""
    manifest = json.loads((DEMO / "manifest.json").read_text())
    labels = builds.labels(manifest)
    assert labels["io.github.multi2vec-openvino.model"] == "images/demo/checkpoint"
    assert labels["io.github.multi2vec-openvino.model.revision"] == "none"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["io.github.multi2vec-openvino.model.licence.non-commercial"] == "false"
    assert labels["io.github.multi2vec-openvino.model.weights"] == manifest["precision"]
    assert labels["io.github.multi2vec-openvino.fingerprint"] == manifest["fingerprint"]
    f32 = [outputs["dense"]["smallest_cosine"] for outputs in manifest["parity"]["f32"].values()]
    assert labels["io.github.multi2vec-openvino.parity"].startswith(f"f32 {min(f32):.7g}, bf16 ")
    mean = [outputs["dense"]["mean_cosine"] for outputs in manifest["parity"]["f32"].values()]
    assert labels["io.github.multi2vec-openvino.parity.mean"].startswith(f"f32 {min(mean):.7g}, bf16 ")


def test_the_decoder_of_videos_brings_a_licence_along() -> None:
    manifest = json.loads((DEMO / "manifest.json").read_text())
    label = "org.opencontainers.image.licenses"
    assert builds.labels(manifest, ["tracing"])[label] == "Apache-2.0"
    assert builds.labels(manifest, ["tracing", "video"])[label] == "Apache-2.0 AND GPL-3.0-or-later"


def test_a_licence_that_forbids_commercial_use() -> None:
    """It has a label of its own, which engines can filter by."""
    manifest = json.loads((DEMO / "manifest.json").read_text())
    labels = builds.labels(manifest | {"licence": "cc-by-nc-4.0", "non_commercial": True})
    assert labels["io.github.multi2vec-openvino.model.licence.non-commercial"] == "true"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0 AND CC-BY-NC-4.0"


def test_licences_without_a_name_of_spdx() -> None:
    """https://spdx.github.io/spdx-spec/v2.3/other-licensing-information-detected/"""
    assert builds.spdx("apple-amlr") == "LicenseRef-apple-amlr"
    assert builds.spdx("cc-by-nc") == "LicenseRef-cc-by-nc"


def test_parity() -> None:
    """The smallest of all modalities and outputs."""
    f32 = {"text": {"dense": {"smallest_cosine": 0.99999}}, "image": {"dense": {"smallest_cosine": 0.9999}}}
    assert builds.parity({"parity": {"f32": f32, "bf16": f32}}) == "f32 0.9999, bf16 0.9999"


@pytest.mark.parametrize(
    ("bf16", "shown"),
    [
        (None, "not measured"),
        ("not measured: this CPU has no bf16", "not measured"),
        ("not used: text vectors, bf16: 'a cat' has cosine 0.990000, the floor is 0.999", "not used"),
    ],
)
def test_parity_that_has_no_figures(bf16: str | None, shown: str) -> None:
    measured = {"f32": {"text": {"dense": {"smallest_cosine": 0.99999}}}, "bf16": bf16}
    assert builds.parity({"parity": measured}) == f"f32 0.99999, bf16 {shown}"


def test_fingerprint(tmp_path: Path) -> None:
    """It knows names, contents and settings, and no order of a file system or caches of Python's."""
    folder = tmp_path / "folder"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "a").write_text("one")
    before = builds.fingerprint([str(folder)], b"")
    (folder / "__pycache__" / "a.pyc").write_text("compiled")
    assert builds.fingerprint([str(folder), str(tmp_path / "absent")], b"") == before
    assert builds.fingerprint([str(folder)], b"DEVICES=gpu") != before
    (folder / "a").rename(folder / "b")
    assert builds.fingerprint([str(folder)], b"") != before


def test_it_runs_wherever_there_is_python() -> None:
    """The machine that builds has no packages of ours."""
    specification = importlib.util.find_spec("images.builds")
    assert specification is not None
    assert specification.origin is not None
    imports = [line for line in Path(specification.origin).read_text().splitlines() if "import " in line[:40]]
    assert imports
    assert not any("multi2vec" in line or "numpy" in line for line in imports)
