"""What goes wrong with one object, or with the service, costs exactly that and is said in plain words."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import pytest
from weaviate.classes.config import Configure
from weaviate.collections import Collection
from weaviate.exceptions import WeaviateQueryError

from tests.e2e.conftest import Create, Mortal
from tests.e2e.library import PROPERTIES, SMALLEST_COSINE, cosine, load, titles, vectors_by_title
from tests.e2e.pictures import Picture, scenes
from tests.server import Server as Service

WAIT_SECONDS = 30.0

# Weaviate's words for: no connection, an answer that broke off, a service that is not ready yet.
AWAY = ("send POST request", "read response body", "fail with status 503")
BROKEN_OFF = ("EOF", "reset by peer", "broken pipe")


def _stocked(create: Create, inference: dict[str, Any]) -> Collection[Any, Any]:
    """An empty collection that vectorizes by picture."""
    vector = Configure.Vectors.multi2vec_clip(image_fields=["image"], **inference)
    return create(properties=PROPERTIES, vector_config=vector)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.02)


def _broken(picture: Picture) -> dict[str, tuple[bytes, str]]:
    """Files that are no pictures, by title, with words from the sentence that says so."""
    return {
        "not a picture": (b"these bytes are no picture", "none of the formats that can be read"),
        "cut off": (picture.png[: len(picture.png) // 2], "cannot be decoded"),
        "only a head": (picture.png[:16], "none of the formats that can be read"),
    }


@pytest.mark.parametrize("broken", list(_broken(Picture("", b""))))
def test_a_broken_picture_fails_alone(create: Create, inference: dict[str, Any], broken: str) -> None:
    """Weaviate shows the service's sentence for it, and the rest of the batch arrives."""
    pictures = scenes(40, seed=10)
    data, sentence = _broken(pictures[0])[broken]
    collection = _stocked(create, inference)
    with collection.batch.fixed_size(41) as batch:
        for number, picture in enumerate(pictures):
            if number == 20:
                batch.add_object({"title": broken, "image": base64.b64encode(data).decode()})
            batch.add_object(picture.properties)
    (failed,) = collection.batch.failed_objects
    assert failed.object_.properties is not None
    assert failed.object_.properties["title"] == broken
    assert "fail with status 422" in failed.message
    assert sentence in failed.message
    assert set(vectors_by_title(collection)) == {picture.title for picture in pictures}


def test_a_broken_picture_in_a_query(create: Create, inference: dict[str, Any]) -> None:
    """The error reaches the one who asked; the next query is answered."""
    picture = scenes(1, seed=11)[0]
    collection = _stocked(create, inference)
    collection.data.insert(picture.properties)
    with pytest.raises(WeaviateQueryError, match="none of the formats that can be read"):
        collection.query.near_image(base64.b64encode(b"these bytes are no picture").decode(), limit=1)
    assert titles(collection.query.near_image(picture.image, limit=1)) == [picture.title]


def test_pictures_as_people_paste_them(create: Create, inference: dict[str, Any]) -> None:
    """Weaviate hands a query's picture on as it is: a data URI, url-safe or wrapped base64 are all understood."""
    picture = scenes(1, seed=12)[0]
    collection = _stocked(create, inference)
    collection.data.insert(picture.properties)
    wrapped = base64.encodebytes(picture.png).decode()
    unpadded = base64.urlsafe_b64encode(picture.png).decode().rstrip("=")
    for image in (f"data:image/png;base64,{picture.image}", wrapped, unpadded):
        found = collection.query.near_image(image, limit=1, return_metadata=["distance"])
        assert titles(found) == [picture.title]
        assert found.objects[0].metadata.distance == pytest.approx(0, abs=1e-4)


def test_a_text_longer_than_the_model_takes(create: Create, inference: dict[str, Any]) -> None:
    """It is cut, not refused."""
    picture = scenes(1, seed=13)[0]
    collection = _stocked(create, inference)
    collection.data.insert(picture.properties)
    assert titles(collection.query.near_text(f"{picture.title} " * 500, limit=1)) == [picture.title]


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_the_service_ends_during_an_import(create: Create, mortal: Mortal, end: str) -> None:
    """It is started again: failed objects are reported and can be imported then, and no other is lost."""
    pictures = scenes(400, seed=14)
    service = mortal.service
    collection = _stocked(create, mortal.inference)
    with collection.batch.fixed_size(20, concurrent_requests=2) as batch:
        for number, picture in enumerate(pictures):
            if number == 150:
                _until(lambda: len(collection) > 0)
                {"killed": service.kill, "stopped": service.stop}[end]()
            if number == 250:
                _until(lambda: batch.number_errors > 0)
                service.start()
            batch.add_object(picture.properties)
    failed = collection.batch.failed_objects
    assert 0 < len(failed) < len(pictures)
    assert len(collection) == len(pictures) - len(failed)
    messages = {each.message for each in failed}
    assert all(any(words in message for words in AWAY) for message in messages), messages
    if end == "stopped":
        # Requests that it had accepted were answered; only later connections were refused.
        assert not any(words in message for message in messages for words in BROKEN_OFF), messages

    load(collection, [dict(each.object_.properties or {}) for each in failed])
    _assert_complete(collection, pictures, service)


def _assert_complete(collection: Collection[Any, Any], pictures: tuple[Picture, ...], service: Service) -> None:
    """Every picture is there once, with its own vector."""
    assert len(collection) == len(pictures)
    stored = vectors_by_title(collection)
    _, expected = service.vectorize(images=[picture.image for picture in pictures])
    for picture, row in zip(pictures, expected, strict=True):
        assert cosine(stored[picture.title], row) >= SMALLEST_COSINE


def test_the_service_is_restarted_between_queries(create: Create, mortal: Mortal) -> None:
    """An orderly stop ends with status 0; while it is away queries say so, and afterwards they work again."""
    picture = scenes(1, seed=15)[0]
    collection = _stocked(create, mortal.inference)
    collection.data.insert(picture.properties)
    assert mortal.service.stop() == 0
    with pytest.raises(WeaviateQueryError, match="send POST request"):
        collection.query.near_text(picture.title, limit=1)
    mortal.service.start()
    assert titles(collection.query.near_text(picture.title, limit=1)) == [picture.title]
