"""This machine's ceiling: the server's own preparation and inference on all cores, without HTTP, queue or event loop.

    echo '{"modality": "image", "streams": 2, "workers": 2, "batch": 32, "seconds": 3}' \\
        | python -m tests.benchmarks.limit --model DIR

Each worker takes the next items, decodes and prepares them, runs them as one batch and comes back for more, so that one
prepares while the other infers. One trial per line of standard input; its items per second go to standard output.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from multi2vec.engine.embedder import Embedder, Lane
from multi2vec.engine.encoder import Execution
from multi2vec.engine.loading import open_model
from multi2vec.engine.resources import usable_cpus
from multi2vec.engine.wanted import Wanted
from tests.benchmarks import samples
from tests.benchmarks.samples import Modality

# Texts are sorted by length among so many: a server with 64 clients never has more to choose from.
SORTED_AMONG = 64
WARM_UP = 0.5

Unit = Callable[[Sequence[Any]], None]


@dataclass(frozen=True)
class Trial:
    """One way to run the work, for so many seconds."""

    modality: Modality
    streams: int
    workers: int
    batch: int
    seconds: float


def ways(modality: Modality, seconds: float, cpus: int | None = None) -> list[Trial]:
    """Those worth trying on this machine."""
    cpus = cpus or usable_cpus()
    batches = (8, 16, 32, 64) if modality == "image" else (16, 32, 64, 128)
    streams = sorted({1, Execution(threads=cpus).cpu_streams, cpus})
    grid = itertools.product(streams, sorted({cpus, 2 * cpus}), batches)
    return [Trial(modality, one, workers, batch, seconds) for one, workers, batch in grid]


class Limit:
    """Runs trials; the model is opened once for each number of streams."""

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self._folder = folder
        self._cache = cache
        self._opened: dict[int, Embedder] = {}

    def run(self, trial: Trial) -> float:
        """Items per second."""
        lane = self._open(trial.streams).lanes[trial.modality]
        sorted_among = SORTED_AMONG if trial.modality == "text" else trial.batch
        return rate(trial, _items(trial.modality, max(trial.batch, sorted_among)), unit_of(lane, trial.batch))

    def _open(self, streams: int) -> Embedder:
        if streams not in self._opened:
            how = Execution(streams=streams, cache=self._cache)
            self._opened[streams] = open_model(self._folder, how, verify_checksums=False)
        return self._opened[streams]


def unit_of(lane: Lane, batch: int) -> Unit:
    """Prepare some items and run them in batches of like size."""

    def unit(items: Sequence[str]) -> None:
        prepared = sorted((lane.preparer.prepare(item, Wanted()) for item in items), key=lambda item: item.size)
        for start in range(0, len(prepared), batch):
            lane.encoder.encode(lane.preparer.collate(prepared[start : start + batch]))

    return unit


def _items(modality: Modality, size: int) -> Iterator[list[str]]:
    """Without end: so many items at a time, distinct as far as there are so many."""
    endless = itertools.cycle([orjson.loads(body)[samples.KEYS[modality]][0] for body in samples.bodies(modality)])
    return (list(itertools.islice(endless, size)) for _ in itertools.count())


def rate(trial: Trial, chunks: Iterator[list[str]], unit: Unit) -> float:
    """Items per second in steady state. Work that reaches over an edge of the window counts in part."""
    taking = threading.Lock()
    # On one thread at first: OpenVINO's Python binding hangs when two threads hand it the process's first array.
    unit(next(chunks))
    opens = time.perf_counter() + WARM_UP
    closes = opens + trial.seconds

    def work() -> float:
        done = 0.0
        while True:
            with taking:
                items = next(chunks)
            started = time.perf_counter()
            if started >= closes:
                return done
            unit(items)
            ended = time.perf_counter()
            inside = max(0.0, min(ended, closes) - max(started, opens))
            done += len(items) * inside / (ended - started)

    with ThreadPoolExecutor(trial.workers) as threads:
        workers = [threads.submit(work) for _ in range(trial.workers)]
        return sum(worker.result() for worker in workers) / trial.seconds


def main() -> None:
    """Trials from standard input until it ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, metavar="DIR")
    parser.add_argument("--cache", type=Path, metavar="DIR")
    options = parser.parse_args()
    limit = Limit(options.model, options.cache)
    for line in sys.stdin:
        trial = Trial(**json.loads(line))
        print(json.dumps({**dataclasses.asdict(trial), "items_per_second": limit.run(trial)}), flush=True)


if __name__ == "__main__":
    main()
