"""One run: servers side by side, measured in turns.

Machines are noisy and slow down for minutes at a time. So every round measures every cell for a few seconds, every
other round in the opposite order, and ratios are taken within a round.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import limit, samples
from tests.benchmarks.limit import Trial
from tests.benchmarks.load import Plan
from tests.benchmarks.models import ROOT
from tests.benchmarks.report import PERCENTILES, Round, percentile
from tests.benchmarks.samples import ANSWER_KEYS, MODALITIES, Modality
from tests.benchmarks.servers import BenchmarkError, Child, LimitProcess

CLIENTS = (1, 16, 64)
# Between two cells; threads of the one before spin for a while after their last work (seconds).
SETTLE = 0.3
# bf16 inference behind the server against float32 behind the reference.
SMALLEST_COSINE = 0.999

Say = Callable[[str], None]
Step = Callable[[], None]


@dataclass
class Session:
    """What is running, and what came out so far. `child` names are the modes."""

    children: Sequence[Child]
    ceiling: LimitProcess
    folder: Path
    seconds: float
    say: Say
    rounds: list[Round] = field(default_factory=list)
    tried: list[dict[str, object]] = field(default_factory=list)
    first_error: str | None = None
    _best: dict[Modality, Trial] = field(default_factory=dict)
    _vectors: dict[tuple[str, Modality], dict[str, list[float]]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Write the bodies, find the best way to run the ceiling."""
        for modality in MODALITIES:
            self._bodies(modality).write_bytes(b"\n".join(samples.bodies(modality)))
            self._best[modality] = self._find_best(modality)

    def run(self, rounds: int) -> None:
        """All rounds."""
        for number in range(rounds):
            steps = list(self._steps(f"round {number + 1} of {rounds}"))
            for step in steps if number % 2 == 0 else reversed(steps):
                time.sleep(SETTLE)
                step()

    def agreement(self) -> dict[Modality, dict[str, float]]:
        """The smallest cosine between the served vectors and the reference's, over all bodies that both answered.

        Raises `BenchmarkError` when a vector is not the reference's: then speed means nothing.
        """
        found: dict[Modality, dict[str, float]] = {}
        for modality in MODALITIES:
            ours, theirs = (self._vectors.get((mode, modality), {}) for mode in ("served", "reference"))
            both = sorted(ours.keys() & theirs.keys())
            if not both:
                raise BenchmarkError(f"no {modality} was answered by both servers")
            cosines = [_cosine(ours[index], theirs[index]) for index in both]
            found[modality] = {"samples": len(both), "smallest_cosine": round(min(cosines), 6)}
            if min(cosines) < SMALLEST_COSINE:
                raise BenchmarkError(f"served {modality} vectors are not the reference's: cosine {min(cosines):.5f}")
        return found

    @property
    def best(self) -> dict[str, dict[str, object]]:
        """The way that the ceiling was measured in."""
        return {modality: dataclasses.asdict(trial) for modality, trial in self._best.items()}

    def _find_best(self, modality: Modality) -> Trial:
        fastest, best = 0.0, None
        for trial in limit.ways(modality, min(1.5, self.seconds)):
            rate = self.ceiling.run(trial)
            self.say(f"limit, {modality}: {trial.streams} streams, batches of {trial.batch}: {rate:.0f}/s")
            self.tried.append({**dataclasses.asdict(trial), "items_per_second": round(rate, 2)})
            if best is None or rate > fastest:
                fastest, best = rate, trial
        assert best is not None
        return dataclasses.replace(best, seconds=self.seconds)

    def _steps(self, label: str) -> Iterator[Step]:
        for modality in MODALITIES:
            for clients in CLIENTS:
                for child in self.children:
                    yield lambda a=child, b=modality, c=clients: self._load(label, a, b, c)  # type: ignore[misc]
            yield lambda b=modality: self._limit(label, b)  # type: ignore[misc]

    def _limit(self, label: str, modality: Modality) -> None:
        self.say(f"{label}: limit, {modality}")
        self.rounds.append(Round("limit", modality, 0, self.ceiling.run(self._best[modality])))

    def _load(self, label: str, child: Child, modality: Modality, clients: int) -> None:
        self.say(f"{label}: {child.name}, {modality}, {clients} clients")
        bodies, process = str(self._bodies(modality)), child.process.pid
        plan = Plan(child.port, bodies, clients, self.seconds, ANSWER_KEYS[modality], pid=process)
        result = generate(plan)
        self.first_error = self.first_error or result["first_error"]
        self._vectors.setdefault((child.name, modality), {}).update(result["vectors"])
        latencies = [1000 * seconds for seconds in result["latencies"]]
        self.rounds.append(
            Round(
                child.name,
                modality,
                clients,
                len(latencies) / result["seconds"] if latencies else 0.0,
                {percent: percentile(latencies, percent) for percent in PERCENTILES if latencies},
                result["errors"],
                result["generator_cpu"],
                result["server_cpu"],
                result["other_cpu"],
            )
        )

    def _bodies(self, modality: Modality) -> Path:
        return self.folder / f"{modality}.jsonl"


def generate(plan: Plan) -> dict[str, Any]:
    """Run the load generator in its own process. Its `Result` as it comes in JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.load"],
        cwd=ROOT,
        input=json.dumps(dataclasses.asdict(plan)).encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"the load generator failed: {done.stderr.decode(errors='replace')[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    a, b = np.asarray(one), np.asarray(other)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
