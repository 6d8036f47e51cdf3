"""The benchmark's own parts, quickly and without a judgement on any time."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.benchmarks import __main__ as command
from tests.benchmarks import (
    dialects,
    limit,
    machine,
    models,
    report,
    samples,
    servers,
)
from tests.benchmarks.limit import Limit, Trial
from tests.benchmarks.machine import Cpu
from tests.benchmarks.report import Bar, Round, Rounds, percentile
from tests.benchmarks.servers import BenchmarkError
from tests.benchmarks.session import Session
from tests.server import DEMO

XEON = Cpu("a processor", 2, amx=True, avx512_bf16=True, avx512=True, avx2=True)


@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_percentile_is_numpys(count: int) -> None:
    values = [(each * 37) % 101 / 7 for each in range(count)]

    for percent in (0, 50, 95, 99, 100):
        assert percentile(values, percent) == pytest.approx(np.percentile(values, percent))


def test_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_ratios_are_taken_within_a_round() -> None:
    fast_then_slow = [Round("served", "image", 64, 100.0), Round("served", "image", 64, 10.0)]
    ceiling = [Round("limit", "image", 0, 110.0), Round("limit", "image", 0, 11.0)]

    ratio = Rounds(fast_then_slow + ceiling).speed_ratio(("served", "image", 64), ("limit", "image", 0))

    assert ratio == pytest.approx(10 / 11, abs=1e-4)


def test_texts_and_pictures() -> None:
    texts, pictures = samples.texts(), samples.pictures(10)

    assert len(set(texts)) == len(texts) == samples.TEXTS
    assert {len(text.split()) for text in texts} == set(range(5, 21))
    assert texts == samples.texts()
    assert len(set(pictures)) == 10
    image = Image.open(io.BytesIO(pictures[0]))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (640, 640))


def test_bodies_have_one_item_each() -> None:
    body = json.loads(samples.bodies("text")[0])

    assert list(body) == ["texts"]
    assert len(body["texts"]) == 1


@pytest.mark.parametrize("modality", samples.MODALITIES)
def test_the_ceiling_runs(toy_folder: Path, modality: samples.Modality, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "WARM_UP", 0.05)

    assert Limit(toy_folder).run(Trial(modality, streams=1, workers=2, batch=4, seconds=0.1)) > 0


def test_ways_to_run_the_ceiling() -> None:
    ways = limit.ways("image", 1.0, cpus=4)

    assert len(set(ways)) == len(ways)
    assert {way.streams for way in ways} >= {1, 4}
    assert {way.workers for way in ways} == {4, 8}


def test_cpu_of_a_machine(tmp_path: Path) -> None:
    information = tmp_path / "cpuinfo"
    information.write_text(
        "model name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile amx_bf16\n"
    )

    cpu = machine.cpu(information)

    assert cpu.model == "Some CPU @ 2 GHz"
    assert (cpu.amx, cpu.avx512_bf16, cpu.avx512, cpu.avx2) == (True, True, True, True)
    assert machine.cpu(tmp_path / "none").amx is False


def test_bars_depend_on_the_processor() -> None:
    assert report.bars(XEON)["served_over_reference_images"] == Bar(at_least=8)
    assert report.bars(Cpu("another", 2, avx2=True))["served_over_reference_texts"] == Bar(at_least=9)
    assert Bar(at_most=0.5).passed(0.5)
    assert not Bar(at_least=0.85).passed(0.84)


class Reference:
    """Stands for the reference's process."""

    seconds_to_ready = 9.0


def session(error: str | None = None) -> Session:
    """As it is after a run of one round."""
    made = Session((), None, Path(), 1.0, lambda _: None, first_error=error)  # type: ignore[arg-type]
    for modality in samples.MODALITIES:
        made.rounds.append(Round("limit", modality, 0, 200.0))
        for clients in (1, 16, 64):
            made.rounds.append(Round("served", modality, clients, 180.0, {50: 10.0, 95: 11.0, 99: 12.0}))
            made.rounds.append(Round("reference", modality, clients, 18.0, {50: 50.0, 95: 60.0, 99: 70.0}))
        made._vectors["served", modality] = {"0": [0.6, 0.8], "1": [0.0, 1.0]}
        made._vectors["reference", modality] = {"0": [0.6, 0.8]}
    return made


