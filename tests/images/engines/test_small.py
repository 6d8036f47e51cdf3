"""build_images.sh with real engines and a Dockerfile whose conversion is a shell script."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.images.conftest import VERSION_FILE, row
from tests.images.engine import MANIFEST
from tests.images.engines.conftest import CONTEXT, Engine, surroundings
from tests.server import ROOT

DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS convert
ARG TAG
COPY images /images
RUN --mount=type=secret,id=hf_token sh /images/convert.sh "$TAG"

FROM scratch AS manifest
COPY --from=convert /out/manifest.json /

FROM scratch AS serve
HEALTHCHECK CMD ["/nothing"]
COPY --from=convert /out/ /model/
"""
CONVERT = """\
set -e
mkdir /out
cp /images/manifest.json /out/
head -c 5000000 /dev/zero >/out/weights
if [ -e /run/secrets/hf_token ]; then wc -c </run/secrets/hf_token >/out/length; fi
if [ -d "/images/$1/checkpoint" ]; then cp "/images/$1/checkpoint/"* /out/; fi
"""
# Nothing is run, so any machine builds it for any platform.
BASE = """\
FROM scratch
ARG TARGETARCH
ENV ARCHITECTURE=${TARGETARCH}
COPY LICENSE /
"""
STATIC = """\
FROM localhost/base-of-several AS serve
COPY images/manifest.json /model/
FROM scratch AS manifest
COPY images/manifest.json /
FROM serve
"""
LISTS = (
    ("Accept", "application/vnd.docker.distribution.manifest.list.v2+json"),
    ("Accept", "application/vnd.oci.image.index.v1+json"),
)
PLATFORMS = "linux/amd64,linux/arm64"
ENDS = 60


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository with one recipe."""
    root = tmp_path / "small"
    for folder in (root / "images", (root / VERSION_FILE).parent, root / "requirements"):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "build_images.sh", root)
    shutil.copy(ROOT / "images" / "builds.py", root / "images")
    for name in CONTEXT:
        if not (root / name).exists():
            (root / name).write_text("")
    (root / "Dockerfile").write_text(DOCKERFILE)
    (root / "images" / "one.toml").write_text("")
    (root / "images" / "convert.sh").write_text(CONVERT)
    (root / "images" / "manifest.json").write_text(json.dumps(MANIFEST | {"tag": "one"}))
    (root / VERSION_FILE).write_text('__version__ = "1.2.3"\n')
    return root


def configuration(engine: Engine, image: str) -> dict[str, Any]:
    """The image's configuration."""
    if engine.name == "buildah":
        described = json.loads(engine("inspect", "--type", "image", image))
        found: dict[str, Any] = described["Docker"]["config"] | {"Id": described["FromImageID"]}
    else:
        described = json.loads(engine("image", "inspect", image))[0]
        found = described["Config"] | {"Id": described["Id"]}
    return found


def test_names_and_labels_and_a_second_run(engine: Engine, small: Path, repo: str) -> None:
    """One image of three names with the manifest's labels; a second run builds it only if it was removed."""
    done = engine.build(small, "one", "--repo", repo)
    assert done.returncode == 0, done.stderr
    size, _, parity, result = row(done.stdout, "one")[1:]
    assert (parity, result) == ("f32 0.9999999, bf16 0.99991", "ok")
    assert size.startswith("5")
    assert size.endswith("MB")
    images = [configuration(engine, f"{repo}:{tag}") for tag in ("one", "one-1.2.3", "one-latest")]
    assert len({image["Id"] for image in images}) == 1
    labels = images[0]["Labels"]
    assert labels["io.github.multi2vec-openvino.model"] == "somebody/model"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0 AND MIT"
    assert images[0]["Healthcheck"]["Test"] == ["CMD", "/nothing"]

    assert row(engine.build(small, "one", "--repo", repo).stdout, "one")[-1] == "already built"
    for tag in ("one", "one-1.2.3", "one-latest"):
        engine("rmi", "--force", f"{repo}:{tag}")
    assert row(engine.build(small, "one", "--repo", repo).stdout, "one")[-1] == "ok"


