"""What converting and running a real-size model costs here: one record per model.

Weights are random, which changes neither time nor memory nor size; parity is that of the arithmetic.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from multi2vec import manifest as manifests
from multi2vec.convert import samples
from multi2vec.engine import proof
from multi2vec.engine.embedder import Embedder
from multi2vec.engine.loading import open_model

ROOT = Path(__file__).parents[2]

# The file in which records are kept, one object per tag and precision of weights.
RECORDS = ROOT / "docs" / "models.json"


@dataclass(frozen=True)
class Record:
    """Times in seconds, sizes in bytes. `speed` is items per second by modality: one at a time, and all the examples
    of the manifest in one call.

    `peak_bytes` are those of the conversion without pages of mapped files, which the system drops when it needs memory.
    """

    tag: str
    weights: str
    cpu: str
    threads: int
    checkpoint_bytes: int
    conversion_seconds: float
    peak_bytes: int
    folder_bytes: int
    parity: dict[str, Any]
    speed: dict[str, dict[str, float]] = field(default_factory=dict)


class ConversionFailed(RuntimeError):
    """What the command wrote."""


def convert(tag: str, source: Path, target: Path, *arguments: str) -> Record:
    """Convert the checkpoint `source` by the command that users have, and measure it. Raises `ConversionFailed`."""
    command = [sys.executable, "-m", "multi2vec", "convert", tag, "--source", str(source), "--out", str(target)]
    log = target.with_name(f"{target.name}.log")
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        peak = peak_until_end(process)
    seconds = time.monotonic() - began
    if process.returncode:
        raise ConversionFailed(log.read_text(errors="replace")[-4000:])
    read = manifests.read(target)
    return Record(
        tag=tag,
        weights=read.precision,
        cpu=cpu(),
        threads=len(os.sched_getaffinity(0)),
        checkpoint_bytes=size(source),
        conversion_seconds=round(seconds, 1),
        peak_bytes=peak,
        folder_bytes=size(target),
        parity={name: read.parity[name] for name in ("f32", "bf16")},
        speed=speed(target),
    )


def peak_until_end(process: subprocess.Popen[bytes]) -> int:
    """Wait for it. Returns the most bytes of its own that it had, looked at many times a second."""
    peak = 0
    try:
        while process.poll() is None:
            peak = max(peak, own_bytes(process.pid))
            time.sleep(0.05)
    finally:
        process.kill()
    return peak


def own_bytes(process: int) -> int:
    """What a process has without mapped files; one that has just ended has nothing any more."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    # In kilobytes.
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def speed(folder: Path) -> dict[str, dict[str, float]]:
    """Items per second of each modality, measured in a process of its own."""
    command = [sys.executable, "-m", "tests.models.measured", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


async def measure_speed(folder: Path, seconds: float = 3.0) -> dict[str, dict[str, float]]:
    """As served, without HTTP."""
    found: dict[str, dict[str, float]] = {}
    embedder = open_model(folder)
    await proof.prove(embedder)
    for modality in embedder.manifest.modalities:
        table = samples.SAMPLES[modality]
        given = list(table.examples()) or [sample.item for sample in table.all()]
        items = [item for item in given if samples.fits(item, embedder.manifest.modalities)]
        found[modality] = {
            "alone": await _rate(embedder, modality, [[item] for item in items], seconds),
            "together": await _rate(embedder, modality, [items], seconds),
        }
    embedder.close()
    return found


async def _rate(embedder: Embedder, modality: str, calls: list[list[Any]], seconds: float) -> float:
    """Items per second of these calls in turn."""
    for call in calls:
        await embedder.embed(modality, call)
    done, count, began = 0, 0, time.monotonic()
    while (spent := time.monotonic() - began) < seconds:
        call = calls[count % len(calls)]
        await embedder.embed(modality, call)
        count, done = count + 1, done + len(call)
    # Of large models it is far less than one.
    return float(f"{done / spent:.3g}")


def size(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def cpu() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def keep(record: Record, path: Path = RECORDS) -> None:
    """Put the record into the file, in place of an older one of the same model and precision of weights."""
    known = json.loads(path.read_text()) if path.is_file() else []
    others = [each for each in known if (each["tag"], each["weights"]) != (record.tag, record.weights)]
    ordered = sorted([*others, asdict(record)], key=lambda each: (each["tag"].lower(), each["weights"]))
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(ordered, indent=1) + "\n")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure_speed(Path(sys.argv[1])))))
