"""`/pooling`: one vector per token, for clients that compare items token by token."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from fastapi import Response

from multi2vec.engine.errors import Unsupported
from multi2vec.engine.items import Item
from multi2vec.engine.wanted import Wanted
from multi2vec.manifest import Manifest
from multi2vec.serve import answers, items, models
from multi2vec.serve.errors import BadRequest, under
from multi2vec.serve.service import Service
from multi2vec.serve.wishes import Wishes, wanted
from multi2vec.specs import DENSE, word

POOLING_EXAMPLE = '{"input": ["a red cat"], "model": "any"}'


class PoolingRequest(Wishes):
    """`input` is a text, a list of texts, the token ids of one text or of several; `messages` is one conversation.
    `task` "embed" asks for dense vectors, else there is one vector per token."""

    input: Any = None
    messages: Any = None
    task: Literal["token_embed", "embed"] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    use_activation: bool | None = None
    add_special_tokens: bool | None = None


async def pooling(service: Service, asked: PoolingRequest) -> Response:
    """In base64 are the numbers one after the other, which leaves their shape to the reader.

    Raises `BadRequest`, `Unsupported` for a model without such vectors, and what `items.embed` does.
    """
    given = parse(asked, service.manifest)
    output = DENSE if asked.task == "embed" else token_output(given, service.manifest)
    embedded = await items.embed(service, given, wishes(asked, service, output))
    data = await answers.written(embedded.rows, answers.ENCODINGS[asked.encoding_format or "float"])
    return answers.json(
        {
            "id": f"pooling-{uuid.uuid4().hex}",
            "object": "list",
            "created": int(time.time()),
            "model": service.manifest.tag,
            "data": [{"index": index, "object": "pooling", "data": each} for index, each in enumerate(data)],
            "usage": answers.usage(sum(embedded.tokens)),
        }
    )


def parse(asked: PoolingRequest, manifest: Manifest) -> list[Item]:
    """The request's items. Raises `BadRequest` with the key that is wrong."""
    if (asked.input is None) == (asked.messages is None):
        raise BadRequest(f"a request has either input or messages; it looks like {POOLING_EXAMPLE}", param="input")
    if asked.input is None:
        with under("messages"):
            return [items.conversation(asked.messages, manifest, "messages")]
    with under("input"):
        return _input(asked.input, manifest)


def token_output(given: Sequence[Item], manifest: Manifest) -> str:
    """The output of several vectors per item. Raises `Unsupported` where there is none, or not one for all items."""
    modalities = list(dict.fromkeys(each.modality for each in given))
    outputs = {models.output_of_kind(manifest, modality, "tokens") for modality in modalities}
    output = outputs.pop()
    if output is None or outputs:
        kinds = " and ".join(f"{word(modality)}s" for modality in modalities)
        raise Unsupported(
            f'{manifest.tag} gives no vectors of single tokens of {kinds}; the task "embed" asks for its dense vectors'
        )
    return output


def wishes(asked: PoolingRequest, service: Service, output: str) -> Wanted:
    """What the request wants of its vectors. Raises `BadRequest`."""
    return replace(
        wanted(asked, service),
        special_tokens=asked.add_special_tokens is not False,
        output=output,
        dimensions=asked.dimensions,
        normalise=asked.use_activation,
    )


def _input(given: Any, manifest: Manifest) -> list[Item]:
    if isinstance(given, list) and not given:
        raise BadRequest("input is an empty list; it has at least one text")
    several = given if isinstance(given, list) and not items.are_ids(given) else [given]
    return [_item(each, manifest, f"input[{index}]") for index, each in enumerate(several)]


def _item(given: Any, manifest: Manifest, where: str) -> Item:
    if isinstance(given, str):
        return items.string(given, manifest)
    if items.are_ids(given):
        return items.text(given)
    raise BadRequest(f"{where} is neither a text nor a list of token ids; the body looks like {POOLING_EXAMPLE}")