def test_the_token_is_seen_and_not_kept(engine: Engine, small: Path, repo: str) -> None:
    """The step that asks for the token gets it; neither the image nor its history contains it."""
    with (small / "images" / "convert.sh").open("a") as script:
        script.write('test "$(cat /out/length)" = 13 || { echo "no token"; exit 1; }\n')
    done = engine.build(small, "one", "--repo", repo, HF_TOKEN="hf_verysecret")
    assert done.returncode == 0, done.stderr
    assert row(done.stdout, "one")[-1] == "ok"
    kind = ("--type", "image") if engine.name == "buildah" else ()
    assert "hf_verysecret" not in engine("inspect", *kind, f"{repo}:one")
    assert not any("hf_verysecret" in path.read_text() for path in (small / "build" / "one").iterdir())


def test_why_it_failed(engine: Engine, small: Path, repo: str) -> None:
    """The step's own words, out of the engine's log."""
    (small / "images" / "convert.sh").write_text("echo loading; echo 'one was not converted: no such model'; exit 1\n")
    done = engine.build(small, "one", "--repo", repo)
    assert done.returncode == 1
    assert row(done.stdout, "one")[-1] == "one was not converted: no such model"


def test_a_checkpoint_of_ones_own(engine: Engine, small: Path, repo: str, tmp_path: Path) -> None:
    """The checkpoint is in the build context, and in no other folder."""
    source = tmp_path / "checkpoint"
    source.mkdir()
    (source / "weights").write_bytes(b"1" * 9_000_000)
    done = engine.build(small, "one", "--repo", repo, "--source", str(source))
    assert done.returncode == 0, done.stderr
    assert row(done.stdout, "one")[1].startswith("9")


def test_push(engine: Engine, small: Path, registry: str) -> None:
    """The registry has the image under all names."""
    done = engine.build(small, "one", "--push", "--registry", registry, "--repo", f"pushed/{engine.name}")
    assert row(done.stdout, "one")[-1] == "pushed", done.stdout + done.stderr
    url = f"http://{registry}/v2/pushed/{engine.name}"
    tags = httpx.get(f"{url}/tags/list", trust_env=False).json()["tags"]
    assert sorted(tags) == ["one", "one-1.2.3", "one-latest"]
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    manifests = [httpx.get(f"{url}/manifests/{tag}", headers=accept, trust_env=False) for tag in tags]
    assert len({answer.headers["Docker-Content-Digest"] for answer in manifests}) == 1
    for tag in tags:
        engine("rmi", "--force", f"{registry}/pushed/{engine.name}:{tag}")


def test_several_platforms(buildah: Engine, small: Path, registry: str) -> None:
    """Twice: the second list replaces the first."""
    (small / "Dockerfile").write_text(BASE)
    buildah("build", "--platform", PLATFORMS, "--manifest", "localhost/base-of-several", str(small))
    (small / "Dockerfile").write_text(STATIC)
    options = ("one", "--platform", PLATFORMS, "--push", "--registry", registry, "--repo", "several", "--force")
    for _ in range(2):
        done = buildah.build(small, *options)
        assert row(done.stdout, "one")[-1] == "pushed", done.stdout + done.stderr
    for tag in ("one", "one-1.2.3", "one-latest"):
        url = f"http://{registry}/v2/several/manifests/{tag}"
        listed = httpx.get(url, headers=LISTS, trust_env=False).json()["manifests"]
        assert sorted(each["platform"]["architecture"] for each in listed) == ["amd64", "arm64"]


def test_an_interruption_reaches_the_engine(engine: Engine, small: Path, repo: str) -> None:
    """The step that runs inside the build is ended as well."""
    seconds = f"4{time.time_ns() % 10**8}"
    (small / "images" / "convert.sh").write_text(f"echo it sleeps; sleep {seconds}\n")
    running = subprocess.Popen(
        engine.command(small, "one", "--repo", repo),
        env=surroundings(engine.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + ENDS
    while not _sleeps(seconds):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline, (small / "build" / "one" / "log").read_text()
        time.sleep(0.1)
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=ENDS)
    assert running.returncode == 143
    deadline = time.monotonic() + ENDS
    while _sleeps(seconds):
        assert time.monotonic() < deadline, "the build still runs"
        time.sleep(0.1)
    assert [path.name for path in (small / "build").iterdir()] == ["one"]


def _sleeps(seconds: str) -> bool:
    """Whether that sleep runs on this machine, where the engine is as well."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == f"sleep\0{seconds}\0".encode():
                return True
        except OSError:
            continue
    return False
