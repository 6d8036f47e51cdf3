"""Imports pictures into Weaviate and searches them, both at once, until SIGTERM; then looks at every stored object.

Runs in a pod with nothing but the standard library: `python objects.py FILE`. The file:

    {"host": "weaviate", "port": 8080, "pictures": [{"title": "…", "image": "<base64>"}, …]}

Prints counts as a line of JSON each second, and one with what is stored at the end. Nothing is tried a second time.
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
import threading
from collections import Counter
from typing import Any

BATCH = 10
PAGE = 200
REPORT_SECONDS = 1.0
PAUSE_SECONDS = 0.05
TIMEOUT_SECONDS = 120
NAME = "Picture"
VECTORS = {"picture": {"imageFields": ["image"]}, "words": {"textFields": ["title"]}}

Picture = dict[str, str]


class Weaviate:
    """Its REST interface, on one connection."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)

    def ask(self, method: str, path: str, content: Any = None) -> Any:
        """The answer's JSON. Raises `RuntimeError` unless the status is 200."""
        body = None if content is None else json.dumps(content)
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
        return json.loads(answer)

    def make_collection(self) -> None:
        """With one vector of each picture and one of its title."""
        vectors = {
            name: {"vectorizer": {"multi2vec-clip": fields}, "vectorIndexType": "hnsw"}
            for name, fields in VECTORS.items()
        }
        properties = [{"name": "title", "dataType": ["text"]}, {"name": "image", "dataType": ["blob"]}]
        self.ask("POST", "/v1/schema", {"class": NAME, "properties": properties, "vectorConfig": vectors})

    def add(self, pictures: list[Picture]) -> list[str]:
        """Import them; gives the errors."""
        objects = [{"class": NAME, "properties": picture} for picture in pictures]
        results = [each["result"] for each in self.ask("POST", "/v1/batch/objects", {"objects": objects})]
        assert len(results) == len(pictures)
        return [json.dumps(each) for each in results if each.get("errors") or each.get("status") != "SUCCESS"]

    def find(self, how: str) -> str:
        """The title of the picture that is nearest."""
        answer = self.ask("POST", "/v1/graphql", {"query": f"{{Get {{{NAME}(limit: 1, {how}) {{title}}}}}}"})
        if answer.get("errors"):
            raise RuntimeError(json.dumps(answer["errors"])[:300])
        return str(answer["data"]["Get"][NAME][0]["title"])

    def stored(self) -> dict[str, int]:
        """How many objects there are, and how many of each vector they have."""
        found: Counter[str] = Counter()
        last = ""
        while True:
            after = f"&after={last}"
            page = self.ask("GET", f"/v1/objects?class={NAME}&limit={PAGE}&include=vector{after}")["objects"]
            for each in page:
                found["objects"] += 1
                found.update(name for name, vector in each.get("vectors", {}).items() if vector)
            if not page:
                return dict(found)
            last = page[-1]["id"]


class Work:
    """What both threads share."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.pictures: list[Picture] = settings["pictures"]
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []

    def weaviate(self) -> Weaviate:
        """On a connection of its own."""
        return Weaviate(self.settings["host"], self.settings["port"])

    def import_all(self) -> None:
        """The pictures, over and over."""
        weaviate, start = self.weaviate(), 0
        while not self.stop.is_set():
            batch = self.pictures[start : start + BATCH]
            self.errors += weaviate.add(batch)
            self.counts["objects"] += len(batch)
            start = (start + BATCH) % len(self.pictures)
            self.stop.wait(PAUSE_SECONDS)

    def search_all(self) -> None:
        """The pictures that are there by themselves and by their titles."""
        weaviate, number = self.weaviate(), 0
        while not self.stop.wait(PAUSE_SECONDS):
            there = min(self.counts["objects"], len(self.pictures))
            if not there:
                continue
            picture = self.pictures[number % there]
            by_picture = f'nearImage: {{image: "{picture["image"]}", targetVectors: ["picture"]}}'
            by_title = f'nearText: {{concepts: [{json.dumps(picture["title"])}], targetVectors: ["picture"]}}'
            for kind, how in (("by_picture", by_picture), ("by_title", by_title)):
                self.counts[kind] += 1
                self.counts[f"{kind}_right"] += weaviate.find(how) == picture["title"]
            number += 1

    def run(self, task: str) -> None:
        """One of the two; what it raises ends it and is told."""
        try:
            getattr(self, task)()
        except Exception as error:  # whatever it is, it is a failed request
            self.errors.append(f"{task}: {type(error).__name__}: {error}")

    def show(self, **more: Any) -> None:
        """A line of JSON."""
        print(json.dumps({**self.counts, "errors": self.errors, **more}), flush=True)


def main() -> None:
    """Until SIGTERM."""
    with open(sys.argv[1], encoding="utf-8") as file:
        work = Work(json.load(file))
    signal.signal(signal.SIGTERM, lambda *_: work.stop.set())
    work.weaviate().make_collection()
    threads = [threading.Thread(target=work.run, args=(task,)) for task in ("import_all", "search_all")]
    for thread in threads:
        thread.start()
    while not work.stop.wait(REPORT_SECONDS):
        work.show()
    for thread in threads:
        thread.join()
    work.show(stored=work.weaviate().stored())


if __name__ == "__main__":
    main()
