"""Where Weaviate looks for the service: before it is there, behind a prefix, and per collection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from weaviate.classes.config import Configure

from tests import toy
from tests.e2e.conftest import Create, StartWeaviate
from tests.e2e.library import PROPERTIES, SMALLEST_COSINE, cosine, load, titles, vectors_by_title
from tests.e2e.pictures import scenes
from tests.e2e.weaviate_server import Server
from tests.needs import lacking
from tests.server import Server as Service
from tests.server import serving

PREFIX = "/embeddings/clip"

# Longer than a Weaviate needs that waits for nothing.
PATIENCE_SECONDS = 15.0

TOY_DIMENSIONS = 12
TOY_TITLES = ["a red cat", "a dark blue dog", "the green bird", "one light sun", "two sea"]


@dataclass(frozen=True)
class Late:
    """A Weaviate that was there before the service, which is behind a prefix."""

    server: Server
    service: Service
    was_ready_without: bool
    log_without: str


@pytest.fixture(scope="module")
def late(start_weaviate: StartWeaviate) -> Iterator[Late]:
    """Start Weaviate, watch it wait, then start the service."""
    with serving(start=False, URL_PREFIX=PREFIX) as service:
        environment = {"ENABLE_MODULES": "multi2vec-clip", "CLIP_INFERENCE_API": service.url}
        with start_weaviate(environment=environment, wait=False, own=True) as server:
            deadline = time.monotonic() + PATIENCE_SECONDS
            was_ready = False
            while not was_ready and time.monotonic() < deadline:
                was_ready = server.is_ready()
                time.sleep(0.2)
            log = server.log_text()
            service.start()
            server.wait_ready()
            yield Late(server, service, was_ready, log)


@pytest.mark.outside_compose("Compose itself starts Weaviate when the service is healthy")
def test_weaviate_waits_for_the_service(late: Late) -> None:
    """It asks for `ready` until it is told so, and then starts as ever."""
    assert not late.was_ready_without
    assert "inference service not ready" in late.log_without
    assert late.server.is_ready()


@pytest.mark.outside_compose("the stack's service has no prefix")
def test_the_service_behind_a_prefix(late: Late) -> None:
    """Readiness, meta, import and search all go through the prefix."""
    pictures = scenes(50, seed=20)
    with late.server.client() as client:
        assert client.get_meta()["modules"]["multi2vec-clip"] == late.service.meta()
        collection = client.collections.create(
            "Prefixed",
            properties=PROPERTIES,
            vector_config=Configure.Vectors.multi2vec_clip(image_fields=["image"]),
        )
        load(collection, [picture.properties for picture in pictures])
        for picture in pictures[:5]:
            assert titles(collection.query.near_image(picture.image, limit=1)) == [picture.title]
            assert picture.title in titles(collection.query.near_text(picture.title, limit=5))


@pytest.mark.outside_compose("containers of the stack do not reach a service on this machine's loopback")
def test_another_service_for_one_collection(
    create: Create, server: Server, inference: dict[str, Any], demo: Service, tmp_path: Path
) -> None:
    """`inferenceUrl`: the toy model's vectors in one collection, the demo model's in the next."""
    model = toy.write(tmp_path / "toy", tag="toy", dimensions=TOY_DIMENSIONS)
    with serving(model) as other:
        assert (other.meta()["tag"], other.meta()["dimensions"]) == ("toy", TOY_DIMENSIONS)
        for service, arguments in ((other, {"inference_url": server.reach(other.url)}), (demo, inference)):
            vector = Configure.Vectors.multi2vec_clip(text_fields=["title"], **arguments)
            collection = create(properties=PROPERTIES, vector_config=vector)
            load(collection, [{"title": title} for title in TOY_TITLES])
            stored = vectors_by_title(collection)
            rows, _ = service.vectorize(TOY_TITLES)
            for title, row in zip(TOY_TITLES, rows, strict=True):
                assert stored[title].shape == (service.meta()["dimensions"],)
                assert cosine(stored[title], row) >= SMALLEST_COSINE
                assert titles(collection.query.near_text(title, limit=1)) == [title]


def test_the_services_meta_in_weaviates(server: Server, demo: Service) -> None:
    """Weaviate shows to everybody what the service says of its model."""
    if not server.is_ours:
        lacking("the server of WEAVIATE_URL asks a service of its own for its meta: that was not compared")
    with server.client() as client:
        shown = client.get_meta()["modules"]["multi2vec-clip"]
    meta = demo.meta()
    assert {name: shown[name] for name in ("tag", "dimensions", "licence")} == {
        name: meta[name] for name in ("tag", "dimensions", "licence")
    }
