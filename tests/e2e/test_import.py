"""Objects go in through the official client, and their vectors are the ones that the service gives."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from weaviate.classes.config import Configure, DataType, Multi2VecField, Property
from weaviate.classes.query import Filter
from weaviate.classes.tenants import Tenant
from weaviate.collections import Collection

from tests.conftest import Figure
from tests.e2e.conftest import Create
from tests.e2e.library import PROPERTIES, SMALLEST_COSINE, certainty, cosine, load, titles, vector_of, vectors_by_title
from tests.e2e.pictures import scenes
from tests.server import Server as Service
from tests.server import Vectors

pytestmark = [
    pytest.mark.any_version,
    # The older way to configure a vectorizer is what most collections out there were made with.
    pytest.mark.filterwarnings("ignore:Dep02[45]:DeprecationWarning"),
]

COUNT = 500


def as_vectors(**arguments: Any) -> dict[str, Any]:
    """Today's configuration of multi2vec-clip."""
    return {"vector_config": Configure.Vectors.multi2vec_clip(**arguments)}


def as_vectorizer(**arguments: Any) -> dict[str, Any]:
    """The older one."""
    return {"vectorizer_config": Configure.Vectorizer.multi2vec_clip(**arguments)}


@pytest.mark.parametrize("configuration", [as_vectors, as_vectorizer])
@pytest.mark.parametrize("batching", ["dynamic", "fixed_size"])
def test_import_of_scenes(
    create: Create, demo: Service, inference: dict[str, Any], configuration: Any, batching: str, figure: Figure
) -> None:
    """All objects arrive, and each finds itself by its own picture."""
    pictures = scenes(COUNT, seed=1)
    collection = create(properties=PROPERTIES, **configuration(image_fields=["image"], **inference))
    started = time.perf_counter()
    with getattr(collection.batch, batching)() as batch:
        for picture in pictures:
            batch.add_object(picture.properties)
    figure(f"{COUNT / (time.perf_counter() - started):.0f} objects/s")
    assert not collection.batch.failed_objects
    assert len(collection) == COUNT
    stored = vectors_by_title(collection)
    _, expected = demo.vectorize(images=[picture.image for picture in pictures])
    smallest = min(cosine(stored[picture.title], row) for picture, row in zip(pictures, expected, strict=True))
    assert smallest >= SMALLEST_COSINE
    for picture in pictures[::25]:
        found = collection.query.near_image(picture.image, limit=1, return_metadata=["certainty"])
        assert titles(found) == [picture.title]
        assert certainty(found) >= 0.99


def test_weights(create: Create, demo: Service, inference: dict[str, Any]) -> None:
    """Weaviate adds a picture's and its title's vectors up by weight; both reach it at the same length."""
    pictures = scenes(20, seed=2)
    weighted = Configure.Vectors.multi2vec_clip(
        image_fields=[Multi2VecField(name="image", weight=0.9)],
        text_fields=[Multi2VecField(name="title", weight=0.1)],
        **inference,
    )
    collection = create(properties=PROPERTIES, vector_config=weighted)
    load(collection, [picture.properties for picture in pictures])
    stored = vectors_by_title(collection)
    texts, images = demo.vectorize([each.title for each in pictures], [each.image for each in pictures])
    for picture, text, image in zip(pictures, texts, images, strict=True):
        assert cosine(stored[picture.title], 0.9 * image + 0.1 * text) >= SMALLEST_COSINE
        assert cosine(stored[picture.title], 0.5 * image + 0.5 * text) < SMALLEST_COSINE


