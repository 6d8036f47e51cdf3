"""build_images.sh: the calls of the engine, the table it prints, and what is built again."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.images.conftest import RECIPES, VERSION_FILE, Workspace, row, values

WAIT_SECONDS = 30


def test_all_recipes_by_name(workspace: Workspace) -> None:
    """Without a TAG every recipe is built, in two passes: the manifest, then the image with labels of it."""
    done = workspace.run("--registry", "registry.example.org/team/", "--repo", "clip")
    assert done.returncode == 0, done.stderr
    builds = workspace.calls("docker", "build")
    assert [values(call, "--target") for call in builds] == [["manifest"], []] * 3
    assert sorted(values(call, "--build-arg")[0] for call in builds[::2]) == sorted(f"TAG={name}" for name in RECIPES)
    for name in RECIPES:
        size, _, parity, result = row(done.stdout, name)[1:]
        assert (size, parity, result) == ("412 MB", "f32 0.9999999, bf16 0.99991", "ok")
    assert done.stdout.splitlines()[0].split() == ["TAG", "SIZE", "TIME", "PARITY", "RESULT"]
    assert not workspace.calls("docker", "push")


def test_the_names_and_labels_of_an_image(workspace: Workspace) -> None:
    """Three names, and what the manifest says."""
    assert workspace.run("two", "--registry", "registry.example.org/team", "--version", "9.8").returncode == 0
    first, second = workspace.calls("docker", "build")
    prefix = "registry.example.org/team/multi2vec-openvino:two"
    assert values(first, "--tag") == []
    assert values(second, "--tag") == [f"{prefix}-9.8", prefix, f"{prefix}-latest"]
    assert sorted(values(second, "--label")) == [
        "io.github.multi2vec-openvino.fingerprint=0123456789abcdef",
        "io.github.multi2vec-openvino.model.licence.non-commercial=false",
        "io.github.multi2vec-openvino.model.licence=mit",
        "io.github.multi2vec-openvino.model.revision=0123abc",
        "io.github.multi2vec-openvino.model.weights=fp16",
        "io.github.multi2vec-openvino.model=somebody/model",
        "io.github.multi2vec-openvino.parity.mean=f32 1, bf16 0.99997",
        "io.github.multi2vec-openvino.parity=f32 0.9999999, bf16 0.99991",
        "io.github.multi2vec-openvino.tag=two",
        "org.opencontainers.image.licenses=Apache-2.0 AND MIT",
        "org.opencontainers.image.version=9.8",
    ]
    assert json.loads((workspace.root / "build/two/manifest.json").read_text())["tag"] == "two"


def test_the_version_is_the_packages_without_git(workspace: Workspace) -> None:
    """And git's where there is a tag."""
    workspace.run("one")
    assert "multi2vec-openvino:one-1.2.3" in values(workspace.calls("docker", "build")[1], "--tag")


def test_both_builds_get_the_same_arguments(workspace: Workspace) -> None:
    """Only set variables are handed over; what follows -- goes to both builds, or the second would find no cache."""
    variables = {"BASE_IMAGE": "somewhere/python:3.12", "TORCH_INDEX": "", "DEVICES": "cpu,gpu", "EXTRAS": "tracing"}
    workspace.run("one", "--platform", "linux/arm64", "--", "--network", "host", **variables)
    for call in workspace.calls("docker", "build"):
        expected = ["TAG=one", "VERSION=1.2.3", "BASE_IMAGE=somewhere/python:3.12", "DEVICES=cpu,gpu", "EXTRAS=tracing"]
        assert values(call, "--build-arg") == expected
        assert values(call, "--network") == ["host"]
        assert values(call, "--platform") == ["linux/arm64"]


def test_with_a_decoder_of_videos(workspace: Workspace) -> None:
    """--video: other names, a folder of its own, the extra, and the licence that comes with it."""
    assert workspace.run("one").returncode == 0
    workspace.forget()
    done = workspace.run("one", "--video", EXTRAS="tracing")
    assert row(done.stdout, "one-video")[-1] == "ok", done.stderr
    first, second = workspace.calls("docker", "build")
    for call in (first, second):
        assert values(call, "--build-arg") == ["TAG=one", "VERSION=1.2.3", "EXTRAS=tracing video"]
    prefix = "multi2vec-openvino:one-video"
    assert values(second, "--tag") == [f"{prefix}-1.2.3", prefix, f"{prefix}-latest"]
    assert "org.opencontainers.image.licenses=Apache-2.0 AND MIT AND GPL-3.0-or-later" in values(second, "--label")
    assert (workspace.root / "build" / "one-video" / "manifest.json").exists()
    # Neither is the other, and both stay built, however the extras are written.
    assert row(workspace.run("one").stdout, "one")[-1] == "already built"
    for extras in ("tracing video", "video,tracing", "video tracing video"):
        assert row(workspace.run("one", EXTRAS=extras).stdout, "one-video")[-1] == "already built"
    assert row(workspace.run("one", "--video").stdout, "one-video")[-1] == "ok"


