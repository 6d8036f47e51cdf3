"""What a video costs: `python -m tests.benchmarks.videos [--json FILE] [--model-dir DIR]`.

A film of 30 seconds in 1080p, H.264 at 5 Mbit/s, becomes the mean of eight of its frames through `/vectorize`: one
request at a time, and ten at once. Beside it stand

    decode      the service's decoder alone, without a model: a process for each film
    av          the same frames by `av` in this process, from the key frame before each, or with every frame decoded;
                nothing of what the service does lest a film harms it
    pictures    the same frames as JPEG files in one request: what the model costs without the film

and the most memory that the server and its decoders had meanwhile. No figures of Intel's Multimodal Embedding Serving
were found that these could stand beside.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import http.client
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.table import Table

from multi2vec import manifest as manifests
from multi2vec.engine.preparers.videos import USUAL
from multi2vec.engine.video.decoder import decode
from tests.benchmarks import films, machine, memory, models, report, servers
from tests.benchmarks.films import Shape
from tests.benchmarks.report import percentile

Pixels = npt.NDArray[np.uint8]

AT_ONCE = 10
WARM_UP = 2
QUALITY = 90


def by_service(film: bytes) -> dict[int, Pixels]:
    """The usual frames by their numbers, as the service decodes them; a number may come twice."""
    return {frame.index: frame.pixels for frame in decode(film, USUAL)}


def by_av(film: bytes, wanted: Sequence[int], *, seek: bool) -> dict[int, Pixels]:
    """The frames with those numbers, in this process: from the key frame before each, or all that come before."""
    found: dict[int, Pixels] = {}
    with av.open(io.BytesIO(film)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate is not None
        assert stream.time_base is not None
        ticks = round(1 / (stream.average_rate * stream.time_base))
        for number in wanted:
            if seek:
                container.seek(number * ticks, stream=stream)
            for frame in container.decode(stream):
                if frame.pts is not None and frame.pts >= number * ticks:
                    found[number] = frame.to_ndarray(format="rgb24")
                    break
    return found


def milliseconds(work: Callable[[], object], rounds: int) -> list[float]:
    """Of each of so many times, after one that does not count."""
    work()
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - began))
    return found


def request(port: int, body: bytes, key: str) -> None:
    """One request on a connection of its own. Raises `BenchmarkError` unless it has one vector or more."""
    connection = http.client.HTTPConnection(servers.HOST, port, timeout=servers.PATIENCE)
    try:
        connection.request("POST", "/vectorize", body)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK or not json.loads(content).get(key):
        raise servers.BenchmarkError(f"/vectorize answered {answer.status}: {content[:300]!r}")


def at_once(port: int, body: bytes, number: int) -> list[float]:
    """So many requests side by side: the milliseconds of each, and as the last one those until all were answered."""

    def one(_: int) -> float:
        request(port, body, "videoVectors")
        return 1000 * (time.perf_counter() - began)

    with ThreadPoolExecutor(number) as pool:
        began = time.perf_counter()
        return sorted(pool.map(one, range(number)))


def jpegs(frames: Iterator[Pixels] | Sequence[Pixels]) -> list[str]:
    """The frames as files in base64."""
    found = []
    for pixels in frames:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
        found.append(base64.b64encode(file.getvalue()).decode())
    return found


def served(model: Path, film: bytes, rounds: int, number: int) -> dict[str, Any]:
    """Through HTTP."""
    one = json.dumps({"video": [base64.b64encode(film).decode()]}).encode()
    pictures = json.dumps({"images": jpegs(list(by_service(film).values()))}).encode()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        with servers.served(model, folder / "cache", folder) as child:
            for _ in range(WARM_UP):
                request(child.port, one, "videoVectors")
            with memory.watched(child.process.pid) as alone_peaks:
                alone = milliseconds(lambda: request(child.port, one, "videoVectors"), rounds)
            with memory.watched(child.process.pid) as together_peaks:
                together = [at_once(child.port, one, number) for _ in range(max(1, rounds // 3))]
            as_pictures = milliseconds(lambda: request(child.port, pictures, "imageVectors"), rounds)
    whole = statistics.median(each[-1] for each in together)
    return {
        "alone_ms": spread(alone),
        "at_once": {
            "requests": number,
            "ms": spread([each for every in together for each in every]),
            "seconds_until_all": round(whole / 1000, 2),
            "videos_per_second": round(1000 * number / whole, 2),
        },
        "pictures_ms": spread(as_pictures),
        "memory_mb": {"alone": alone_peaks.rounded(), "at_once": together_peaks.rounded()},
    }


def decoded(film: bytes, rounds: int) -> dict[str, Any]:
    """Without a model and without HTTP."""
    numbers = list(by_service(film))
    with memory.watched(os.getpid()) as peaks:
        decoding = milliseconds(lambda: by_service(film), rounds)
    return {
        "decode_ms": spread(decoding),
        "decoder_mb": round(peaks.child),
        "av_from_keys_ms": spread(milliseconds(lambda: by_av(film, numbers, seek=True), rounds)),
        "av_every_frame_ms": spread(milliseconds(lambda: by_av(film, numbers, seek=False), max(1, rounds // 3))),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and the longest but a twentieth."""
    return {"p50": round(percentile(list(values), 50), 1), "p95": round(percentile(list(values), 95), 1)}


