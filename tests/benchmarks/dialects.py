"""What each API costs beside `/vectorize`: `python -m tests.benchmarks.dialects [--json FILE]`.

The same items go to every API in turns, one request at a time on kept connections, and each round's time is divided by
that of `/vectorize` in the same round. The median of these ratios shall be at most 1.1. Beside it stands how long the
answer to 2,048 texts takes to write, which needs no model: it shall be below 50 ms in base64.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import dataclasses
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from multi2vec.serve import answers
from tests.benchmarks import machine, models, report, samples, servers

MOST = 1.1
MOST_MILLISECONDS = 50.0
TEXTS, PICTURES = 32, 8
WARM_UP = 5
# These APIs refuse long texts unless they are told to cut them.
CUT = {"truncate_prompt_tokens": -1}
ROWS, DIMENSIONS = 2048, 1024


def bodies_of_texts(texts: Sequence[str]) -> dict[str, tuple[str, Any]]:
    """Path and body by API; the first is what the others are compared with."""
    conversations = [[{"role": "user", "content": text}] for text in texts]
    return {
        "/vectorize": ("/vectorize", {"texts": texts}),
        "text2vec-transformers": ("/vectors", {"texts": texts}),
        "openai": ("/v1/embeddings", {"input": texts, **CUT}),
        "openai, base64": ("/v1/embeddings", {"input": texts, "encoding_format": "base64", **CUT}),
        "openai, messages": ("/v1/embeddings", {"messages": conversations, **CUT}),
        "jinaai": ("/v1/embeddings", {"input": [{"text": text} for text in texts], "embedding_type": "float"}),
        "cohere": ("/v2/embed", {"texts": texts, "embedding_types": ["float"]}),
        "text-embeddings-inference": ("/embed", {"inputs": texts}),
        "vllm pooling": ("/pooling", {"input": texts, "task": "embed", **CUT}),
        "intel": ("/embeddings", {"input": {"type": "text", "text": texts}}),
    }


def bodies_of_pictures(pictures: Sequence[str]) -> dict[str, tuple[str, Any]]:
    """The same for pictures in base64."""
    uris = [f"data:image/jpeg;base64,{picture}" for picture in pictures]
    frames = [{"type": "image_base64", "image_base64": picture} for picture in pictures]
    return {
        "/vectorize": ("/vectorize", {"images": pictures}),
        "openai": ("/v1/embeddings", {"input": uris}),
        "openai, objects": ("/v1/embeddings", {"input": [{"image": picture} for picture in pictures]}),
        "jinaai": ("/v1/embeddings", {"input": [{"image": each} for each in pictures], "embedding_type": "float"}),
        "cohere": ("/v2/embed", {"images": uris, "embedding_types": ["float"]}),
        "text-embeddings-inference": ("/embed", {"inputs": uris}),
        "intel": ("/embeddings", {"input": {"type": "video_frames", "video_frames": frames}}),
    }


def measure(port: int, bodies: Mapping[str, tuple[str, Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every request by API. Raises `BenchmarkError` for a request that is refused."""
    connection = http.client.HTTPConnection(servers.HOST, port, timeout=servers.PATIENCE)
    written = {name: (path, json.dumps(body).encode()) for name, (path, body) in bodies.items()}
    seconds: dict[str, list[float]] = {name: [] for name in bodies}
    for number in range(WARM_UP + rounds):
        order = list(written.items())
        for name, (path, body) in order if number % 2 else reversed(order):
            began = time.perf_counter()
            connection.request("POST", path, body)
            answer = connection.getresponse()
            content = answer.read()
            took = time.perf_counter() - began
            if answer.status != http.HTTPStatus.OK:
                raise servers.BenchmarkError(f"{name} answered {answer.status}: {content[:300]!r}")
            if number >= WARM_UP:
                seconds[name].append(took)
    connection.close()
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """By API, the median of the rounds' own ratios to the first one."""
    base = next(iter(seconds.values()))
    return {
        name: round(statistics.median(a / b for a, b in zip(own, base, strict=True)), 4)
        for name, own in seconds.items()
    }


def milliseconds_to_write() -> dict[str, float]:
    """How long an answer of 2,048 vectors of 1,024 dimensions takes to write, by encoding: the median of nine."""
    rows = np.random.default_rng(samples.SEED).normal(size=(ROWS, DIMENSIONS)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)

    async def once(encoding: str) -> float:
        began = time.perf_counter()
        parts = await answers.written(rows, answers.ENCODINGS[encoding])
        answers.json({"data": [{"index": index, "embedding": part} for index, part in enumerate(parts)]})
        return 1000 * (time.perf_counter() - began)

    return {name: round(statistics.median(asyncio.run(once(name)) for _ in range(9)), 1) for name in answers.ENCODINGS}


def run(model: Path, rounds: int) -> dict[str, Any]:
    """All figures."""
    pictures = [base64.b64encode(picture).decode() for picture in samples.pictures(PICTURES)]
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        with servers.served(model, folder / "cache", folder) as child:
            texts = measure(child.port, bodies_of_texts(samples.texts(TEXTS)), rounds)
            images = measure(child.port, bodies_of_pictures(pictures), rounds)
            one = measure(child.port, bodies_of_texts(samples.texts(1)), rounds)
    return {
        "cpu": dataclasses.asdict(machine.cpu()),
        "over_vectorize": {
            f"{TEXTS} texts": ratios(texts),
            "1 text": ratios(one),
            f"{PICTURES} pictures": ratios(images),
        },
        "vectorize_milliseconds": {
            what: round(1000 * statistics.median(seconds["/vectorize"]), 2)
            for what, seconds in {f"{TEXTS} texts": texts, "1 text": one, f"{PICTURES} pictures": images}.items()
        },
        "milliseconds_to_write": milliseconds_to_write(),
    }


def show(console: Console, found: Mapping[str, Any]) -> None:
    """The figures as tables."""
    for what, by_api in found["over_vectorize"].items():
        table = Table("API", "time over /vectorize", title=f"{what}: {found['vectorize_milliseconds'][what]} ms")
        for name, ratio in by_api.items():
            table.add_row(name, f"{ratio:.3f}{'' if ratio <= MOST else f'  (above {MOST})'}")
        console.print(table)
    for name, value in found["milliseconds_to_write"].items():
        note = f" (above {MOST_MILLISECONDS:g})" if name == "base64" and value > MOST_MILLISECONDS else ""
        console.print(f"{ROWS} × {DIMENSIONS} in {name}: written in {value} ms{note}", highlight=False)
    console.print(found["cpu"])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    made = argparse.ArgumentParser(prog="python -m tests.benchmarks.dialects", description=__doc__)
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    made.add_argument("--rounds", type=int, default=40, metavar="N", help="requests to each API (default: 40)")
    made.add_argument("--model-dir", type=Path, metavar="DIR", help="the model folder (default: a random ViT-B/32)")
    options = made.parse_args(arguments)
    found = run((options.model_dir or models.model(models.checkpoint())).resolve(), options.rounds)
    show(Console(), found)
    report.keep(found, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
