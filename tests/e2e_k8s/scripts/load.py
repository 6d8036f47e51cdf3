"""Asks a Service for vectors over and over on kept connections, and says each second how that went.

Runs in a pod of the cluster with nothing but the standard library: `python load.py FILE`, ended by SIGTERM. The file:

    {"host": "clip", "port": 8080, "clients": 4, "pause": 0.02,
     "examples": {"<model>": [{"modality": "text" | "image", "content": "…", "vector": […]}, …], …}}

A client does what Go's HTTP client does, as that is Weaviate's: it keeps its connection until the server announces the
end of it, and before a request it sees whether the server has closed it meanwhile. Every other client has a new
connection for each request instead: it would come upon a pod that no longer listens. No client tries a request again:
each that is not answered with right vectors counts as failed.
"""

from __future__ import annotations

import http.client
import json
import math
import select
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any

REPORT_SECONDS = 1.0
# The server computes in bf16 where the CPU has it.
SMALLEST_COSINE = 0.999
SHOWN_FAILURES = 200
TIMEOUT_SECONDS = 60

Vector = list[float]


def cosine(one: Vector, other: Vector) -> float:
    """Of two vectors; 0 where their dimensions differ."""
    if len(one) != len(other):
        return 0.0
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other) or 1.0)


class Expected:
    """What each model answers to the same texts and pictures."""

    def __init__(self, examples: dict[str, list[dict[str, Any]]]) -> None:
        first = next(iter(examples.values()))
        self.texts, self.pictures = _contents(first)
        assert all(_contents(each) == (self.texts, self.pictures) for each in examples.values())
        self._vectors = {model: (_vectors(each, "text"), _vectors(each, "image")) for model, each in examples.items()}

    def model(self, texts: list[Vector], pictures: list[Vector]) -> str:
        """The model whose vectors these are. Raises `ValueError` if they are none's."""
        for model, (texts_of, pictures_of) in self._vectors.items():
            if _equal(texts, texts_of) and _equal(pictures, pictures_of):
                return model
        shape = ", ".join(str(len(vector)) for vector in texts + pictures)
        raise ValueError(f"vectors of no model, of dimensions {shape}")


def _contents(examples: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    texts = [each["content"] for each in examples if each["modality"] == "text"]
    return texts, [each["content"] for each in examples if each["modality"] == "image"]


def _vectors(examples: list[dict[str, Any]], modality: str) -> list[Vector]:
    return [each["vector"] for each in examples if each["modality"] == modality]


def _equal(found: list[Vector], expected: list[Vector]) -> bool:
    return len(found) == len(expected) and all(
        cosine(one, other) >= SMALLEST_COSINE for one, other in zip(found, expected, strict=True)
    )


class Report:
    """Counts, shared by all clients."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._models: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._longest = 0.0

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def count(self, what: str) -> None:
        """One more of that kind."""
        with self._lock:
            self._counts[what] += 1

    def answered(self, model: str, seconds: float) -> None:
        """A request got vectors of that model."""
        with self._lock:
            self._counts["requests"] += 1
            self._models[model] += 1
            self._longest = max(self._longest, seconds)

    def failed(self, error: Exception, number: int) -> None:
        """A request got none; it was the connection's `number`th."""
        with self._lock:
            self._counts["requests"] += 1
            self._counts["failures"] += 1
            if self._counts["failures"] <= SHOWN_FAILURES:
                kind = type(error).__name__
                failure = {"seconds": round(self.seconds, 2), "kind": kind, "text": str(error), "number": number}
                print(json.dumps({"failure": failure}), flush=True)

    def show(self) -> None:
        """All of it as one line of JSON."""
        with self._lock:
            counts = {name: self._counts[name] for name in ("requests", "failures", "connections", "closes")}
            rest = {"models": self._models, "longest": round(self._longest, 3)}
            print(json.dumps({"seconds": round(self.seconds, 2), **counts, **rest}), flush=True)


class Client(threading.Thread):
    """One connection at a time, one request at a time."""

    def __init__(
        self, settings: dict[str, Any], expected: Expected, report: Report, stop: threading.Event, *, keeps: bool
    ) -> None:
        super().__init__(daemon=True)
        self._keeps = keeps
        self._connection = http.client.HTTPConnection(settings["host"], settings["port"], timeout=TIMEOUT_SECONDS)
        self._pause = settings["pause"]
        self._report, self._stop_now, self._expected = report, stop, expected
        body = json.dumps({"texts": expected.texts, "images": expected.pictures})
        self._request = ("POST", "/vectorize", body, {"Content-Type": "application/json"})
        self._on_this = 0

    def run(self) -> None:
        """Until told to stop."""
        while not self._stop_now.is_set():
            started = time.monotonic()
            try:
                model = self._ask()
            except Exception as error:  # whatever it is, it is a request without vectors
                self._connection.close()
                self._report.failed(error, self._on_this)
            else:
                self._report.answered(model, time.monotonic() - started)
            self._stop_now.wait(self._pause)
        self._connection.close()

    def _ask(self) -> str:
        self._leave_if_closed()
        if self._connection.sock is None:
            self._on_this = 0
            self._report.count("connections")
        self._on_this += 1
        self._connection.request(*self._request)
        response = self._connection.getresponse()
        body = response.read()
        if response.will_close:
            self._report.count("closes")
        if response.will_close or not self._keeps:
            self._connection.close()
        if response.status != 200:
            raise ValueError(f"status {response.status}: {body[:200]!r}")
        answer = json.loads(body)
        return self._expected.model(answer["textVectors"], answer["imageVectors"])

    def _leave_if_closed(self) -> None:
        # A server says nothing unasked: what can be read from an idle connection is its end.
        if self._connection.sock is not None and select.select([self._connection.sock], [], [], 0)[0]:
            self._connection.close()


def main() -> None:
    """Until SIGTERM."""
    with open(sys.argv[1], encoding="utf-8") as file:
        settings = json.load(file)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    expected, report = Expected(settings["examples"]), Report()
    clients = [Client(settings, expected, report, stop, keeps=number % 2 == 0) for number in range(settings["clients"])]
    for client in clients:
        client.start()
    while not stop.wait(REPORT_SECONDS):
        report.show()
    for client in clients:
        client.join()
    report.show()


if __name__ == "__main__":
    main()