def test_lists_of_texts(create: Create, demo: Service, inference: dict[str, Any]) -> None:
    """Every element of a `text[]` property is a text of its own."""
    names = [picture.title for picture in scenes(60, seed=3)]
    lists = [names[start : start + 3] for start in range(0, len(names), 3)]
    collection = create(
        properties=[
            Property(name="title", data_type=DataType.TEXT),
            Property(name="captions", data_type=DataType.TEXT_ARRAY),
        ],
        vector_config=Configure.Vectors.multi2vec_clip(text_fields=["captions"], **inference),
    )
    load(collection, [{"title": each[0], "captions": each} for each in lists])
    stored = vectors_by_title(collection)
    for each in lists:
        texts, _ = demo.vectorize(each)
        assert cosine(stored[each[0]], np.mean(texts, axis=0)) >= SMALLEST_COSINE


def test_empty_and_missing_properties(create: Create, demo: Service, inference: dict[str, Any]) -> None:
    """An object without a picture, or with an empty title, is imported like any other."""
    picture = scenes(1, seed=4)[0]
    both = Configure.Vectors.multi2vec_clip(image_fields=["image"], text_fields=["title"], **inference)
    collection = create(properties=PROPERTIES, vector_config=both)
    load(collection, [{"title": "only a title"}, {"title": "", "image": picture.image}])
    stored = vectors_by_title(collection)
    texts, images = demo.vectorize(["only a title", ""], [picture.image])
    assert cosine(stored["only a title"], texts[0]) >= SMALLEST_COSINE
    assert cosine(stored[""], images[0] + texts[1]) >= SMALLEST_COSINE


def test_an_update_vectorizes_anew(create: Create, demo: Service, inference: dict[str, Any]) -> None:
    """Both ways to change an object: some properties, and the whole."""
    before, after, last = scenes(3, seed=5)
    vector = Configure.Vectors.multi2vec_clip(image_fields=["image"], **inference)
    collection = create(properties=PROPERTIES, vector_config=vector)
    _, expected = demo.vectorize(images=[before.image, after.image, last.image])
    uuid = collection.data.insert(before.properties)
    assert cosine(_stored(collection, uuid), expected[0]) >= SMALLEST_COSINE
    collection.data.update(uuid, {"image": after.image})
    assert cosine(_stored(collection, uuid), expected[1]) >= SMALLEST_COSINE
    collection.data.replace(uuid, last.properties)
    assert cosine(_stored(collection, uuid), expected[2]) >= SMALLEST_COSINE


def _stored(collection: Collection[Any, Any], uuid: UUID) -> Vectors:
    return vector_of(collection.query.fetch_object_by_id(uuid, include_vector=True))


def test_tenants(create: Create, inference: dict[str, Any]) -> None:
    """Each tenant finds its own pictures only."""
    collection = create(
        properties=PROPERTIES,
        vector_config=Configure.Vectors.multi2vec_clip(image_fields=["image"], **inference),
        multi_tenancy_config=Configure.multi_tenancy(enabled=True),
    )
    owned = {"one": scenes(40, seed=6)[:20], "two": scenes(40, seed=6)[20:]}
    collection.tenants.create([Tenant(name=name) for name in owned])
    for name, pictures in owned.items():
        load(collection.with_tenant(name), [picture.properties for picture in pictures])
    for name, pictures in owned.items():
        tenant = collection.with_tenant(name)
        assert len(tenant) == len(pictures)
        for picture in (*owned["one"][:3], *owned["two"][:3]):
            found = titles(tenant.query.near_image(picture.image, limit=1))
            assert (found == [picture.title]) is (picture in pictures)


def test_a_deleted_object_is_not_found(create: Create, inference: dict[str, Any]) -> None:
    """And one that comes back is."""
    pictures = scenes(10, seed=7)
    vector = Configure.Vectors.multi2vec_clip(image_fields=["image"], **inference)
    collection = create(properties=PROPERTIES, vector_config=vector)
    load(collection, [picture.properties for picture in pictures])
    gone = pictures[3]
    collection.data.delete_many(Filter.by_property("title").equal(gone.title))
    assert gone.title not in titles(collection.query.near_image(gone.image, limit=10))
    collection.data.insert(gone.properties)
    assert titles(collection.query.near_image(gone.image, limit=10))[0] == gone.title
