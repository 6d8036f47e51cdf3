"""The base image is an argument of the build, and a digest pins it."""

from __future__ import annotations

import subprocess

from tests.images.engines.conftest import BASE_IMAGE, Engine, run
from tests.server import ROOT


def build(docker: Engine, base: str) -> subprocess.CompletedProcess[str]:
    """The Dockerfile's first stage on that base."""
    command = ("docker", "build", "--progress=plain", "--target=base", f"--build-arg=BASE_IMAGE={base}", str(ROOT))
    return run(*command, environment={**docker.environment, "DOCKER_BUILDKIT": "1"}, check=False)


def test_a_digest_pins_it(docker: Engine, registry: str) -> None:
    name = f"{registry}/python-base"
    docker("tag", BASE_IMAGE, f"{name}:latest")
    try:
        docker("push", f"{name}:latest")
        pinned = docker("image", "inspect", "--format", "{{index .RepoDigests 0}}", f"{name}:latest").strip()
        assert pinned.startswith(f"{name}@sha256:")
        done = build(docker, pinned)
        assert done.returncode == 0, done.stderr
        assert pinned in done.stderr

        other = f"{name}@sha256:{'0' * 64}"
        refused = build(docker, other)
        assert refused.returncode != 0
        assert "not found" in refused.stderr
    finally:
        docker("image", "rm", f"{name}:latest")
