"""Many clients at once, as a busy application has them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from weaviate.classes.config import Configure

from tests.conftest import Figure
from tests.e2e.conftest import Create
from tests.e2e.library import PROPERTIES, load, titles
from tests.e2e.pictures import Picture, scenes
from tests.e2e.weaviate_server import Server

CLIENTS = 64
STORED = 128
IMPORTED = 400
LEAST_QUERIES = 4
START_SECONDS = 120.0


class Crowd:
    """Clients that ask for stored objects, by picture and by title in turn, until they are told to stop."""

    def __init__(self, server: Server, collection: str, stored: Sequence[Picture]) -> None:
        self._server = server
        self._collection = collection
        self._stored = stored
        self.all_are_here = threading.Barrier(CLIENTS + 1, timeout=START_SECONDS)
        self.enough = threading.Event()

    def ask(self, number: int) -> list[float]:
        """One client's work; a wrong answer raises. Returns how long each query took."""
        seconds: list[float] = []
        with self._server.client() as client:
            collection = client.collections.use(self._collection)
            self.all_are_here.wait()
            while not self.enough.is_set() or len(seconds) < LEAST_QUERIES:
                picture = self._stored[(number + 7 * len(seconds)) % len(self._stored)]
                started = time.perf_counter()
                if len(seconds) % 2:
                    found = collection.query.near_text(picture.title, limit=1, target_vector="words")
                else:
                    found = collection.query.near_image(picture.image, limit=1, target_vector="picture")
                seconds.append(time.perf_counter() - started)
                assert titles(found) == [picture.title]
        return seconds


def test_queries_while_an_import_runs(
    create: Create, server: Server, inference: dict[str, Any], figure: Figure
) -> None:
    """64 clients ask from before the import's first object until after its last; every answer is right."""
    pictures = scenes(STORED + IMPORTED, seed=30)
    stored, imported = pictures[:STORED], pictures[STORED:]
    collection = create(
        properties=PROPERTIES,
        vector_config=[
            Configure.Vectors.multi2vec_clip(name="picture", image_fields=["image"], **inference),
            Configure.Vectors.multi2vec_clip(name="words", text_fields=["title"], **inference),
        ],
    )
    load(collection, [picture.properties for picture in stored])
    crowd = Crowd(server, collection.name, stored)
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(crowd.ask, number) for number in range(CLIENTS)]
        try:
            crowd.all_are_here.wait()
            started = time.perf_counter()
            load(collection, [picture.properties for picture in imported])
            rate = IMPORTED / (time.perf_counter() - started)
        finally:
            crowd.enough.set()
        seconds = sorted(each for client in clients for each in client.result())
    middle, longest = seconds[len(seconds) // 2], seconds[-1]
    figure(f"{rate:.0f} objects/s beside {len(seconds)} queries of {middle:.3f} s (median), {longest:.3f} s (longest)")
    assert len(collection) == STORED + IMPORTED
    for picture in imported[::20]:
        found = collection.query.near_image(picture.image, limit=1, target_vector="picture")
        assert titles(found) == [picture.title]
