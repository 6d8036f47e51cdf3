"""`/similarity` and `/rerank`: one text compared with several others.

Unlike there, an embedding model reranks too: its scores are what the model compares texts by, mostly cosines, whether
or not `raw_scores` are asked for. Query and texts get the model's prompts for them then; `/similarity` gives all
sentences the one that the request names.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import msgspec
from fastapi import Response

from multi2vec.engine.items import Item
from multi2vec.manifest import Manifest
from multi2vec.serve import answers, items, scoring
from multi2vec.serve.dialect import Dialect, Endpoint, Post
from multi2vec.serve.dialects.tei.errors import Empty, render_error
from multi2vec.serve.dialects.tei.headers import computed
from multi2vec.serve.dialects.tei.wishes import Direction, wanted
from multi2vec.serve.scoring import Side
from multi2vec.serve.service import Service

SIMILARITY_EXAMPLE = '{"inputs": {"source_sentence": "a red cat", "sentences": ["a cat", "the dog"]}}'
RERANK_EXAMPLE = '{"query": "a red cat", "texts": ["a cat", "the dog"], "return_text": false}'

SIMILARITY = {"texts": {"inputs": {"source_sentence": "a red square", "sentences": ["a square", "a blue circle"]}}}
RERANK = {"texts": {"query": "a red square", "texts": ["a blue circle", "a square"], "return_text": True}}


class SimilarityInputs(msgspec.Struct):
    """What is compared."""

    source_sentence: str
    sentences: list[str]


class SimilarityParameters(msgspec.Struct):
    """Null is as good as absent."""

    truncate: bool | None = None
    truncation_direction: Direction | None = None
    prompt_name: str | None = None


class SimilarityRequest(msgspec.Struct):
    """Unknown keys are ignored."""

    inputs: SimilarityInputs
    parameters: SimilarityParameters | None = None


class RerankRequest(msgspec.Struct):
    """Unknown keys are ignored; null is as good as absent."""

    query: str
    texts: list[str]
    truncate: bool | None = None
    truncation_direction: Direction | None = None
    raw_scores: bool | None = None
    return_text: bool | None = None


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/similarity`, and `/rerank` for bodies with `texts`."""
    compare = Post(
        "/similarity",
        partial(similarity, service),
        SimilarityRequest,
        SIMILARITY_EXAMPLE,
        "how similar a text is to others",
        SIMILARITY,
    )
    return (
        compare,
        # huggingface_hub's client posts to the server's bare URL.
        replace(compare, path="/", is_mine=lambda keys: keys.opens("inputs") == "{"),
        Post(
            "/rerank",
            partial(rerank, service),
            RerankRequest,
            RERANK_EXAMPLE,
            "texts, those that fit a query best first",
            RERANK,
            is_mine=lambda keys: "texts" in keys,
        ),
    )


DIALECT = Dialect("text-embeddings-inference scores", endpoints, render_error)


async def similarity(service: Service, asked: SimilarityRequest) -> Response:
    """`/similarity`. Raises `BadRequest`, `Empty`, and what `scoring.score` does."""
    parameters = asked.parameters or SimilarityParameters()
    _check_some(asked.inputs.sentences, "inputs.sentences")
    wishes = wanted(service, parameters.truncate, parameters.truncation_direction, parameters.prompt_name)
    source = _items([asked.inputs.source_sentence], service.manifest)
    sentences = _items(asked.inputs.sentences, service.manifest)
    started = time.perf_counter()
    scores = await scoring.score(service, Side(source, wishes), Side(sentences, wishes))
    return answers.json(
        scores.values, headers=computed(service, [*source, *sentences], scores.tokens, scores.spent, started)
    )


async def rerank(service: Service, asked: RerankRequest) -> Response:
    """`/rerank`, the best first. Raises as `similarity` does."""
    _check_some(asked.texts, "texts")
    wishes = wanted(service, asked.truncate, asked.truncation_direction)
    query, texts = _items([asked.query], service.manifest), _items(asked.texts, service.manifest)
    started = time.perf_counter()
    scores = await scoring.score(
        service,
        scoring.side(service.manifest, query, "query", wishes),
        scoring.side(service.manifest, texts, "document", wishes),
    )
    ranks = [
        {"index": place, **({"text": asked.texts[place]} if asked.return_text else {}), "score": scores.values[place]}
        for place in scoring.best_first(scores.values)
    ]
    return answers.json(ranks, headers=computed(service, [*query, *texts], scores.tokens, scores.spent, started))


def _items(given: Sequence[str], manifest: Manifest) -> list[Item]:
    return [items.string(each, manifest) for each in given]


def _check_some(given: Sequence[str], key: str) -> None:
    if not given:
        raise Empty(f"{key} is an empty list; it has at least one text", param=key)