def test_why_an_image_with_a_decoder_failed(workspace: Workspace) -> None:
    """The reason is in that image's own log."""
    workspace.set("fails", "one")
    done = workspace.run("one", "two", "--video")
    assert row(done.stdout, "one-video")[-1] == "one was not converted: the hub is away"
    assert row(done.stdout, "two-video")[-1] == "not started: another one failed"


def test_an_extra_that_there_is_not(workspace: Workspace) -> None:
    """A misspelt one is found before anything is built."""
    refused = workspace.run("one", EXTRAS="tracing videos")
    assert refused.returncode == 2
    assert "EXTRAS takes tracing and video, not videos" in refused.stderr
    assert not workspace.calls("docker", "build")


def test_the_token_is_a_secret(workspace: Workspace) -> None:
    """It reaches the build in a file that only its owner reads, and stays nowhere."""
    assert workspace.run("one", HF_TOKEN="hf_verysecret").returncode == 0
    assert (workspace.state / "secret").read_text() == "600 hf_verysecret"
    assert "hf_verysecret" not in (workspace.state / "calls").read_text()
    kept = [path for path in (workspace.root / "build").rglob("*") if path.is_file()]
    assert {path.name for path in kept} == {"log", "done", "manifest.json"}
    assert all("hf_verysecret" not in path.read_text() for path in kept)


def test_a_checkpoint_of_ones_own(workspace: Workspace, tmp_path: Path) -> None:
    """--source: it lies in the context where conversion looks for it, with all that the Dockerfile needs."""
    blob = tmp_path / "blobs" / "0123"
    blob.parent.mkdir()
    blob.write_text("weights")
    source = tmp_path / "a checkpoint"
    source.mkdir()
    (source / "model.safetensors").symlink_to(blob)
    assert workspace.run("one", "--source", str(source)).returncode == 0
    contexts = [json.loads(line) for line in (workspace.state / "contexts").read_text().splitlines()]
    assert len(contexts) == 2
    for context in contexts:
        expected = {"Dockerfile", ".dockerignore", "LICENSE", "requirements/serve.txt", VERSION_FILE}
        assert set(context) >= {*expected, "images/one.toml", "images/one/checkpoint/model.safetensors"}
    assert not (workspace.root / "images" / "one").exists()
    assert blob.read_text() == "weights"
    assert sorted(path.name for path in (workspace.root / "build").iterdir()) == ["one"]


def test_a_model_by_another_name(workspace: Workspace) -> None:
    """An alias of a recipe, or its repository on the hub: the image has the recipe's tag."""
    (workspace.root / "images" / "two.toml").write_text('aliases = ["Group/two"]\n[source]\nrepository = "owner/two"\n')
    for name in ("Group/two", "owner/two"):
        workspace.run(name, "--force")
        assert [values(call, "--build-arg")[0] for call in workspace.calls("docker", "build")] == ["TAG=two"] * 2
        assert "multi2vec-openvino:two" in values(workspace.calls("docker", "build")[1], "--tag")
        workspace.forget()
    assert "a TAG is named twice" in workspace.run("two", "owner/two").stderr


def test_a_custom_image(workspace: Workspace) -> None:
    """A model without a recipe, by the reference's variables; its TAG is the user's."""
    variables = {"CLIP_MODEL_NAME": "somebody/their-clip", "TRUST_REMOTE_CODE": "true"}
    assert workspace.run("ours", **variables).returncode == 0
    handed = values(workspace.calls("docker", "build")[0], "--build-arg")
    assert handed[2:] == ["CLIP_MODEL_NAME=somebody/their-clip", "TRUST_REMOTE_CODE=true"]
    for tags in ([], ["one", "two"]):
        refused = workspace.run(*tags, **variables)
        assert refused.returncode == 2
        assert "CLIP_MODEL_NAME is set, which makes one custom image: name one TAG" in refused.stderr
    refused = workspace.run("one", MODEL_NAME="somebody/their-texts")
    assert refused.returncode == 2
    assert "MODEL_NAME is set, but there is a recipe for one" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["thre"], "there is no recipe for 'thre'; near it are three ("),
        (["../one"], "there is no recipe for '../one'"),
        (["one", "one"], "a TAG is named twice"),
        (["--fast"], "there is no option --fast"),
        (["--jobs"], "--jobs needs a value"),
        (["--jobs", "many"], "--jobs takes a number"),
        (["--engine", "kaniko"], "--engine takes docker, podman or buildah"),
        (["--version", "1.0+local"], "cannot be part of an image's tag"),
        (["--source", "."], "--source is the checkpoint of one TAG, not of 3"),
        (["one", "--source", "nowhere"], "--source takes a folder that is there"),
        (["one", "--push"], "--push needs --registry"),
    ],
)
def test_wrong_usage(workspace: Workspace, arguments: list[str], words: str) -> None:
    """Status 2, a sentence, and nothing is built."""
    refused = workspace.run(*arguments)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert not workspace.calls("docker", "build")


