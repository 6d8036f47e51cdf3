"""What Weaviate's modules multi2vec-jinaai and text2vec-jinaai send and expect: Jina's embeddings API.

The wire format is read from Weaviate's Go modules (`usecases/modulecomponents/clients/jinaai`). They always send an
`embedding_type`, leave an empty text away (`{}`), and show the string under `detail` when something went wrong.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from fastapi import Response

from multi2vec.engine.items import Item
from multi2vec.engine.wanted import Wanted
from multi2vec.manifest import Manifest
from multi2vec.serve import answers, examples, items, models, roles
from multi2vec.serve.dialect import Dialect, Endpoint, Post
from multi2vec.serve.errors import BadRequest, Failure
from multi2vec.serve.service import Service

PATH = "/v1/embeddings"
EXAMPLE = '{"input": [{"text": "a dog"}, {"image": "<base64>"}], "model": "any", "embedding_type": "float"}'

EXAMPLES = {
    "texts and pictures": {
        "input": [{"text": "a red square"}, {"image": examples.PICTURE}],
        "embedding_type": "float",
        "normalized": True,
    }
}


class Input(msgspec.Struct):
    """A text, or a picture in base64; without either it is the empty text."""

    text: str | None = None
    image: str | None = None


class JinaRequest(msgspec.Struct):
    """Unknown keys are ignored; null is as good as absent."""

    input: str | list[str | Input]
    embedding_type: Literal["float", "base64"]
    model: str | None = None
    normalized: bool | None = None
    task: str | None = None
    dimensions: int | None = None
    truncate: bool | None = None


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/v1/embeddings` for bodies with an `embedding_type`."""

    async def embeddings(asked: JinaRequest) -> Response:
        embedded = await items.embed(service, parse(asked, service.manifest), wishes(asked, service))
        vectors = await answers.written(embedded.rows, answers.ENCODINGS[asked.embedding_type])
        return answers.openai_list(vectors, embedded.tokens, service.manifest.tag)

    return (
        Post(
            PATH,
            embeddings,
            JinaRequest,
            EXAMPLE,
            "vectors of texts and pictures",
            EXAMPLES,
            is_mine=lambda keys: "embedding_type" in keys,
        ),
    )


def render_error(failure: Failure) -> Response:
    """`{"detail": "…"}`."""
    return answers.json({"detail": failure.message}, failure.status)


DIALECT = Dialect("weaviate multi2vec-jinaai", endpoints, render_error)


def parse(asked: JinaRequest, manifest: Manifest) -> list[Item]:
    """The request's items. Raises `BadRequest`."""
    given = [asked.input] if isinstance(asked.input, str) else asked.input
    if not given:
        raise BadRequest(f"input is an empty list; the body looks like {EXAMPLE}")
    return [_item(each, manifest) for each in given]


def wishes(asked: JinaRequest, service: Service) -> Wanted:
    """What the request wants of its vectors. Raises `BadRequest` for a task that the model lacks."""
    truncate = models.truncation(service, "end") if asked.truncate is None else "end" if asked.truncate else "refuse"
    return Wanted(
        prompt=roles.prompt_named(service.manifest, asked.task or None),
        is_search=roles.is_search(asked.task),
        truncate=truncate,
        dimensions=asked.dimensions,
        normalise=asked.normalized,
    )


def _item(given: str | Input, manifest: Manifest) -> Item:
    if isinstance(given, str):
        return items.string(given, manifest)
    if given.image is None:
        return items.text(given.text or "")
    if given.text is not None:
        return items.together([items.picture(given.image), items.text(given.text)], manifest)
    return items.picture(given.image)
