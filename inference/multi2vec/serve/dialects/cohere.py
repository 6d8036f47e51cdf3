"""Cohere's embeddings API, versions 2 and 1, as its own clients and Weaviate's text2vec-cohere and multi2vec-cohere use
it.

Numbers of type int8 and uint8 have one symmetric scale for all dimensions, and binary ones are packed bits: both are
stated in `quantised`. base64 is each vector's little-endian float32.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import msgspec
from fastapi import Response

from multi2vec.engine.items import Item
from multi2vec.engine.rows import Vectors
from multi2vec.engine.wanted import Embedded, Truncation, Wanted
from multi2vec.manifest import Manifest
from multi2vec.serve import answers, examples, items, models, quantised, roles
from multi2vec.serve.dialect import Dialect, Endpoint, Post
from multi2vec.serve.errors import BadRequest, Failure
from multi2vec.serve.service import Service

Version = Literal["1", "2"]
VERSIONS: tuple[Version, ...] = ("2", "1")

EXAMPLE = (
    '{"model": "any", "input_type": "search_document", "texts": ["a photo of a dog"], "embedding_types": ["float"]}'
)
EXAMPLES = {
    "texts": {
        "model": "any",
        "texts": ["a red square"],
        "input_type": "search_document",
        "embedding_types": ["float", "int8", "ubinary"],
    },
    "pictures": {"model": "any", "images": [examples.URI], "input_type": "image", "embedding_types": ["float"]},
    "inputs": {
        "model": "any",
        "inputs": [{"content": [{"type": "text", "text": "a red square"}]}],
        "input_type": "search_query",
    },
}
FORMS = ("texts", "images", "inputs")

# The last two are what older clients and Weaviate's modules may say.
TRUNCATIONS: Mapping[str, Truncation] = {
    "NONE": "refuse",
    "START": "start",
    "END": "end",
    "LEFT": "start",
    "RIGHT": "end",
}

# Input types for which models rarely have a prompt; without one they say no more than their absence.
WITHOUT_ROLE = ("", "classification", "clustering", "image")


class Input(msgspec.Struct):
    """What has one vector: a list of parts of type text or image_url, or a text."""

    content: Any


class EmbedRequest(msgspec.Struct):
    """One of `texts`, `images` (data URIs, base64 alone, or URLs where they are fetched) and `inputs` is given. Unknown
    keys are ignored; null is as good as absent."""

    model: str | None = None
    input_type: str | None = None
    texts: list[str] | None = None
    images: list[str] | None = None
    inputs: list[Input] | None = None
    max_tokens: int | None = None
    output_dimension: int | None = None
    embedding_types: list[str] | None = None
    truncate: str | None = None


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/v2/embed` and `/v1/embed`."""
    return tuple(_endpoint(service, version) for version in VERSIONS)


def render_error(failure: Failure) -> Response:
    """`{"message": "…"}`. What a request got wrong is 400 there, never 422."""
    return answers.json({"message": failure.message}, 400 if failure.status == 422 else failure.status)


DIALECT = Dialect("cohere", endpoints, render_error)


def parse(asked: EmbedRequest, manifest: Manifest) -> list[Item]:
    """The request's items. Raises `BadRequest` unless it is of one form, and `Unsupported` for an input that is of no
    single modality."""
    given = [form for form in FORMS if getattr(asked, form) is not None]
    if len(given) != 1:
        has = " and ".join(given) or "none"
        raise BadRequest(f"a request has one of {', '.join(FORMS)}; this one has {has}; it looks like {EXAMPLE}")
    (form,) = given
    if not getattr(asked, form):
        raise BadRequest(f"{form} is an empty list; it has at least one item")
    if asked.texts is not None:
        return [items.text(text) for text in asked.texts]
    if asked.images is not None:
        return [items.picture(picture) for picture in asked.images]
    return [_input(each, manifest, f"inputs[{index}].content") for index, each in enumerate(asked.inputs or ())]


