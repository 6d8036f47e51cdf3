"""Benchmarks: `python -m tests.benchmarks [--json FILE]`.

One run on this machine, with a random-weight ViT-B/32, photographs of 640×640 and texts of 5 to 20 words, one item per
request, at 1, 16 and 64 clients:

    limit       the server's own preparation and inference on all cores, no HTTP: the ceiling of this machine
    served      the service, through HTTP
    reference   transformers' CLIP in a FastAPI app, one request at a time under a lock, as Weaviate's own container

Absolute figures are the machine's; the ratios between them, taken in turns within one run, can be compared. Next to
each ratio stands the bar that it should reach; a figure below its bar is no failure. The run fails (exit status 1) when
a request failed, or when the served vectors are not the reference's.

`seconds_to_ready_cold` is from the start of the process to ready without OpenVINO's model cache, `…_cached` with it;
the files themselves are in the page cache both times. Memory is resident memory after the load. `other_cpu` says how
many cores were busy with other work meanwhile: on a busy machine the one with more threads gets more of it, so that
ratios, too, are worth little there.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmarks import machine, models, report, servers
from tests.benchmarks.report import Mode, Rounds
from tests.benchmarks.servers import BenchmarkError, Child
from tests.benchmarks.session import Say, Session

STARTS = 3
WIDTH = 120


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    options = parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        with console.status("preparing the model") as status:
            found = run(options, lambda text: status.update(text))
    except (BenchmarkError, subprocess.CalledProcessError) as error:
        console.print(f"the benchmark broke: {error}", style="red", markup=False, highlight=False)
        return 1
    # Into a file or a log there is no width to be known.
    report.show(Console() if sys.stdout.isatty() else Console(width=WIDTH), found)
    report.keep(found, options.json)
    return 0 if found["complete"] else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    made.add_argument("--seconds", type=float, default=4.0, metavar="N", help="length of one measurement (default: 4)")
    made.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each is measured (default: 3)")
    made.add_argument("--checkpoint", type=Path, metavar="DIR", help="another checkpoint, for the reference")
    made.add_argument("--model-dir", type=Path, metavar="DIR", help="the model folder made of that checkpoint")
    made.add_argument("--weaviate", action="store_true", help="also import through a real Weaviate server")
    return made


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    """The whole run. Raises `BenchmarkError`."""
    checkpoint = (options.checkpoint or models.checkpoint()).resolve()
    model = (options.model_dir or models.model(checkpoint)).resolve()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        say("starting the service, without and with its cache")
        starts = seconds_to_ready(model, folder)
        say("starting all servers")
        ours = stack.enter_context(servers.served(model, folder / "cache", folder))
        theirs = stack.enter_context(servers.reference(checkpoint, folder))
        with servers.limit(model, folder / "limit-cache", folder) as ceiling:
            session = Session((ours, theirs), ceiling, folder, options.seconds, say)
            session.prepare()
            session.run(options.rounds)
        memory = {each.name: machine.memory_mb(each.process.pid) for each in (ours, theirs)}
        found = assemble(session, starts, memory, theirs)
        found |= imports(ours, theirs, say) if options.weaviate else skipped("not asked for (--weaviate)")
        return found


def seconds_to_ready(model: Path, folder: Path) -> dict[str, list[float]]:
    """Starts without OpenVINO's model cache, and with one. The cache that is left is `folder / "cache"`."""
    with servers.served(model, folder / "cache", folder) as child:
        cold = child.seconds_to_ready
    cached: list[float] = []
    for _ in range(STARTS):
        with servers.served(model, folder / "cache", folder) as child:
            cached.append(child.seconds_to_ready)
    return {"cold": [cold], "cached": cached}


def assemble(
    session: Session, starts: dict[str, list[float]], memory: Mapping[Mode, float | None], reference: Child
) -> dict[str, Any]:
    """The report. Without ratios when there were errors."""
    cpu = machine.cpu()
    rounds = Rounds(session.rounds)
    complete = session.first_error is None
    figures: dict[str, Any] = dict.fromkeys(report.FIGURES)
    if complete:
        figures |= report.ratios(rounds)
    for name, times in starts.items():
        figures[f"seconds_to_ready_{name}"] = round(statistics.median(times), 3)
    ours, theirs = memory["served"], memory["reference"]
    if ours is not None and theirs is not None:
        figures |= {"rss_mb": round(ours, 1), "reference_rss_mb": round(theirs, 1)}
        figures["rss_over_reference"] = round(ours / theirs, 4)
    return {
        "cpu": dataclasses.asdict(cpu),
        **figures,
        "complete": complete,
        "first_error": session.first_error,
        "other_cpu": rounds.other_cpu(),
        "bars": report.judge(figures, cpu) if complete else {},
        "agreement": session.agreement() if complete else {},
        "raw": {
            "cells": rounds.summaries(),
            "seconds_to_ready": {**starts, "reference": [reference.seconds_to_ready]},
            "limit": {"best": session.best, "tried": session.tried},
        },
    }


def imports(ours: Child, theirs: Child, say: Say) -> dict[str, Any]:
    """Objects per second through a real Weaviate, by way of either server."""
    from tests.benchmarks import weaviate_import

    say("importing through Weaviate")
    try:
        rates = weaviate_import.rates({"served": ours.url, "reference": theirs.url})
    except weaviate_import.NoWeaviate as error:
        return skipped(str(error))
    return {
        "import_over_reference": round(rates["served"] / rates["reference"], 4),
        "import_objects_per_second": {mode: round(rate, 2) for mode, rate in rates.items()},
    }


def skipped(reason: str) -> dict[str, Any]:
    """What stands in the report instead of an import."""
    return {"import_over_reference": None, "import_over_reference_reason": reason}


if __name__ == "__main__":
    sys.exit(main())
