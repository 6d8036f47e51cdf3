"""Spans: what they say, where they hang, and that a server without them, or without a collector, is as it was."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from multi2vec.engine import loading
from multi2vec.serve.app import create_app
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings
from multi2vec.serve.tracing import REPEAT_SECONDS, Seldom, Tracing
from tests import pictures, toy
from tests.serve.collector import SERVER, Collector, collecting
from tests.serve.test_faults import Fragile
from tests.server import ROOT, Server, environment, free_port, launched, serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}

PICTURE = toy.b64(pictures.encode(pictures.noise((40, 30)), "PNG"))


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def traced(collector: Collector, toy_folder: Path) -> Iterator[Server]:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": 50}
    with serving(toy_folder, TRACING="true", PRECISION="f32", **settings) as running:
        yield running


def post(server: Server, path: str, body: object, headers: Mapping[str, str] = {}) -> httpx.Response:
    return httpx.post(server.url + path, json=body, headers=headers, timeout=30, trust_env=False)


@contextmanager
def nobody() -> Iterator[int]:
    """A port on which nobody listens."""
    yield free_port()


@contextmanager
def silent() -> Iterator[int]:
    """A port on which connections are made and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_request_s_span_hangs_beneath_the_client_s(traced: Server, collector: Collector) -> None:
    texts = ["a secret zebra", "dog", "dog", "word " * 200]
    answer = post(traced, "/vectorize?text=secret", {"texts": texts, "images": [PICTURE]}, SAMPLED)
    assert answer.status_code == 200
    (span,) = collector.wait("POST /vectorize")
    assert (span.trace, span.parent, span.kind, span.is_error) == (TRACE, PARENT, SERVER, False)
    assert span.attributes["http.request.method"] == "POST"
    assert span.attributes["http.route"] == "/vectorize"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["multi2vec.api"] == "weaviate multi2vec-clip"
    assert b"secret" not in collector.raw
    assert b"zebra" not in collector.raw

    below = collector.below(span)
    assert sorted(below) == ["embed image", "embed text"]
    assert all(each.trace == TRACE and span.start <= each.start <= each.end for each in below.values())
    text = below["embed text"].attributes
    assert (text["multi2vec.modality"], text["multi2vec.items"], text["multi2vec.truncated"]) == ("text", 4, 1)
    assert text["multi2vec.tokens"] > 10
    assert below["embed image"].attributes["multi2vec.items"] == 1
    assert below["embed image"].attributes["multi2vec.purpose"] == "import"


def test_the_phases_follow_each_other(traced: Server, collector: Collector) -> None:
    assert post(traced, "/v1/embeddings", {"model": "toy", "input": "dog"}).status_code == 200
    (span,) = collector.wait("POST /v1/embeddings")
    assert span.attributes["multi2vec.api"] == "openai"
    phases = collector.below(collector.below(span)["embed text"])
    assert sorted(phases) == ["encode", "prepare", "wait"]
    prepare, wait, encode = phases["prepare"], phases["wait"], phases["encode"]
    moments = (span.start, prepare.start, prepare.end, wait.start, wait.end, encode.start, encode.end, span.end)
    # Two clocks meet here, so that a microsecond may be missing.
    assert all(later - earlier > -50_000 for earlier, later in itertools.pairwise(moments)), moments
    assert encode.attributes == {"multi2vec.batches": 1, "multi2vec.batch_items": 1}


def test_what_many_clients_ask_at_once_stays_apart(traced: Server, collector: Collector) -> None:
    async def ask() -> None:
        async with httpx.AsyncClient(base_url=traced.url, trust_env=False, timeout=30) as client:
            bodies = [{"texts": [f"cat {number} {place}" for place in range(number)]} for number in range(1, 9)]
            answers = await asyncio.gather(*(client.post("/vectorize", json=body) for body in bodies))
            assert {answer.status_code for answer in answers} == {200}

    asyncio.run(ask())
    spans = collector.wait("POST /vectorize", 8)
    assert len({span.trace for span in spans}) == 8
    counts = [collector.below(span)["embed text"].attributes["multi2vec.items"] for span in spans]
    assert sorted(counts) == list(range(1, 9))


def test_what_is_sent_of_the_service(traced: Server, collector: Collector) -> None:
    post(traced, "/vectorize", {"texts": ["dog"]})
    collector.wait("POST /vectorize")
    assert collector.resources[0]["service.name"] == "multi2vec-openvino"
    assert collector.resources[0]["service.version"]


def test_opentelemetry_s_own_variables_count(collector: Collector, toy_folder: Path) -> None:
    settings = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_SERVICE_NAME": "pictures",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }
    with serving(toy_folder, TRACING="true", **settings) as server:
        post(server, "/vectorize", {"texts": ["dog"]})
        post(server, "/vectorize", {"texts": ["dog"]}, UNSAMPLED)
        post(server, "/vectorize", {"texts": ["dog"]}, SAMPLED)
        assert server.stop() == 0
    (span,) = collector.named("POST /vectorize")
    assert span.trace == TRACE
    assert "embed text" in collector.below(span)
    assert collector.resources[0]["service.name"] == "pictures"


def test_refusals_are_no_errors(traced: Server, collector: Collector) -> None:
    assert post(traced, "/vectorize", {"images": ["no picture"]}).status_code == 422
    assert post(traced, "/nothing", {}).status_code == 404
    (refused,), (absent,) = collector.wait("POST /vectorize"), collector.wait("POST")
    assert not refused.is_error
    assert refused.attributes["http.response.status_code"] == 422
    assert not collector.below(refused)["embed image"].is_error
    assert not absent.is_error
    assert "http.route" not in absent.attributes


