import json
from typing import Any

import httpx
import pytest

from multi2vec.serve.edge import clean_path, request_id, trace_id
from tests.server import serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("path", "prefix", "expected"),
    [
        ("/vectorize", "", "/vectorize"),
        ("/vectorize/", "", "/vectorize"),
        ("//vectorize", "", "/vectorize"),
        ("///.well-known//ready//", "", "/.well-known/ready"),
        ("/", "", "/"),
        ("//", "", "/"),
        ("/clip/vectorize", "/clip", "/vectorize"),
        ("/clip//vectorize/", "/clip", "/vectorize"),
        ("/clip", "/clip", "/"),
        ("/clipper/vectorize", "/clip", "/clipper/vectorize"),
        ("/vectorize", "/clip", "/vectorize"),
        ("/a/b/meta", "/a/b", "/meta"),
    ],
)
def test_paths(path: str, prefix: str, expected: str) -> None:
    assert clean_path(path, prefix) == expected


@pytest.mark.parametrize("value", ["abc-123", "a/b.c:d+e=", "x" * 128])
def test_a_harmless_request_id_is_kept(value: str) -> None:
    assert request_id({"headers": [(b"x-request-id", value.encode())]}) == value


@pytest.mark.parametrize("value", ["", "a b", "x" * 129, "é", 'a"b', "a\x1b[31m"])
def test_any_other_is_replaced(value: str) -> None:
    made = request_id({"headers": [(b"x-request-id", value.encode("latin-1"))]})
    assert made != value
    assert len(made) == 32


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (PARENT, TRACE),
        (PARENT.replace("00-", "01-", 1) + "-more", TRACE),
        ("", ""),
        (TRACE, ""),
        (PARENT.upper(), ""),
        (PARENT.replace("00-", "ff-", 1), ""),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"{PARENT}\n", ""),
    ],
)
def test_the_trace_that_a_request_belongs_to(value: str, expected: str) -> None:
    assert trace_id({"headers": [(b"traceparent", value.encode())]}) == expected


@pytest.mark.parametrize("form", ["text", "json"])
def test_log_lines_have_the_trace_s_id(toy_folder: Any, form: str) -> None:
    with serving(toy_folder, LOG_FORMAT=form) as running:
        for headers in ({"traceparent": PARENT}, {"traceparent": PARENT, "x-request-id": "mine"}, {}):
            answer = httpx.get(f"{running.url}/nothing", headers=headers, trust_env=False)
            assert answer.headers["x-request-id"] == headers.get("x-request-id", answer.headers["x-request-id"])
            if headers == {"traceparent": PARENT}:
                assert answer.headers["x-request-id"] == TRACE
        running.stop()
        first, second, third = [line for line in running.log().splitlines() if "refused GET /nothing" in line]
        if form == "text":
            assert f"[{TRACE}]" in first
            assert f"[mine {TRACE}]" in second
            assert TRACE not in third
        else:
            ids = [(line["request_id"], line["trace_id"]) for line in map(json.loads, (first, second, third))]
            assert ids[:2] == [(TRACE, TRACE), ("mine", TRACE)]
            assert ids[2][1] == ""
