"""`/rerank`: the documents, those that fit the query best first."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastapi import Response

from multi2vec.engine.wanted import Truncation, Wanted
from multi2vec.manifest import Manifest
from multi2vec.serve import answers, models, scoring
from multi2vec.serve.dialects.vllm.score import item_of, side_of
from multi2vec.serve.errors import BadRequest, Failure
from multi2vec.serve.service import Service
from multi2vec.serve.wishes import Wishes, wanted

RERANK_EXAMPLE = '{"query": "a red cat", "documents": ["a cat", "the dog"], "top_n": 1, "model": "any"}'

# What Cohere's clients read, whatever was billed.
META = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}


class RerankRequest(Wishes):
    """Query and documents as `/score` takes them. `top_n` below 1 is all. `output`, which is neither vLLM's nor
    Cohere's own, names the vectors that are compared."""

    query: Any = None
    documents: Any = None
    top_n: int | None = None
    max_tokens_per_query: int | None = None
    max_tokens_per_doc: int | None = None
    output: str | None = None


async def rerank(service: Service, asked: RerankRequest) -> Response:
    """`/rerank` and `/v1/rerank`. Raises `BadRequest`, and what `scoring.score` does."""
    return answers.json(await _answer(service, asked, "refuse"))


async def rerank_for_both(service: Service, asked: RerankRequest) -> Response:
    """`/v2/rerank`: too long texts are cut, as Cohere's clients expect. Raises as `rerank` does."""
    return answers.json({**await _answer(service, asked, "end"), "meta": META})


def render_error_for_both(failure: Failure) -> Response:
    """`{"error": {"message", "type", "param", "code"}, "message"}`: vLLM's clients read the one, Cohere's the other."""
    return answers.openai_error(failure, message=failure.message)


async def _answer(service: Service, asked: RerankRequest, own: Truncation) -> dict[str, Any]:
    for key in ("query", "documents"):
        if getattr(asked, key) is None:
            raise BadRequest(f"{key} is missing; the body looks like {RERANK_EXAMPLE}", param=key)
    manifest, wishes = service.manifest, wanted(asked, service, own)
    query = item_of(asked.query, "query", manifest, "query")
    documents = side_of(asked.documents, "documents", manifest)
    scores = await scoring.score(
        service,
        scoring.side(manifest, [query], "query", _cut(wishes, asked.max_tokens_per_query, manifest, "query")),
        scoring.side(manifest, documents, "document", _cut(wishes, asked.max_tokens_per_doc, manifest, "doc")),
        asked.output,
    )
    return {
        "id": f"rerank-{uuid.uuid4().hex}",
        "model": service.manifest.tag,
        "usage": answers.usage(scores.tokens),
        "results": _results(asked, scores.values),
    }


def _cut(wishes: Wanted, most: int | None, manifest: Manifest, what: str) -> Wanted:
    """With texts cut to so many tokens; None and 0 leave that to the rest of the request, and what is beyond the
    model's longest text is as good as that."""
    if not most:
        return wishes
    if most < 0:
        key = f"max_tokens_per_{what}"
        raise BadRequest(f"{key} is {most}; it is at least 0, which is no limit", param=key)
    side: Truncation = "start" if wishes.truncate == "start" else "end"
    longest = models.longest_text(manifest)
    least = min(each for each in (most, wishes.max_tokens, longest) if each is not None)
    return replace(wishes, truncate=side, max_tokens=None if least == longest else least)


def _results(asked: RerankRequest, values: Sequence[float]) -> list[dict[str, Any]]:
    given = asked.documents if isinstance(asked.documents, list) else [asked.documents]
    top = scoring.best_first(values)[: asked.top_n if asked.top_n and asked.top_n > 0 else None]
    return [{"index": place, "document": _document(given[place]), "relevance_score": values[place]} for place in top]


def _document(given: Any) -> dict[str, Any]:
    """The document as it was sent: as a text, or in its parts."""
    content = given if isinstance(given, str) else given.get("content", given.get("text", [given]))
    is_text = isinstance(content, str)
    return {"text": content if is_text else None, "multi_modal": None if is_text else content}
