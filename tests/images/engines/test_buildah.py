"""build_images.sh with buildah and the real Dockerfile: the demo. Takes some 20 GB of disk while it runs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.images.conftest import row
from tests.images.engines.conftest import Engine

PREFIX = "io.github.multi2vec-openvino"


def test_the_demo_with_buildah(buildah: Engine, repository: Path) -> None:
    """The same Dockerfile; its health check and labels are there."""
    done = buildah.build(repository, "demo")
    assert row(done.stdout, "demo")[-1] == "ok", (
        done.stderr + (repository / "build" / "demo" / "log").read_text()[-3000:]
    )
    described = json.loads(buildah("inspect", "--type", "image", "localhost/multi2vec-openvino:demo"))
    configuration = described["Docker"]["config"]
    assert configuration["User"].startswith("10001")
    assert configuration["Healthcheck"]["Test"] == ["CMD", "python", "-m", "multi2vec", "health"]
    assert configuration["Labels"][f"{PREFIX}.tag"] == "demo"
    assert f"{PREFIX}.parity" in configuration["Labels"]