def wishes(asked: EmbedRequest, service: Service) -> Wanted:
    """What the request wants of its vectors. Raises `BadRequest`."""
    if asked.truncate is not None and asked.truncate not in TRUNCATIONS:
        known = ", ".join(TRUNCATIONS)
        raise BadRequest(f"truncate is {asked.truncate!r}; it can be {known}")
    return Wanted(
        prompt=prompt_for(service.manifest, asked.input_type),
        is_search=roles.is_search(asked.input_type),
        truncate=TRUNCATIONS[asked.truncate] if asked.truncate else models.truncation(service, "end"),
        max_tokens=_most_tokens(asked.max_tokens, service.manifest),
        dimensions=asked.output_dimension,
    )


def prompt_for(manifest: Manifest, input_type: str | None) -> str | None:
    """Which of the model's prompts the input type means, for `Wanted.prompt`. Raises `BadRequest` for one that a model
    with prompts does not know."""
    prompts = getattr(manifest.inputs.get("text"), "prompts", {})
    if input_type in WITHOUT_ROLE and input_type not in prompts:
        return None
    return roles.prompt_named(manifest, input_type)


def types_of(asked: EmbedRequest, version: Version) -> Sequence[str] | None:
    """The wanted types of numbers; None for version 1's plain lists of floats. Raises `BadRequest` for one that is not
    known."""
    if asked.embedding_types is None:
        return None if version == "1" else ("float",)
    known = ", ".join(TYPES)
    if not asked.embedding_types:
        raise BadRequest(f"embedding_types is an empty list; it has at least one of {known}")
    for each in asked.embedding_types:
        if each not in TYPES:
            raise BadRequest(f"embedding_types has {each!r}; it can have {known}")
    return asked.embedding_types


def _endpoint(service: Service, version: Version) -> Post[EmbedRequest]:
    path = f"/v{version}/embed"

    async def embed(asked: EmbedRequest) -> Response:
        inputs, types = parse(asked, service.manifest), types_of(asked, version)
        embedded = await items.embed(service, inputs, wishes(asked, service))
        pictures = [asdict(file) for file in embedded.files if file is not None]
        billed = {"input_tokens": sum(embedded.tokens), "images": len(pictures)}
        return answers.json(
            {
                "id": str(uuid.uuid4()),
                **await _vectors(embedded, types),
                "texts": asked.texts or [],
                **({"images": pictures} if pictures else {}),
                "meta": {"api_version": {"version": version}, "billed_units": billed},
            }
        )

    return Post(path, embed, EmbedRequest, EXAMPLE, "vectors of texts or pictures", EXAMPLES)


def _input(given: Input, manifest: Manifest, where: str) -> Item:
    if given.content == []:
        raise BadRequest(f"{where} is an empty list; it has at least one part, a text or an image_url")
    return items.parts(given.content, manifest, where)


def _most_tokens(asked: int | None, manifest: Manifest) -> int | None:
    """No more than the model takes: its callers may name the limit of another model."""
    if asked is None:
        return None
    if asked < 1:
        raise BadRequest(f"max_tokens is {asked}; it is at least 1")
    return min(asked, models.longest_text(manifest))


async def _vectors(embedded: Embedded, types: Sequence[str] | None) -> dict[str, Any]:
    """The vectors by their types; for None as plain lists of floats."""
    if types is None:
        return {"response_type": "embeddings_floats", "embeddings": await answers.written(embedded.rows)}
    by_type = {each: await answers.written(embedded.rows, TYPES[each]) for each in types}
    return {"response_type": "embeddings_by_type", "embeddings": by_type}


# By embedding type: from float32 (dimensions,) to what JSON is written of.
TYPES: Mapping[str, Callable[[Vectors], Any]] = {
    "float": answers.ENCODINGS["float"],
    "int8": quantised.int8,
    "uint8": quantised.uint8,
    "binary": quantised.binary,
    "ubinary": quantised.ubinary,
    "base64": answers.base64_of,
}