STARTS = {"cold": [4.0], "cached": [1.0, 1.2, 1.1]}
MEMORY = {"served": 400.0, "reference": 1000.0}


def test_report_has_all_figures() -> None:
    found = command.assemble(session(), STARTS, MEMORY, Reference()) | command.skipped("no")  # type: ignore[arg-type]

    assert set(report.FIGURES) <= set(found)
    assert found["served_over_limit_images"] == 0.9
    assert found["served_over_reference_texts"] == 10
    assert found["p50_over_reference_image"] == 0.2
    assert (found["seconds_to_ready_cold"], found["seconds_to_ready_cached"]) == (4.0, 1.1)
    assert (found["rss_mb"], found["reference_rss_mb"]) == (400, 1000)
    assert set(found["cpu"]) >= {"model", "cores", "amx", "avx512_bf16", "avx512", "avx2"}
    assert found["bars"]["rss_over_reference"] == {"figure": 0.4, "bar": "≤ 0.5", "passed": True}
    assert found["agreement"]["text"] == {"samples": 1, "smallest_cosine": 1.0}
    assert len(found["raw"]["cells"]) == 14
    json.dumps(found)

    text = shown(found)
    assert "served_over_limit_images" in text
    assert "pass" in text
    assert "was busy" not in text


def test_report_says_when_the_machine_was_busy() -> None:
    busy = session()
    busy.rounds.append(Round("served", "text", 8, 1.0, other_cpu=0.7))

    found = command.assemble(busy, STARTS, MEMORY, Reference()) | command.skipped("no")  # type: ignore[arg-type]

    assert found["other_cpu"] == 0.7
    assert "was busy: 0.70 cores" in shown(found)


def test_report_gives_no_ratios_after_an_error() -> None:
    found = command.assemble(session("status 500"), STARTS, MEMORY, Reference())  # type: ignore[arg-type]

    assert found["complete"] is False
    assert found["served_over_limit_images"] is None
    text = shown(found)
    assert "status 500" in text
    assert "served_over_limit_images" not in text


def test_wrong_vectors_break_the_run() -> None:
    wrong = session()
    wrong._vectors["served", "text"]["0"] = [0.8, 0.6]

    with pytest.raises(BenchmarkError, match="not the reference's"):
        command.assemble(wrong, STARTS, MEMORY, Reference())  # type: ignore[arg-type]


def test_a_model_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    make = [sys.executable, "-c", "import os, sys; os.mkdir(sys.argv[1])"]

    models._make(folder, make)
    models._keep(folder, "key")

    assert models._is_current(folder, "key")
    assert not models._is_current(folder, "another")
    with pytest.raises(subprocess.CalledProcessError):
        models._make(folder, [sys.executable, "-c", "raise SystemExit(1)"])
    assert not models._is_current(folder, "key")


def shown(found: dict[str, object]) -> str:
    console = Console(width=160, file=io.StringIO())
    report.show(console, found)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class TestDialects:
    def test_every_api_answers_the_items_it_is_measured_with(self, tmp_path: Path) -> None:
        picture = base64.b64encode(samples.pictures(1)[0]).decode()
        with servers.served(DEMO, tmp_path / "cache", tmp_path) as child:
            for bodies in (dialects.bodies_of_texts(["cat", "dog"]), dialects.bodies_of_pictures([picture] * 2)):
                seconds = dialects.measure(child.port, bodies, rounds=2)
                assert {name: len(own) for name, own in seconds.items()} == dict.fromkeys(bodies, 2)

    def test_ratios_are_taken_within_a_round(self) -> None:
        # The second round was twice as slow for everybody.
        found = dialects.ratios({"/vectorize": [1.0, 2.0, 1.0], "other": [1.1, 2.2, 5.0]})
        assert found == {"/vectorize": 1.0, "other": 1.1}

    def test_writing_takes_time(self) -> None:
        assert all(value > 0 for value in dialects.milliseconds_to_write().values())
