"""Every API says of a request whether it is a search, whose caller waits, or an import, of which more will come."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from multi2vec.serve import examples
from tests.server import ROOT, Server, serving

TEXTS = ["a red square", "a blue circle"]
PART = {"type": "text", "text": "a red square"}


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    with serving(ROOT / "images" / "demo" / "model") as running:
        yield running


def counted(server: Server) -> dict[str, float]:
    """How many items were asked for so far, by purpose."""
    found = re.findall(r'multi2vec_items_total\{modality="\w+",purpose="(\w+)"\} (\S+)', server.get("/metrics").text)
    return {purpose: sum(float(value) for each, value in found if each == purpose) for purpose in ("search", "import")}


CASES = [
    # A single item is a search, and several are an import,
    ("/vectorize", {"texts": TEXTS[:1]}, "search"),
    ("/vectorize", {"images": [examples.PICTURE]}, "search"),
    ("/vectorize", {"texts": TEXTS}, "import"),
    ("/vectorize", {"texts": TEXTS[:1], "images": [examples.PICTURE]}, "import"),
    ("/vectors", {"text": TEXTS[0]}, "search"),
    ("/vectors", {"texts": TEXTS}, "import"),
    ("/v1/embeddings", {"input": TEXTS[0]}, "search"),
    ("/v1/embeddings", {"input": TEXTS}, "import"),
    ("/v1/embeddings", {"input": [TEXTS[0], examples.URI]}, "import"),
    ("/embed", {"inputs": TEXTS[0]}, "search"),
    ("/embed", {"inputs": TEXTS}, "import"),
    ("/v2/embed", {"texts": TEXTS, "input_type": "classification"}, "import"),
    ("/embeddings", {"input": PART}, "search"),
    ("/embeddings", {"input": {"type": "text", "text": TEXTS}}, "import"),
    # unless the request says what its texts are for.
    ("/vectors", {"text": TEXTS[0], "config": {"task_type": "query"}}, "search"),
    ("/vectors", {"texts": TEXTS, "config": {"task_type": "query"}}, "search"),
    ("/vectors", {"text": TEXTS[0], "config": {"task_type": "passage"}}, "import"),
    ("/v1/embeddings", {"input": TEXTS, "input_type": "query"}, "search"),
    ("/v1/embeddings", {"input": TEXTS[0], "prompt_name": "document"}, "import"),
    ("/v1/embeddings", {"input": TEXTS, "embedding_type": "float", "task": "retrieval.query"}, "search"),
    ("/v1/embeddings", {"input": TEXTS[0], "embedding_type": "float", "task": "retrieval.passage"}, "import"),
    ("/v1/embed", {"texts": TEXTS, "input_type": "search_query"}, "search"),
    ("/v2/embed", {"texts": TEXTS[:1], "input_type": "search_document"}, "import"),
    ("/embed", {"inputs": TEXTS, "prompt_name": "query"}, "search"),
    # What is compared with one query is part of a search; pairs are not.
    ("/rerank", {"query": TEXTS[0], "documents": TEXTS, "property": ""}, "search"),
    ("/rerank", {"query": TEXTS[0], "documents": TEXTS}, "search"),
    ("/rerank", {"query": TEXTS[0], "texts": TEXTS}, "search"),
    ("/similarity", {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS}}, "search"),
    ("/score", {"queries": TEXTS[0], "documents": TEXTS}, "search"),
    ("/score", {"queries": TEXTS, "documents": TEXTS}, "import"),
]


@pytest.mark.parametrize(("path", "body", "purpose"), CASES)
def test_purposes(demo: Server, path: str, body: dict[str, Any], purpose: str) -> None:
    before = counted(demo)
    httpx.post(demo.url + path, json=body, trust_env=False).raise_for_status()
    after = counted(demo)
    other = "import" if purpose == "search" else "search"
    assert after[purpose] > before[purpose]
    assert after[other] == before[other]