def test_help_and_list(workspace: Workspace) -> None:
    """Both need no engine."""
    workspace.set("broken", "docker", "podman", "buildah")
    shown = workspace.run("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("usage: ./build_images.sh")
    assert workspace.run("--list").stdout.split() == sorted(RECIPES)


def test_a_failure_stops_the_rest(workspace: Workspace) -> None:
    """The table says of each why it is not there; the second run goes on from there."""
    workspace.set("fails", "three")
    done = workspace.run("one", "three", "two")
    assert done.returncode == 1
    assert row(done.stdout, "one")[-1] == "ok"
    assert row(done.stdout, "three")[-1] == "three was not converted: the hub is away"
    assert row(done.stdout, "two")[-1] == "not started: another one failed"

    workspace.set("fails")
    workspace.forget()
    again = workspace.run("one", "three", "two")
    assert again.returncode == 0
    assert [row(again.stdout, name)[-1] for name in ("one", "three", "two")] == ["already built", "ok", "ok"]
    assert row(again.stdout, "one")[1] == "412 MB"
    assert [values(call, "--build-arg")[0] for call in workspace.calls("docker", "build")[::2]] == [
        "TAG=three",
        "TAG=two",
    ]


def test_keep_going(workspace: Workspace) -> None:
    """The others are built, and the status still says that one is not."""
    workspace.set("fails", "three")
    done = workspace.run("one", "three", "two", "--keep-going")
    assert done.returncode == 1
    assert [row(done.stdout, name)[-1] for name in ("one", "two")] == ["ok", "ok"]
    assert "the hub is away" in row(done.stdout, "three")[-1]


def test_what_makes_it_build_again(workspace: Workspace) -> None:
    """An input, an option, an image that was removed, or --force."""

    def result(*arguments: str, **variables: str) -> str:
        return row(workspace.run("one", *arguments, **variables).stdout, "one")[-1]

    assert result() == "ok"
    assert result() == "already built"
    (workspace.root / "images" / "two.toml").write_text("changed = true")
    assert result() == "already built"
    for name in ("images/one.toml", "Dockerfile", "requirements/serve.txt", VERSION_FILE):
        with (workspace.root / name).open("a") as file:
            file.write("# changed\n")
        assert (result(), result()) == ("ok", "already built")
    assert result(DEVICES="cpu,gpu") == "ok"
    assert result("--version", "1.3") == "ok"
    assert (result(), result("--force")) == ("ok", "ok")
    workspace.set("images")
    assert (result(), result()) == ("ok", "already built")


def _until(path: Path, words: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (path.exists() and words in path.read_text()):
        assert time.monotonic() < deadline, f"{path} does not say {words!r}"
        time.sleep(0.02)


def test_builds_side_by_side(workspace: Workspace) -> None:
    """--jobs: two wait for each other's end in vain unless both run; each has a log of its own."""
    workspace.set("waits", "one", "two")
    running = workspace.start("one", "two", "three", "--jobs", "2")
    for name in ("one", "two"):
        _until(workspace.root / "build" / name / "log", "waiting")
    assert not (workspace.root / "build" / "three").exists()
    (workspace.state / "go").touch()
    stdout, _ = running.communicate(timeout=WAIT_SECONDS)
    assert running.returncode == 0
    assert [row(stdout, name)[-1] for name in RECIPES] == ["ok"] * 3


def test_what_runs_is_finished_after_a_failure(workspace: Workspace) -> None:
    """The long build beside the one that failed is not thrown away."""
    workspace.set("waits", "one")
    workspace.set("fails", "two")
    running = workspace.start("one", "two", "three", "--jobs", "2")
    _until(workspace.root / "build" / "two" / "log", "was not converted")
    (workspace.state / "go").touch()
    stdout, _ = running.communicate(timeout=WAIT_SECONDS)
    assert running.returncode == 1
    assert row(stdout, "one")[-1] == "ok"
    assert row(stdout, "three")[-1] == "not started: another one failed"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_ends_what_runs(workspace: Workspace, number: signal.Signals, status: int) -> None:
    """No child outlives the script, nothing is left but logs, and the next run takes it up again."""
    workspace.set("waits", "one", "two")
    running = workspace.start("one", "two", "--jobs", "2", HF_TOKEN="hf_verysecret")
    for name in ("one", "two"):
        _until(workspace.root / "build" / name / "log", "waiting")
    running.send_signal(number)
    _, stderr = running.communicate(timeout=WAIT_SECONDS)
    assert running.returncode == status
    assert "interrupted" in stderr
    assert _processes(workspace) == []
    assert sorted(path.name for path in (workspace.root / "build").iterdir()) == ["one", "two"]
    (workspace.state / "go").touch()
    again = workspace.run("one", "two")
    assert [row(again.stdout, name)[-1] for name in ("one", "two")] == ["ok", "ok"]


def _processes(workspace: Workspace) -> list[str]:
    """Processes with this workspace's engine in their environment, ourselves excepted."""
    mark = f"FAKE_ENGINE={workspace.state}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes() and folder.name != str(os.getpid()):
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found
