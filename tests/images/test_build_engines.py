"""build_images.sh: what differs between docker, podman and buildah."""

from __future__ import annotations

import pytest

from tests.images.conftest import Workspace, row, values


@pytest.mark.parametrize("engine", ["podman", "buildah"])
def test_other_engines_keep_the_health_check(workspace: Workspace, engine: str) -> None:
    """Their own format has none."""
    done = workspace.run("one", "--engine", engine)
    assert row(done.stdout, "one")[-1] == "ok"
    for call in workspace.calls(engine, "build"):
        assert values(call, "--format") == ["docker"]
        assert "--layers" in call
    assert not workspace.calls("docker", "build")


def test_the_first_engine_that_works(workspace: Workspace) -> None:
    """Docker may be installed and not run."""
    workspace.set("broken", "docker")
    assert workspace.run("one").returncode == 0
    assert workspace.calls("podman", "build")
    workspace.set("broken", "docker", "podman", "buildah")
    assert "neither docker nor podman nor buildah works here" in workspace.run("one").stderr
    refused = workspace.run("one", "--engine", "podman")
    assert refused.returncode == 2
    assert "podman does not work here" in refused.stderr


def test_push(workspace: Workspace) -> None:
    """All three names, those that move last; the table says so."""
    done = workspace.run("one", "--push", "--registry", "registry.example.org")
    prefix = "registry.example.org/multi2vec-openvino:one"
    assert [call[-1] for call in workspace.calls("docker", "push")] == [f"{prefix}-1.2.3", prefix, f"{prefix}-latest"]
    assert row(done.stdout, "one")[-1] == "pushed"


def test_several_platforms_with_docker(workspace: Workspace) -> None:
    """buildx builds and pushes them; the manifest comes from this machine's own platform."""
    platforms = "linux/amd64,linux/arm64"
    refused = workspace.run("one", "--platform", platforms)
    assert refused.returncode == 2
    assert "--push" in refused.stderr
    done = workspace.run("one", "--platform", platforms, "--push", "--registry", "registry.example.org")
    assert done.returncode == 0, done.stderr
    first, second = workspace.calls("docker", "buildx", "build")
    assert values(first, "--platform") == []
    assert values(second, "--platform") == [platforms]
    assert "--push" in second
    assert len(values(second, "--tag")) == 3
    assert not workspace.calls("docker", "push")


@pytest.mark.parametrize("engine", ["podman", "buildah"])
def test_several_platforms_elsewhere(workspace: Workspace, engine: str) -> None:
    """They are kept and pushed as a list of manifests, which replaces an older one."""
    platforms = "linux/amd64,linux/arm64"
    options = ("--engine", engine, "--platform", platforms, "--push", "--registry", "registry.example.org")
    assert workspace.run("one", *options).returncode == 0
    prefix = "registry.example.org/multi2vec-openvino:one"
    _, second = workspace.calls(engine, "build")
    assert (values(second, "--platform"), values(second, "--manifest")) == ([platforms], [f"{prefix}-1.2.3"])
    assert workspace.calls(engine, "manifest", "rm") == [[engine, "manifest", "rm", f"{prefix}-1.2.3"]]
    assert [call[-1] for call in workspace.calls(engine, "tag")] == [prefix, f"{prefix}-latest"]
    pushed = [call[-1] for call in workspace.calls(engine, "manifest", "push", "--all")]
    assert pushed == [f"docker://{prefix}-1.2.3", f"docker://{prefix}", f"docker://{prefix}-latest"]
