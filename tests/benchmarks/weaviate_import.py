"""The import of objects through a real Weaviate server, by way of one vectorizer or another.

One Weaviate, one collection per vectorizer, each object a picture and a title: what users wait for when they fill a
database. Vectorizers take turns, so that what slows the machine for a while slows them all.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from weaviate.classes.config import Configure, DataType, Multi2VecField, Property

from tests.benchmarks import samples
from tests.benchmarks.servers import BenchmarkError
from tests.e2e.weaviate_server import NoWeaviate, weaviate_server

if TYPE_CHECKING:
    from weaviate import WeaviateClient
    from weaviate.collections import Collection

__all__ = ["NoWeaviate", "rates"]

OBJECTS = 192
TURNS = 3
# As the client does it when it is told nothing but a size: Weaviate vectorizes the objects of a batch side by side.
BATCH = 20
BATCHES_AT_ONCE = 4


def rates(vectorizers: Mapping[str, str], objects: int = OBJECTS, turns: int = TURNS) -> dict[str, float]:
    """Objects per second by vectorizer; `vectorizers` are their addresses by name.

    Raises `NoWeaviate` where no server can be had and `BenchmarkError` when an object failed.
    """
    titles = samples.texts()
    pictures = [base64.b64encode(picture).decode() for picture in samples.pictures()]
    everything = [(titles[each % len(titles)], pictures[each % len(pictures)]) for each in range(objects)]
    environment = {"ENABLE_MODULES": "multi2vec-clip", "CLIP_INFERENCE_API": next(iter(vectorizers.values()))}
    seconds = dict.fromkeys(vectorizers, 0.0)
    with weaviate_server(environment=environment) as server, server.client() as client:
        for turn in range(turns):
            names = list(vectorizers)
            for name in names if turn % 2 == 0 else reversed(names):
                seconds[name] += _import(client, server.reach(vectorizers[name]), name, everything[turn::turns])
    return {name: objects / spent for name, spent in seconds.items()}


def _import(client: WeaviateClient, url: str, name: str, objects: list[tuple[str, str]]) -> float:
    """Seconds from the first object to the last."""
    collection_name = f"Benchmark_{name}"
    client.collections.delete(collection_name)
    collection = _create(client, collection_name, url)
    try:
        started = time.perf_counter()
        with collection.batch.fixed_size(BATCH, concurrent_requests=BATCHES_AT_ONCE) as batch:
            for title, picture in objects:
                batch.add_object({"title": title, "picture": picture})
        seconds = time.perf_counter() - started
        if failed := collection.batch.failed_objects:
            raise BenchmarkError(f"{len(failed)} objects failed by way of {name}: {failed[0].message}")
        found = collection.aggregate.over_all(total_count=True).total_count
        if found != len(objects):
            raise BenchmarkError(f"{found} of {len(objects)} objects arrived by way of {name}")
    finally:
        client.collections.delete(collection_name)
    return seconds


def _create(client: WeaviateClient, name: str, url: str) -> Collection:
    return client.collections.create(
        name,
        properties=[
            Property(name="title", data_type=DataType.TEXT),
            Property(name="picture", data_type=DataType.BLOB),
        ],
        vector_config=Configure.Vectors.multi2vec_clip(
            inference_url=url,
            image_fields=[Multi2VecField(name="picture", weight=0.9)],
            text_fields=[Multi2VecField(name="title", weight=0.1)],
        ),
    )
