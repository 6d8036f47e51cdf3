"""`/embed`, `/embed_sparse` and `/embed_all`: one vector per input, weights by token id, and one vector per token.

Unlike there, an empty text has a vector, a picture's data URI is a picture where the model has pictures, and a text
given as token ids gets no prompt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
from fastapi import Response

from multi2vec.engine.items import Item
from multi2vec.engine.rows import Sparse
from multi2vec.engine.wanted import Wanted
from multi2vec.manifest import Manifest
from multi2vec.serve import answers, items, models
from multi2vec.serve.dialects.tei.errors import WrongModel
from multi2vec.serve.dialects.tei.headers import computed
from multi2vec.serve.dialects.tei.inputs import one_by_one
from multi2vec.serve.dialects.tei.wishes import Direction, wanted
from multi2vec.serve.service import Service
from multi2vec.specs import Kind

EXAMPLE = '{"inputs": ["a photo of a dog"], "normalize": true, "truncate": true}'


class InputsRequest(msgspec.Struct):
    """A text, a list of token ids, or a list of texts and of lists of token ids. Unknown keys are ignored; null is as
    good as absent."""

    inputs: str | list[str | int | list[int]]
    truncate: bool | None = None
    truncation_direction: Direction | None = None
    prompt_name: str | None = None


class EmbedRequest(InputsRequest):
    """With what is for dense vectors only."""

    normalize: bool | None = None
    dimensions: int | None = None


async def embed(service: Service, asked: EmbedRequest) -> Response:
    """`/embed`. Raises what `items.embed` does, `BadRequest` and `Empty`."""
    normalise = service.settings.normalise is not False if asked.normalize is None else asked.normalize
    return await _answer(
        service, asked, replace(wishes(asked, service), dimensions=asked.dimensions, normalise=normalise)
    )


async def embed_sparse(service: Service, asked: InputsRequest) -> Response:
    """`/embed_sparse`. Raises as `embed` does, and `WrongModel`."""
    output = _output(service.manifest, "sparse", "sparse weights")
    return await _answer(service, asked, replace(wishes(asked, service), output=output), _sparse)


async def embed_all(service: Service, asked: InputsRequest) -> Response:
    """`/embed_all`. Raises as `embed` does, and `WrongModel`."""
    output = _output(service.manifest, "tokens", "vectors of single tokens")
    return await _answer(service, asked, replace(wishes(asked, service), output=output))


def parse(asked: InputsRequest, manifest: Manifest) -> list[Item]:
    """The request's items. Raises `BadRequest`, and `Empty` where there is none."""
    given = one_by_one(asked.inputs, "inputs")
    return [items.string(each, manifest) if isinstance(each, str) else items.text(each) for each in given]


def wishes(asked: InputsRequest, service: Service) -> Wanted:
    """What the request wants of any vectors. Raises `BadRequest` for a prompt that the model lacks."""
    return wanted(service, asked.truncate, asked.truncation_direction, asked.prompt_name)


async def _answer(
    service: Service, asked: InputsRequest, wishes: Wanted, encode: Callable[[Any], Any] = lambda row: row
) -> Response:
    started = time.perf_counter()
    given = parse(asked, service.manifest)
    embedded = await items.embed(service, given, wishes)
    headers = computed(service, given, sum(embedded.tokens), embedded.spent, started)
    return answers.json(await answers.written(embedded.rows, encode), headers=headers)


def _output(manifest: Manifest, kind: Kind, what: str) -> str:
    output = models.output_of_kind(manifest, "text", kind)
    if output is None:
        raise WrongModel(f"{manifest.tag} gives no {what} of texts; /embed has the vectors that it gives")
    return output


def _sparse(row: Sparse) -> list[dict[str, Any]]:
    return [{"index": index, "value": value} for index, value in zip(row.ids.tolist(), row.weights, strict=True)]
