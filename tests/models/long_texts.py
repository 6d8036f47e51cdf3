"""What texts of very different lengths cost, measured in a process of its own: prints JSON.

`python -m tests.models.long_texts mixed FOLDER REQUESTS` or `… beside FOLDER LENGTH SHORT_ONES`
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multi2vec.engine import memory
from multi2vec.engine.embedder import Embedder
from multi2vec.engine.encoder import Execution
from multi2vec.engine.loading import open_model

# One token each in most tokenizers, so that a text has about as many tokens as words.
WORD = "a "
AT_A_TIME = 4


def resident_megabytes() -> int:
    """This process's memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


def peak_megabytes() -> int:
    """The most that this process had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def lengths(longest: int) -> Iterator[int]:
    """Lengths from 1 to `longest`, as many between 10 and 100 as between 100 and 1,000."""
    chance = random.Random(1)
    while True:
        yield round(math.exp(chance.uniform(0, math.log(longest))))


async def mixed(embedder: Embedder, requests: int) -> dict[str, Any]:
    """Resident memory (MB) at each tenth of so many requests with one text each, of up to the model's length."""
    longest = embedder.manifest.inputs["text"].max_length
    texts = itertools.islice(lengths(longest), requests)
    kept, done = [resident_megabytes()], 0

    async def client() -> None:
        nonlocal done
        for length in texts:
            await embedder.embed("text", [WORD * length])
            done += 1
            if done % (requests // 10) == 0:
                kept.append(resident_megabytes())

    await asyncio.gather(*(client() for _ in range(AT_A_TIME)))
    return {"resident": kept, "peak": peak_megabytes()}


async def beside(embedder: Embedder, length: int, short_ones: int) -> dict[str, Any]:
    """Seconds that a text of so many tokens takes, and each of the short ones that are sent right after it."""
    began = time.monotonic()

    async def timed(text: str) -> tuple[float, int]:
        embedded = await embedder.embed("text", [text])
        return time.monotonic() - began, embedded.tokens[0]

    before = resident_megabytes()
    long = asyncio.create_task(timed(WORD * length))
    await asyncio.sleep(0.1)
    short = await asyncio.gather(*(timed(f"the cat number {number}") for number in range(short_ones)))
    seconds, tokens = await long
    return {
        "tokens": tokens,
        "long_seconds": round(seconds, 2),
        "short_seconds": round(max(each for each, _ in short), 2),
        "resident_before": before,
        "peak": peak_megabytes(),
    }


def main(what: str, folder: str, *numbers: str) -> None:
    """One of the two, as the server would run it."""
    memory.limit_arenas(2)
    embedder = open_model(Path(folder), Execution(precision="f32"))
    memory.release()
    measured = {"mixed": mixed, "beside": beside}[what]
    print(json.dumps(asyncio.run(measured(embedder, *map(int, numbers)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
