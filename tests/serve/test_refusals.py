"""Every refusal can be seen: one line in the log with the request's id, one count by reason and limit, one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests import pictures, toy
from tests.server import Server, serving

LIMITS = {"MAX_BODY_BYTES": 4000, "MAX_ITEMS": 3, "MAX_PICTURE_BYTES": 1000, "MAX_PICTURE_PIXELS": 5000}
LARGE = toy.b64(pictures.encode(pictures.noise((80, 80)), "JPEG", quality=5))


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(toy.write(tmp_path_factory.mktemp("toy")), **LIMITS) as running:
        yield running


def count(server: Server, reason: str, limit: str) -> float:
    text = httpx.get(server.url + "/metrics").text
    found = re.search(rf'multi2vec_refused_total\{{limit="{limit}",reason="{reason}"\}} (\S+)', text)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason", "limit"),
    [
        ("POST", "/vectorize", {"texts": ["a"] * 4}, 413, "too_large", "MAX_ITEMS"),
        ("POST", "/vectorize", {"texts": ["x" * 5000]}, 413, "too_large", "MAX_BODY_BYTES"),
        ("POST", "/vectorize", {"images": ["A" * 2000]}, 413, "too_large", "MAX_PICTURE_BYTES"),
        ("POST", "/vectorize", {"images": [LARGE]}, 413, "too_large", "MAX_PICTURE_PIXELS"),
        ("POST", "/vectorize", {"images": ["AAAA"]}, 422, "bad_input", ""),
        # Another API, another status.
        ("POST", "/v2/embed", {"images": ["AAAA"]}, 400, "bad_input", ""),
        ("POST", "/vectorize", {"audio": ["AAAA"]}, 422, "unsupported", ""),
        ("POST", "/vectorize", {"texts": 3}, 400, "bad_request", ""),
        ("GET", "/nothing", None, 404, "not_found", ""),
        ("GET", "/vectorize", None, 405, "method_not_allowed", ""),
    ],
)
def test_each_reason_has_its_line_and_its_count(
    limited: Server, method: str, path: str, body: object, status: int, reason: str, limit: str
) -> None:
    before = count(limited, reason, limit)
    identity = f"test{path}-{reason}-{limit}"
    answer = httpx.request(method, limited.url + path, json=body, headers={"x-request-id": identity})
    assert answer.status_code == status
    assert count(limited, reason, limit) == before + 1
    (sentence,) = answer.json().values()
    lines = [line for line in limited.log().splitlines() if identity in line]
    assert len(lines) == 1
    assert f"INFO    [{identity}]" in lines[0]
    assert f"refused {method} {path}: {status} {reason}: {sentence}" in lines[0]
    assert limit in sentence
