"""The memory of a model of texts and pictures together: `python -m tests.benchmarks.fused_memory [--model-dir DIR]`.

A real server gets at the same moment a picture as large as the model takes it, a text of 4,000 tokens, and a request of
16 short texts. Printed are the most resident memory before and meanwhile, and how long each took. `--set NAME=VALUE`
sets what a server can be set, such as `FUSED_PICTURE_PIXELS=501760` or `PRECISION=f32`. Without a folder it is a small
model with random weights, which shows that all goes well and nothing more.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import http.client
import io
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from multi2vec import manifest as manifests
from multi2vec.engine.preparers.layouts.hd import TILE
from multi2vec.layouts import GemmaLayout, HdLayout, Layout
from multi2vec.specs import FusedSpec
from tests.benchmarks import machine, memory, models, report, samples, servers

LONG, SHORT = 4000, 16
# One token each in most tokenizers.
WORD = "a "
# A model of billions of parameters, on few cores.
PATIENCE = 3600.0
# Nothing is refused because it would take long.
SETTINGS = {"MAX_WAIT": str(PATIENCE)}


@dataclass(frozen=True)
class Answer:
    """What came back: how many tokens, and after how many seconds."""

    tokens: int
    seconds: float


def units(layout: Layout) -> tuple[int, int]:
    """The side in pixels of the squares that pictures are whole numbers of, and the most of them in one."""
    if isinstance(layout, GemmaLayout):
        return layout.side, layout.most
    if isinstance(layout, HdLayout):
        return TILE, layout.crops
    last = layout.resizes[-1]
    return last.multiple, last.most // last.multiple**2


def largest(layout: Layout) -> tuple[int, int]:
    """(width, height) of a picture with as many squares as there can be: the one that is nearest to a square."""
    side, most = units(layout)
    shapes = [(most // rows, rows) for rows in range(1, math.isqrt(most) + 1) if most // rows <= 2 * rows]
    columns, rows = max(shapes, key=lambda shape: (math.prod(shape), shape[1]))
    return columns * side, rows * side


def bodies(spec: FusedSpec) -> dict[str, dict[str, Any]]:
    """What is sent, by its name."""
    width, height = largest(spec.layout)
    words = WORD * min(LONG, spec.max_length)
    return {
        f"a picture of {width}×{height}": {"input": [{"image": picture(width, height)}]},
        "a text of 4,000 tokens": {"input": [words], "truncate_prompt_tokens": min(LONG, spec.max_length)},
        f"{SHORT} short texts": {"input": samples.texts(SHORT)},
    }


def picture(width: int, height: int) -> str:
    """A photograph of that size, a JPEG file in base64."""
    file = io.BytesIO()
    next(samples.photographs()).resize((width, height), Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
    return base64.b64encode(file.getvalue()).decode()


def ask(port: int, body: Mapping[str, Any]) -> Answer:
    """One request. Raises `BenchmarkError` for one that is refused."""
    connection = http.client.HTTPConnection(servers.HOST, port, timeout=PATIENCE)
    began = time.perf_counter()
    try:
        connection.request("POST", "/v1/embeddings", json.dumps(body).encode())
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise servers.BenchmarkError(f"/v1/embeddings answered {answer.status}: {content[:300]!r}")
    found = json.loads(content)
    assert all(np.isfinite(each["embedding"]).all() for each in found["data"])
    return Answer(found["usage"]["prompt_tokens"], time.perf_counter() - began)


def together(port: int, asked: Sequence[Mapping[str, Any]]) -> list[Answer]:
    """All at the same moment."""
    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(lambda body: ask(port, body), asked))


def run(model: Path, settings: Mapping[str, str]) -> dict[str, Any]:
    """All figures. Raises `BenchmarkError`."""
    manifest = manifests.read(model)
    spec = next((each for each in manifest.inputs.values() if isinstance(each, FusedSpec)), None)
    if spec is None:
        raise servers.BenchmarkError(f"{model} is no model of texts and pictures together")
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        with servers.served(model, folder / "cache", folder, {**SETTINGS, **settings}, PATIENCE) as child:
            loading = memory.status(child.process.pid)["VmHWM"]
            asked = bodies(spec)
            # Weights are read when they are needed first.
            for warm in ({"input": [{"image": picture(64, 64)}]}, {"input": ["a cat"]}):
                ask(child.port, warm)
            with memory.watched(child.process.pid) as peaks:
                began = time.perf_counter()
                answers = together(child.port, list(asked.values()))
                seconds = time.perf_counter() - began
            towers = meta(child.port)["execution"]["towers"]
            ready = child.seconds_to_ready
    return {
        "cpu": dataclasses.asdict(machine.cpu()),
        "model": manifest.tag,
        "settings": dict(settings),
        "precision": {tower: how["precision"] for tower, how in towers.items()},
        "seconds_to_ready": round(ready, 1),
        "memory_mb": {"loading": round(loading), **peaks.rounded()},
        "seconds": round(seconds, 2),
        "answers": {
            what: {"tokens": answer.tokens, "seconds": round(answer.seconds, 2)}
            for what, answer in zip(asked, answers, strict=True)
        },
    }


def meta(port: int) -> dict[str, Any]:
    """What the server says of itself."""
    connection = http.client.HTTPConnection(servers.HOST, port, timeout=PATIENCE)
    connection.request("GET", "/meta")
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def show(console: Console, found: Mapping[str, Any]) -> None:
    """The figures as tables."""
    peaks = found["memory_mb"]
    how = ", ".join(f"{tower} in {precision}" for tower, precision in found["precision"].items())
    console.print(f"{found['model']} ({how}) {found['settings'] or ''}", highlight=False, markup=False)
    table = Table("resident memory, MB", "")
    for what, name in (
        ("most while loading", "loading"),
        ("ready", "before"),
        ("most meanwhile", "process"),
        ("… without mapped files", "own"),
    ):
        table.add_row(what, str(peaks[name]))
    console.print(table)
    table = Table("sent together", "tokens", "seconds", title=f"all in {found['seconds']} s")
    for what, answer in found["answers"].items():
        table.add_row(what, str(answer["tokens"]), str(answer["seconds"]))
    console.print(table)
    console.print(found["cpu"])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.fused_memory", description=(__doc__ or "").partition("\n")[0]
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    made.add_argument("--model-dir", type=Path, metavar="DIR", help="the model folder (default: a small random GME)")
    made.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server")
    options = made.parse_args(arguments)
    settings = dict(each.split("=", 1) for each in options.set)
    found = run((options.model_dir or models.small_fused()).resolve(), settings)
    show(Console(), found)
    report.keep(found, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
