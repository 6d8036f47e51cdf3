"""OpenAI's embeddings API with what vLLM, SGLang, infinity and nvclip added to it: one route for every form of input.

* OpenAI: a text, a list of texts, the token ids of one text or of several. Its own client asks for base64.
* vLLM: `messages`, one conversation or a list of them, one vector each; truncation; answers in bytes.
* SGLang: a list of `{"text"}` and `{"image"}` objects, one vector each, both keys of one together.
* infinity: `modality` says what strings are. nvclip: a picture's data URI among the texts is a picture.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
from fastapi import Response

from multi2vec.engine.items import Item
from multi2vec.engine.rows import Vectors
from multi2vec.engine.wanted import Embedded, Wanted
from multi2vec.manifest import Manifest
from multi2vec.serve import answers, examples, items, models, roles
from multi2vec.serve.dialect import Dialect, Endpoint, Get, Post
from multi2vec.serve.errors import BadRequest, under
from multi2vec.serve.service import Service
from multi2vec.serve.wishes import Wishes, wanted

PATHS = ("/v1/embeddings", "/embeddings")
EXAMPLE = '{"input": ["a photo of a dog"], "model": "any"}'
MOST_INPUTS = 2048

EXAMPLES = {
    "texts": {"model": "any", "input": ["a red square", "a blue circle"]},
    "base64": {"model": "any", "input": "a red square", "encoding_format": "base64"},
    "texts and pictures": {"model": "any", "input": ["a red square", examples.URI, {"image": examples.PICTURE}]},
    "pictures": {"model": "any", "input": [examples.URI], "modality": "image"},
    "conversations": {
        "model": "any",
        "messages": [
            [{"role": "user", "content": "a red square"}],
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": examples.URI}}]}],
        ],
    },
}

# There is no limit on rates. Without these headers Weaviate's text2vec-openai sends its objects one by one.
RATE_LIMITS = {
    f"x-ratelimit-{what}-{unit}": value
    for unit in ("requests", "tokens")
    for what, value in (("limit", "10000000"), ("remaining", "10000000"), ("reset", "1ms"))
}

# What an object among the inputs may hold, in the order in which models of texts and pictures want to see it.
OBJECTS = ("video", "image", "text")


class EmbeddingsRequest(Wishes):
    """`input` or `messages` is given."""

    input: Any = None
    messages: Any = None
    encoding_format: Literal["float", "base64", "bytes", "bytes_only"] | None = None
    embed_dtype: Literal["float32", "float16"] | None = None
    endianness: Literal["native", "little", "big"] | None = None
    dimensions: int | None = None
    modality: Literal["text", "image", "audio", "video"] | None = None
    add_special_tokens: bool | None = None
    use_activation: bool | None = None
    normalize: bool | None = None
    input_type: str | None = None
    prompt_name: str | None = None
    task: str | None = None


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/v1/embeddings` and `/embeddings`, `/v1/models` and `/models`, `/health`."""
    tag = service.manifest.tag
    model = describe(service.manifest, service.modalities, int(time.time()))

    async def embeddings(asked: EmbeddingsRequest) -> Response:
        inputs = parse(asked, service.manifest)
        embedded = await items.embed(service, inputs, wishes(asked, service))
        return await ANSWERS[asked.encoding_format or "float"](embedded, tag, dtype_of(asked))

    def listed() -> dict[str, Any]:
        return {"object": "list", "data": [model]}

    return (
        *(Post(path, embeddings, EmbeddingsRequest, EXAMPLE, "vectors of any input", EXAMPLES) for path in PATHS),
        *(Get(path, listed) for path in ("/v1/models", "/models")),
        Get(f"/v1/models/{tag}", lambda: model),
        Get("/health", lambda: {"unix": time.time()}),
    )


DIALECT = Dialect("openai", endpoints, answers.openai_error)


def describe(manifest: Manifest, modalities: Sequence[str], since: int) -> dict[str, Any]:
    """The model in the list of models; `since` in seconds of Unix time."""
    return {
        "id": manifest.tag,
        "object": "model",
        "created": since,
        "owned_by": "multi2vec-openvino",
        "root": models.known_names(manifest)[-1],
        "max_model_len": models.longest_text(manifest),
        "dimensions": manifest.dimensions,
        "modalities": modalities,
        "fingerprint": manifest.fingerprint,
    }


def parse(asked: EmbeddingsRequest, manifest: Manifest) -> list[Item]:
    """The request's items. Raises `BadRequest` with the key that is wrong."""
    if (asked.input is None) == (asked.messages is None):
        raise BadRequest(f"a request has either input or messages; it looks like {EXAMPLE}", param="input")
    with under("messages" if asked.input is None else "input"):
        found = _messages(asked.messages, manifest) if asked.input is None else _input(asked, manifest)
    if len(found) > MOST_INPUTS:
        raise BadRequest(f"input has {len(found)} items; {MOST_INPUTS} are the most at a time", param="input")
    return found


