"""`/embed`, `/embed_sparse` and `/embed_all`: one vector per input, weights by token id, and one vector per token.

Unlike there, an empty text has a vector, a picture's data URI is a picture where the model has pictures, and a text
given as token ids gets no prompt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec
import numpy as np
from fastapi import Response

from multi2vec.engine.wanted import Embedded, Wanted
from multi2vec.manifest import Manifest
from multi2vec.serve import answers, bodies, items, models, roles
from multi2vec.serve.dialects.tei.errors import WrongModel
from multi2vec.serve.dialects.tei.inputs import one_by_one
from multi2vec.serve.items import Item
from multi2vec.serve.service import Service
from multi2vec.specs import Kind

EXAMPLE = '{"inputs": ["a photo of a dog"], "normalize": true, "truncate": true}'


class InputsRequest(msgspec.Struct):
    """A text, a list of token ids, or a list of texts and of lists of token ids. Unknown keys are ignored; null is as
    good as absent."""

    inputs: str | list[str | int | list[int]]
    truncate: bool | None = None
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = None
    prompt_name: str | None = None


class EmbedRequest(InputsRequest):
    """With what is for dense vectors only."""

    normalize: bool | None = None
    dimensions: int | None = None


_embed_decoder = msgspec.json.Decoder(EmbedRequest)
_inputs_decoder = msgspec.json.Decoder(InputsRequest)


async def embed(service: Service, body: bytes) -> Response:
    """`/embed`. Raises what `items.embed` does, `BadRequest` and `Empty`."""
    asked = bodies.decode(_embed_decoder, body, "/embed", EXAMPLE)
    normalise = service.settings.normalise is not False if asked.normalize is None else asked.normalize
    wanted = replace(wishes(asked, service), dimensions=asked.dimensions, normalise=normalise)
    # Rows that are cut and not normalised do not lie together, and only those that do can be written.
    return await _answer(service, asked, wanted, np.ascontiguousarray)


async def embed_sparse(service: Service, body: bytes) -> Response:
    """`/embed_sparse`. Raises as `embed` does, and `WrongModel`."""
    asked = bodies.decode(_inputs_decoder, body, "/embed_sparse", EXAMPLE)
    output = _output(service.manifest, "sparse", "sparse weights")
    return await _answer(service, asked, replace(wishes(asked, service), output=output), _sparse)


async def embed_all(service: Service, body: bytes) -> Response:
    """`/embed_all`. Raises as `embed` does, and `WrongModel`."""
    asked = bodies.decode(_inputs_decoder, body, "/embed_all", EXAMPLE)
    output = _output(service.manifest, "tokens", "vectors of single tokens")
    return await _answer(service, asked, replace(wishes(asked, service), output=output), list)


def parse(asked: InputsRequest, manifest: Manifest) -> list[Item]:
    """The request's items. Raises `BadRequest`, and `Empty` where there is none."""
    given = one_by_one(asked.inputs, "inputs")
    return [items.string(each, manifest) if isinstance(each, str) else items.text(each) for each in given]


def wishes(asked: InputsRequest, service: Service) -> Wanted:
    """What the request wants of any vectors. Raises `BadRequest` for a prompt that the model lacks."""
    cut = models.truncation(service, "end") != "refuse" if asked.truncate is None else asked.truncate
    side = asked.truncation_direction or "right"
    return Wanted(
        prompt=roles.prompt_named(service.manifest, asked.prompt_name),
        truncate="refuse" if not cut else "start" if side.lower() == "left" else "end",
    )


async def _answer(service: Service, asked: InputsRequest, wanted: Wanted, shown: Callable[[Any], Any]) -> Response:
    started = time.perf_counter()
    given = parse(asked, service.manifest)
    embedded = await items.embed(service, given, wanted)
    headers = _headers(service, given, embedded, time.perf_counter() - started)
    return answers.json(shown(embedded.rows), headers=headers)


def _headers(service: Service, given: Sequence[Item], embedded: Embedded, seconds: float) -> dict[str, str]:
    milliseconds = str(int(seconds * 1000))
    return {
        "x-compute-type": service.execution.device.lower(),
        "x-compute-time": milliseconds,
        "x-compute-characters": str(sum(len(item.content) for item in given if item.modality == "text")),
        "x-compute-tokens": str(sum(embedded.tokens)),
        "x-total-time": milliseconds,
    }


def _output(manifest: Manifest, kind: Kind, what: str) -> str:
    output = models.output_of_kind(manifest, "text", kind)
    if output is None:
        raise WrongModel(f"{manifest.tag} gives no {what} of texts; /embed has the vectors that it gives")
    return output


def _sparse(rows: Sequence[Any]) -> list[list[dict[str, Any]]]:
    return [
        [{"index": index, "value": value} for index, value in zip(row.ids.tolist(), row.weights, strict=True)]
        for row in rows
    ]
