"""Load on a Service, from a pod beside it, while a test does something to the pods behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.e2e_k8s.cluster import Json, wait_until
from tests.e2e_k8s.namespaces import Namespace, ScriptPod, script_pod

CLIENTS = 4
# Between a client's requests. Load shall show failures, not how fast the machine is.
PAUSE = 0.03
# Answers that there must be before, and after, what a test does.
AROUND = 50
SECONDS = 60.0


@dataclass(frozen=True)
class Counts:
    """What the clients have seen since their start; `models` counts answers by whose vectors they held."""

    seconds: float = 0
    requests: int = 0
    failures: int = 0
    connections: int = 0
    closes: int = 0
    longest: float = 0
    models: dict[str, int] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        """Requests that got right vectors."""
        return self.requests - self.failures

    def __str__(self) -> str:
        """For the report at the end."""
        return (
            f"{self.requests} requests, {self.failures} failed, in {self.seconds:.0f} s "
            f"on {self.connections} connections; the longest took {self.longest:.2f} s"
        )


@dataclass(frozen=True)
class Failure:
    """A request without vectors: when, what Python calls it, and which request on its connection it was."""

    seconds: float
    kind: str
    text: str
    number: int


class Load:
    """Clients at work."""

    def __init__(self, pod: ScriptPod) -> None:
        self._pod = pod
        self._log: str | None = None

    def _lines(self) -> list[Json]:
        log = self._pod.log() if self._log is None else self._log
        return [json.loads(line) for line in log.splitlines()]

    def history(self) -> list[Counts]:
        """The counts of each second."""
        return [Counts(**line) for line in self._lines() if "failure" not in line]

    def failures(self) -> list[Failure]:
        """The first two hundred."""
        return [Failure(**line["failure"]) for line in self._lines() if "failure" in line]

    def counts(self) -> Counts:
        """The latest."""
        return (self.history() or [Counts()])[-1]

    def wait_for_more(self, answers: int = AROUND) -> None:
        """Until that many more requests are answered."""
        enough = self.counts().answers + answers
        wait_until(f"{answers} more answers under load", lambda: self.counts().answers >= enough, SECONDS)

    def models_now(self) -> set[str]:
        """The models whose vectors come from now on."""
        before = self.counts().models
        self.wait_for_more()
        return {model for model, count in self.counts().models.items() if count > before.get(model, 0)}

    def stop(self) -> None:
        """Let each client finish its request."""
        self._pod.terminate()
        self._log = self._pod.wait_done()


def few(examples: Json) -> Json:
    """Two texts and a picture of each model's, about what Weaviate sends for one object."""
    return {
        model: [
            *[each for each in kept if each["modality"] == "text"][:2],
            *[each for each in kept if each["modality"] == "image"][:1],
        ]
        for model, kept in examples.items()
    }


@contextmanager
def load(
    namespace: Namespace, service: str, examples: Json, *, clients: int = CLIENTS, pause: float = PAUSE
) -> Iterator[Load]:
    """Clients that ask from well before the block until well after it; every other one keeps its connections."""
    data = {"host": service, "port": 8080, "clients": clients, "pause": pause, "examples": few(examples)}
    with script_pod(namespace, "load", data) as pod:
        running = Load(pod)
        try:
            running.wait_for_more()
            yield running
            running.wait_for_more()
        finally:
            running.stop()
            print(running.counts(), *running.failures(), sep="\n")