def wishes(asked: EmbeddingsRequest, service: Service) -> Wanted:
    """What the request wants of its vectors. Raises `BadRequest`."""
    if asked.use_activation is not None and asked.normalize not in (None, asked.use_activation):
        raise BadRequest("normalize and use_activation say the same thing and contradict each other", param="normalize")
    if asked.dimensions is not None and asked.dimensions < 1:
        raise BadRequest(f"dimensions is {asked.dimensions}; it is at least 1", param="dimensions")
    role = asked.prompt_name or asked.input_type
    return replace(
        wanted(asked, service),
        prompt=roles.prompt_named(service.manifest, role),
        is_search=roles.is_search(role),
        task=asked.task,
        special_tokens=asked.add_special_tokens is not False,
        dimensions=asked.dimensions,
        normalise=asked.use_activation if asked.use_activation is not None else asked.normalize,
    )


def dtype_of(asked: EmbeddingsRequest) -> str:
    """How numbers are written in base64 and bytes, as numpy says it: little-endian float32 unless asked otherwise."""
    return (">" if asked.endianness == "big" else "<") + ("f2" if asked.embed_dtype == "float16" else "f4")


def _messages(messages: Any, manifest: Manifest) -> list[Item]:
    is_list = isinstance(messages, list) and bool(messages) and isinstance(messages[0], list)
    several = messages if is_list else [messages]
    places = [f"messages[{index}]" if is_list else "messages" for index in range(len(several))]
    return [items.conversation(each, manifest, place) for each, place in zip(several, places, strict=True)]


def _input(asked: EmbeddingsRequest, manifest: Manifest) -> list[Item]:
    given = asked.input
    if items.are_ids(given):
        return [items.text(given)]
    if isinstance(given, list) and given and all(_is_message(each) for each in given):
        return [items.conversation(given, manifest, "input")]
    inputs = given if isinstance(given, list) else [given]
    if not inputs:
        raise BadRequest("input is an empty list; it has at least one text or picture")
    return [_item(each, asked.modality, manifest, f"input[{index}]") for index, each in enumerate(inputs)]


def _item(given: Any, modality: str | None, manifest: Manifest, where: str) -> Item:
    if isinstance(given, str):
        if not given:
            raise BadRequest(f"{where} is an empty string; a text has at least one character")
        if modality in (None, "text"):
            return items.text(given) if modality else items.string(given, manifest)
        return items.FILES[modality](given) if modality in items.FILES else Item(modality, given)
    if isinstance(given, list) and given:
        return items.text(given) if items.are_ids(given) else items.conversation(given, manifest, where)
    if isinstance(given, dict):
        return _object(given, manifest, where)
    raise BadRequest(
        f"{where} is neither a text, a list of token ids, a conversation nor an object with text or image; "
        f"the body looks like {EXAMPLE}"
    )


def _object(given: Mapping[str, Any], manifest: Manifest, where: str) -> Item:
    if "type" in given:
        return items.parts([given], manifest, where)
    if "content" in given:
        return items.parts(given["content"], manifest, f"{where}.content")
    contents = {key: value for key in OBJECTS if (value := given.get(key)) is not None}
    if not contents or not all(isinstance(value, str) for value in contents.values()):
        raise BadRequest(
            f"{where} has {', '.join(given) or 'nothing'}; it has a text, an image or a video, as a string"
        )
    return items.together(
        [items.FILES[key](value) if key in items.FILES else items.text(value) for key, value in contents.items()],
        manifest,
    )


def _is_message(given: Any) -> bool:
    return isinstance(given, dict) and "role" in given


async def _floats(embedded: Embedded, model: str, dtype: str) -> Response:
    return answers.openai_list(await answers.written(embedded.rows), embedded.tokens, model, RATE_LIMITS)


async def _base64(embedded: Embedded, model: str, dtype: str) -> Response:
    vectors = await answers.written(embedded.rows, lambda row: answers.base64_of(row, dtype))
    return answers.openai_list(vectors, embedded.tokens, model, RATE_LIMITS)


async def _bytes(embedded: Embedded, model: str, dtype: str) -> Response:
    """All vectors' bytes, one after the other; where each is stands in the header `metadata`, as vLLM has it."""
    plain = await _bytes_only(embedded, model, dtype)
    kind, dimensions = np.dtype(dtype), len(_dense(embedded)[0])
    size = dimensions * kind.itemsize
    places = [
        {
            "index": index,
            "embed_dtype": kind.name,
            "endianness": "big" if dtype.startswith(">") else "little",
            "start": index * size,
            "end": (index + 1) * size,
            "shape": [dimensions],
        }
        for index in range(len(embedded.rows))
    ]
    plain.headers["metadata"] = json.dumps(
        {"model": model, "data": places, "usage": answers.usage(sum(embedded.tokens))}
    )
    return plain


async def _bytes_only(embedded: Embedded, model: str, dtype: str) -> Response:
    rows = np.stack(_dense(embedded)).astype(dtype, copy=False)
    return Response(rows.tobytes(), headers=RATE_LIMITS, media_type="application/octet-stream")


def _dense(embedded: Embedded) -> Sequence[Vectors]:
    """The rows, of which none is sparse: this API asks for no other output."""
    return cast("Sequence[Vectors]", embedded.rows)


# By encoding format.
ANSWERS: dict[str, Callable[[Embedded, str, str], Awaitable[Response]]] = {
    "float": _floats,
    "base64": _base64,
    "bytes": _bytes,
    "bytes_only": _bytes_only,
}
