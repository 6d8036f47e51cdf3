"""`/similarity` and `/rerank`: one text compared with several others.

Unlike there, an embedding model reranks too: its scores are what the model compares texts by, mostly cosines, whether
or not `raw_scores` are asked for. Query and texts get the model's prompts for them then; `/similarity` gives all
sentences the one that the request names.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Literal

import msgspec
from fastapi import Response

from multi2vec.engine.wanted import Wanted
from multi2vec.manifest import Manifest
from multi2vec.serve import answers, bodies, items, models, roles, scoring
from multi2vec.serve.dialect import Dialect, Endpoint, Post
from multi2vec.serve.dialects.tei.errors import Empty, render_error
from multi2vec.serve.items import Item
from multi2vec.serve.scoring import Scores, Side
from multi2vec.serve.service import Service

SIMILARITY_EXAMPLE = '{"inputs": {"source_sentence": "a red cat", "sentences": ["a cat", "the dog"]}}'
RERANK_EXAMPLE = '{"query": "a red cat", "texts": ["a cat", "the dog"], "return_text": false}'

SIMILARITY = {"texts": {"inputs": {"source_sentence": "a red square", "sentences": ["a square", "a blue circle"]}}}
RERANK = {"texts": {"query": "a red square", "texts": ["a blue circle", "a square"], "return_text": True}}

Direction = Literal["Left", "Right", "left", "right"]


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


_similarity_decoder = msgspec.json.Decoder(SimilarityRequest)
_rerank_decoder = msgspec.json.Decoder(RerankRequest)


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/similarity`, and `/rerank` for bodies with `texts`."""
    return (
        Post("/similarity", partial(similarity, service), body=SimilarityRequest, examples=SIMILARITY),
        # huggingface_hub's client posts to the server's bare URL.
        Post(
            "/",
            partial(similarity, service),
            is_mine=lambda keys: keys.opens("inputs") == "{",
            body=SimilarityRequest,
            examples=SIMILARITY,
        ),
        Post(
            "/rerank",
            partial(rerank, service),
            is_mine=lambda keys: "texts" in keys,
            body=RerankRequest,
            examples=RERANK,
        ),
    )


DIALECT = Dialect("text-embeddings-inference scores", endpoints, render_error)


async def similarity(service: Service, body: bytes) -> Response:
    """`/similarity`. Raises `BadRequest`, `Empty`, and what `scoring.score` does."""
    asked = bodies.decode(_similarity_decoder, body, "/similarity", SIMILARITY_EXAMPLE)
    parameters = asked.parameters or SimilarityParameters()
    _check_some(asked.inputs.sentences, "inputs.sentences")
    prompt = roles.prompt_named(service.manifest, parameters.prompt_name)
    wanted = wishes(service, parameters.truncate, parameters.truncation_direction, prompt)
    source = _items([asked.inputs.source_sentence], service.manifest)
    sentences = _items(asked.inputs.sentences, service.manifest)
    started = time.perf_counter()
    scores = await scoring.score(service, Side(source, wanted), Side(sentences, wanted))
    return answers.json(scores.values, headers=_headers(service, [*source, *sentences], scores, started))


async def rerank(service: Service, body: bytes) -> Response:
    """`/rerank`, the best first. Raises as `similarity` does."""
    asked = bodies.decode(_rerank_decoder, body, "/rerank", RERANK_EXAMPLE)
    _check_some(asked.texts, "texts")
    wanted = wishes(service, asked.truncate, asked.truncation_direction)
    query, texts = _items([asked.query], service.manifest), _items(asked.texts, service.manifest)
    started = time.perf_counter()
    scores = await scoring.score(
        service,
        scoring.side(service.manifest, query, "query", wanted),
        scoring.side(service.manifest, texts, "document", wanted),
    )
    ranks = [
        {"index": place, **({"text": asked.texts[place]} if asked.return_text else {}), "score": scores.values[place]}
        for place in scoring.best_first(scores.values)
    ]
    return answers.json(ranks, headers=_headers(service, [*query, *texts], scores, started))


def wishes(service: Service, truncate: bool | None, direction: Direction | None, prompt: str | None = None) -> Wanted:
    """How the texts are embedded."""
    cut = models.truncation(service, "end") != "refuse" if truncate is None else truncate
    side = direction or "right"
    return Wanted(prompt=prompt, truncate="refuse" if not cut else "start" if side.lower() == "left" else "end")


def _items(given: Sequence[str], manifest: Manifest) -> list[Item]:
    return [items.string(each, manifest) for each in given]


def _check_some(given: Sequence[str], key: str) -> None:
    if not given:
        raise Empty(f"{key} is an empty list; it has at least one text", param=key)


def _headers(service: Service, given: Sequence[Item], scores: Scores, started: float) -> dict[str, str]:
    milliseconds = str(int((time.perf_counter() - started) * 1000))
    return {
        "x-compute-type": service.execution.device.lower(),
        "x-compute-time": milliseconds,
        "x-compute-characters": str(sum(len(item.content) for item in given if item.modality == "text")),
        "x-compute-tokens": str(scores.tokens),
        "x-total-time": milliseconds,
    }