def test_what_asks_all_the_time_makes_no_spans(collector: Collector, toy_folder: Path) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "URL_PREFIX": "/clip"}
    with serving(toy_folder, TRACING="true", **settings) as server:
        for path in ("/.well-known/ready", "/.well-known//live/", "/metrics", "/meta"):
            server.get(path)
        assert server.stop() == 0
    assert [span.name for span in collector.spans] == ["GET /meta"]


def test_log_lines_have_the_new_trace_s_id(traced: Server, collector: Collector) -> None:
    own = httpx.get(f"{traced.url}/nothing", trust_env=False)
    theirs = httpx.get(f"{traced.url}/nothing", headers=SAMPLED | {"x-request-id": "mine"}, trust_env=False)
    first, second = collector.wait("GET", 2)
    assert own.headers["x-request-id"] == first.trace
    assert (theirs.headers["x-request-id"], second.trace) == ("mine", TRACE)
    lines = [line for line in traced.log().splitlines() if "refused GET /nothing" in line]
    assert f"[{first.trace}]" in lines[0]
    assert f"[mine {TRACE}]" in lines[1]


def test_the_last_spans_are_sent_at_the_end(collector: Collector, toy_folder: Path) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": 600_000}
    with serving(toy_folder, TRACING="true", **settings) as server:
        post(server, "/vectorize", {"texts": ["dog"]})
        assert not collector.spans
        assert server.stop() == 0
    assert collector.named("POST /vectorize")


@pytest.mark.parametrize("down", [nobody, silent])
def test_a_collector_that_is_down_harms_nobody(toy_folder: Path, down: Any) -> None:
    settings: dict[str, object] = {"OTEL_BSP_SCHEDULE_DELAY": 20, "OTEL_BSP_MAX_QUEUE_SIZE": 64}
    settings |= {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": 8, "DRAIN_SECONDS": 0}
    with down() as port:
        settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
        with serving(toy_folder, TRACING="true", **settings) as server, httpx.Client(trust_env=False) as client:
            for _ in range(100):
                assert client.post(f"{server.url}/vectorize", json={"texts": ["dog"]}).status_code == 200
            client.close()
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 10
            kinds = re.findall(r"opentelemetry\S*: (\w+ \w+)", server.log())
            assert len(kinds) == len(set(kinds)) <= 5
            assert "the last spans were not sent" in server.log()
            assert "Traceback" not in server.log()


def test_without_the_packages_it_does_not_start(toy_folder: Path) -> None:
    code = "import sys; sys.modules['opentelemetry.sdk'] = None; from multi2vec.serve.run import main; sys.exit(main())"
    variables = environment(toy_folder, free_port(), {"TRACING": "true"})
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("TRACING: it needs the package's extra `tracing`")
    assert done.stderr.count("\n") == 1


def test_what_opentelemetry_cannot_use_is_told(toy_folder: Path) -> None:
    with launched(toy_folder, TRACING="true", OTEL_BSP_MAX_QUEUE_SIZE=-1) as server:
        status, log = server.ended()
    assert status == 2
    assert log.startswith("TRACING: ")
    assert "Traceback" not in log


def test_off_nothing_is_sent_or_imported(collector: Collector, toy_folder: Path, tmp_path: Path) -> None:
    """FastAPI itself imports OpenTelemetry's API, but neither what makes spans nor what sends them."""
    said = "import atexit, sys; atexit.register(lambda: print('HAS', *sys.modules))"
    (tmp_path / "sitecustomize.py").write_text(said)
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": 20,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))),
    }
    with serving(toy_folder, **settings) as server:
        assert post(server, "/vectorize", {"texts": ["dog"]}, SAMPLED).status_code == 200
        assert server.stop() == 0
        (line,) = [line for line in server.log().splitlines() if line.startswith("HAS ")]
    modules = line.split()
    assert "fastapi" in modules
    loaded = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "multi2vec.serve.tracing")
    assert not [name for name in modules if name.startswith(loaded)]
    assert not collector.raw


def finished(folder: Path) -> dict[str, Any]:
    """The spans, by name, of one request that the server fails to answer."""
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter)
    service = Service(Settings(model_dir=folder, cache_dir=None, threads=1), tracing.metrics())
    app = create_app(service, lambda error: None, tracing)

    async def main() -> httpx.Response:
        await service.load()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.post("/vectorize", json={"texts": ["cat", "dog"]})

    assert asyncio.run(main()).status_code == 500
    service.close()
    assert tracing.close()
    spans: dict[str, Any] = {span.name: span for span in exporter.get_finished_spans()}
    # An event would be an exception with its message.
    assert not any(span.status.is_ok or span.status.description or span.events for span in spans.values())
    return spans


def test_server_faults_are_errors(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "Encoder", Fragile)
    spans = finished(toy_folder)
    assert sorted(spans) == ["POST /vectorize", "embed text"]
    assert spans["POST /vectorize"].attributes["error.type"] == "500"
    assert spans["embed text"].attributes["error.type"] == "EncodeFailed"


def test_so_are_those_that_nobody_expected(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: Service) -> None:
        raise RuntimeError("about a text")

    monkeypatch.setattr(Service, "embedder", broken)
    (span,) = finished(toy_folder).values()
    assert span.name == "POST /vectorize"
    assert not any("text" in str(value) for value in span.attributes.values())


def test_the_same_line_seldom_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seldom = Seldom()

    def passes(name: str, message: str) -> bool:
        return seldom.filter(logging.LogRecord(name, logging.ERROR, "", 0, message, None, None))

    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert [passes("opentelemetry.sdk", "full"), passes("opentelemetry.sdk", "full")] == [True, False]
    assert passes("opentelemetry.exporter", "failed")
    assert [passes("multi2vec", "same"), passes("multi2vec", "same")] == [True, True]
    now += REPEAT_SECONDS
    assert passes("opentelemetry.sdk", "full")