def run(model: Path, shape: Shape, rounds: int, number: int = AT_ONCE, cache: Path = models.CACHE) -> dict[str, Any]:
    """All figures."""
    film = films.video(shape, cache)
    return {
        "cpu": dataclasses.asdict(machine.cpu()),
        "model": manifests.read(model).tag,
        "film": {**dataclasses.asdict(shape), "megabytes": round(len(film) / 1e6, 2), "codec": "h264"},
        "frames": USUAL.count,
        **decoded(film, rounds),
        **served(model, film, rounds, number),
    }


def show(console: Console, found: dict[str, Any]) -> None:
    """The figures as tables."""
    film, many = found["film"], found["at_once"]
    title = f"{found['frames']} frames of {film['seconds']} s, {film['width']}×{film['height']}, {film['megabytes']} MB"
    table = Table("what", "median, ms", "p95, ms", title=f"{title}, {found['model']}")
    rows = {
        "a video through HTTP, one at a time": found["alone_ms"],
        f"a video through HTTP, {many['requests']} at once": many["ms"],
        "the frames as JPEG files through HTTP": found["pictures_ms"],
        "the service's decoder alone": found["decode_ms"],
        "av in one process, from key frames": found["av_from_keys_ms"],
        "av in one process, every frame": found["av_every_frame_ms"],
    }
    for what, times in rows.items():
        table.add_row(what, f"{times['p50']:.0f}", f"{times['p95']:.0f}")
    console.print(table)
    console.print(
        f"{many['requests']} at once: {many['seconds_until_all']} s, {many['videos_per_second']} videos/s",
        highlight=False,
    )
    peaks = Table("peak memory, MB", "server (before)", "one decoder", "all together", "decoders at a time")
    for what, each in found["memory_mb"].items():
        server = f"{each['process']} ({each['before']})"
        peaks.add_row(what, server, *(str(each[name]) for name in ("child", "together", "children")))
    console.print(peaks)
    console.print(found["cpu"])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    made = argparse.ArgumentParser(prog="python -m tests.benchmarks.videos", description=(__doc__ or "").split("\n")[0])
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    made.add_argument("--rounds", type=int, default=15, metavar="N", help="requests one at a time (default: 15)")
    made.add_argument("--seconds", type=int, default=30, metavar="N", help="length of the film (default: 30)")
    made.add_argument("--model-dir", type=Path, metavar="DIR", help="the model folder (default: a random ViT-B/32)")
    options = made.parse_args(arguments)
    model = (options.model_dir or models.model(models.checkpoint())).resolve()
    found = run(model, Shape(seconds=options.seconds), options.rounds)
    show(Console(), found)
    report.keep(found, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
