"""What Weaviate's module reranker-transformers sends and expects.

The wire format is read from its Go module (`modules/reranker-transformers/clients`). It always sends a `property`,
which is empty, and at most 32 documents at a time; it takes nothing but 200 for success, and shows the string under
`error`.
"""

from __future__ import annotations

import msgspec
from fastapi import Response

from multi2vec.engine.wanted import Wanted
from multi2vec.serve import answers, items, models, scoring
from multi2vec.serve.dialect import Dialect, Endpoint, Post
from multi2vec.serve.service import Service

PATH = "/rerank"
EXAMPLE = '{"query": "a red cat", "documents": ["a cat", "the dog"], "property": ""}'

EXAMPLES = {"texts": {"query": "a red square", "documents": ["a square", "a blue circle"], "property": ""}}


class RankRequest(msgspec.Struct):
    """Go writes a list of nothing as null. Unknown keys are ignored, and so is `property`."""

    query: str
    documents: list[str] | None = None


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/rerank` for bodies with a `property`."""

    async def rerank(asked: RankRequest) -> Response:
        documents = asked.documents or []
        manifest, wanted = service.manifest, Wanted(truncate=models.truncation(service, "end"))
        scores = await scoring.score(
            service,
            scoring.side(manifest, [items.text(asked.query)], "query", wanted),
            scoring.side(manifest, [items.text(document) for document in documents], "document", wanted),
        )
        pairs = zip(documents, scores.values, strict=True)
        found = [{"document": document, "score": value} for document, value in pairs]
        return answers.json({"query": asked.query, "scores": found})

    return (
        Post(
            PATH,
            rerank,
            RankRequest,
            EXAMPLE,
            "how well documents fit a query",
            EXAMPLES,
            is_mine=lambda keys: "property" in keys,
        ),
    )


DIALECT = Dialect("weaviate reranker-transformers", endpoints, answers.error_string)
