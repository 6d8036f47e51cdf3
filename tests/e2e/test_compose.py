"""docker-compose.yml: what `docker compose up` gives, how little it may do, and what outlives it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from weaviate.classes.config import Configure

from tests.e2e.conftest import StartStack
from tests.e2e.library import PROPERTIES, load, titles, vectors_by_title
from tests.e2e.pictures import scenes
from tests.e2e.stack import SERVICE, TAG, WEAVIATE, Stack
from tests.server import ROOT

pytestmark = pytest.mark.compose

BOTH = [SERVICE, WEAVIATE]


def configuration(**variables: str) -> dict[str, Any]:
    """The file as Compose reads it, with nothing in the environment but these variables."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
    done = subprocess.run(
        ["docker", "compose", "--env-file", os.devnull, "config", "--format", "json"],
        cwd=ROOT,
        env=kept | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert not done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_without_any_setting(stack: Stack) -> None:
    """A real model is the default, built when it is not there, and only this machine reaches the ports."""
    services = configuration()["services"]
    tag = "sentence-transformers-clip-ViT-B-32"
    assert (ROOT / "images" / f"{tag}.toml").exists()
    assert services[SERVICE]["image"] == f"multi2vec-openvino:{tag}"
    assert services[SERVICE]["build"]["args"] == {"TAG": tag, "EXTRAS": ""}
    assert "ports" not in services[SERVICE]
    ports = {(each["host_ip"], each["published"]) for each in services[WEAVIATE]["ports"]}
    assert ports == {("127.0.0.1", "8080"), ("127.0.0.1", "50051")}


def test_the_environment_reaches_the_build(stack: Stack) -> None:
    """Tag, base image and index as build_images.sh takes them; and whether videos are wanted."""
    given = {"TAG": "demo", "BASE_IMAGE": "here/python", "TORCH_INDEX": "http://there"}
    service = configuration(**given, VIDEO="yes")["services"][SERVICE]
    assert service["build"]["args"] == {**given, "EXTRAS": "video"}
    assert service["image"] == "multi2vec-openvino:demo-video"


@pytest.mark.parametrize("module", ["multi2vec-clip", "text2vec-transformers"])
def test_weaviate_s_module(stack: Stack, module: str) -> None:
    """Each finds the service; MODULE says which one is on, and collections that say nothing get."""
    variables = {} if module == "multi2vec-clip" else {"MODULE": module, "TAG": "all-MiniLM-L6-v2"}
    environment = configuration(**variables)["services"][WEAVIATE]["environment"]
    assert environment["ENABLE_MODULES"] == environment["DEFAULT_VECTORIZER_MODULE"] == module
    for variable in ("CLIP_INFERENCE_API", "TRANSFORMERS_INFERENCE_API"):
        assert environment[variable] == f"http://{SERVICE}:8080"


@pytest.mark.parametrize("service", BOTH)
def test_healthy(stack: Stack, service: str) -> None:
    """By health checks of their own, and not because something started it again."""
    # A test may have ended it and started it anew just now.
    stack.up()
    container = stack.inspect(service)
    assert container["State"]["Health"]["Status"] == "healthy"
    assert container["RestartCount"] == 0


@pytest.mark.parametrize("service", BOTH)
def test_it_has_no_capabilities_and_a_read_only_root(stack: Stack, service: str) -> None:
    """Seen from inside: no capability, no way to gain one, no file written but on its volume and in /tmp."""
    status = dict(line.split(":\t", 1) for line in stack.inside(service, "cat /proc/1/status").splitlines())
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    for folder in ("/", "/app", "/var", "/root", "/etc"):
        with pytest.raises(RuntimeError, match="failed"):
            stack.inside(service, f"touch {folder}/written")
    for folder in ("/tmp", {SERVICE: "/cache", WEAVIATE: "/var/lib/weaviate"}[service]):
        stack.inside(service, f"touch {folder}/written && rm {folder}/written")


def test_the_service_runs_as_an_unprivileged_user(stack: Stack) -> None:
    """By number: the machine has no such user."""
    assert stack.inside(SERVICE, "id -u; id -g").split() == ["10001", "0"]


@pytest.mark.parametrize("service", BOTH)
def test_memory_is_limited(stack: Stack, service: str) -> None:
    """By the kernel, in either version of control groups."""
    limit = stack.inside(service, "cat /sys/fs/cgroup/memory.max || cat /sys/fs/cgroup/memory/memory.limit_in_bytes")
    assert int(limit) == 4 << 30


def test_the_compiled_model_is_kept(stack: Stack) -> None:
    """On a volume, so that the next start is fast."""
    assert stack.inside(SERVICE, "ls /cache").split()


def test_only_weaviate_is_published(stack: Stack) -> None:
    """And on the loopback address; the tests publish the service's port besides."""
    for service in BOTH:
        published = stack.inspect(service)["NetworkSettings"]["Ports"].values()
        assert {binding["HostIp"] for bindings in published if bindings for binding in bindings} == {"127.0.0.1"}


def test_the_model_and_the_default_vectorizer(stack: Stack) -> None:
    """A collection that says nothing of vectors gets them from our service."""
    meta = httpx.get(f"{stack.weaviate.url}/v1/meta", timeout=10, trust_env=False).json()
    assert meta["modules"]["multi2vec-clip"]["tag"] == TAG
    schema = f"{stack.weaviate.url}/v1/schema"
    httpx.post(schema, json={"class": "Plain"}, timeout=30, trust_env=False)
    plain = httpx.get(f"{schema}/Plain", timeout=10, trust_env=False).json()
    httpx.delete(f"{schema}/Plain", timeout=30, trust_env=False)
    assert plain["vectorizer"] == "multi2vec-clip"


@pytest.fixture(scope="module")
def spare(start_stack: StartStack) -> Iterator[Stack]:
    """A stack that a test may take down."""
    with start_stack() as stack:
        yield stack


def test_data_outlives_the_containers(spare: Stack) -> None:
    """Objects and vectors are there after a restart, and after `down` and `up`."""
    pictures = scenes(20, seed=50)
    with spare.weaviate.client() as client:
        collection = client.collections.create(
            "Kept", properties=PROPERTIES, vector_config=Configure.Vectors.multi2vec_clip(image_fields=["image"])
        )
        load(collection, [picture.properties for picture in pictures])
        before = vectors_by_title(collection)
    containers = {spare.inspect(service)["Id"] for service in BOTH}
    for again in (("restart",), ("down",)):
        spare.compose(*again)
        spare.up()
        with spare.weaviate.client() as client:
            collection = client.collections.use("Kept")
            after = vectors_by_title(collection)
            assert after.keys() == before.keys()
            assert all((after[title] == before[title]).all() for title in before)
            picture = pictures[7]
            assert titles(collection.query.near_image(picture.image, limit=1)) == [picture.title]
    assert containers.isdisjoint(spare.inspect(service)["Id"] for service in BOTH)
