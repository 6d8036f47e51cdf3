"""build_images.sh with Docker and the real Dockerfile: a random-weight checkpoint."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests import checkpoints
from tests.checkpoints.clip_layouts import SMALL_TEXT
from tests.images.conftest import row
from tests.images.engines.conftest import Engine, surroundings

TAG = "openai-clip-vit-base-patch32"
DIMENSIONS = 512
PREFIX = "io.github.multi2vec-openvino"


def test_a_checkpoint_in_the_hubs_layout(docker: Engine, repository: Path, repo: str, tmp_path: Path) -> None:
    """--source: the image holds that checkpoint's model, converted and compared."""
    # As wide as the recipe promises, else the conversion would refuse it.
    source = checkpoints.clip(tmp_path / "checkpoint", text={**SMALL_TEXT, "hidden_size": DIMENSIONS})
    done = docker.build(repository, TAG, "--repo", repo, "--source", str(source))
    assert row(done.stdout, TAG)[-1] == "ok", done.stderr + (repository / "build" / TAG / "log").read_text()[-3000:]

    folder = repository / "build" / TAG
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["tag"], manifest["dimensions"]) == (TAG, DIMENSIONS)
    assert json.loads((folder / "sbom.cdx.json").read_text())["bomFormat"] == "CycloneDX"
    image = json.loads(docker("image", "inspect", f"{repo}:{TAG}"))[0]
    labels = image["Config"]["Labels"]
    assert labels[f"{PREFIX}.model"] == "openai/clip-vit-base-patch32 (local folder)"
    assert labels[f"{PREFIX}.model.licence"] == "mit"
    assert float(labels[f"{PREFIX}.parity"].split()[1].rstrip(",")) > 0.999
    inside = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "--entrypoint", "cat", f"{repo}:{TAG}", "/model/manifest.json"],
        env=surroundings(docker.environment),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert inside.stdout == (folder / "manifest.json").read_bytes()
