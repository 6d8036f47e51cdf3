"""What Weaviate's modules multi2vec-clip and multi2vec-bind send and expect, on the same paths.

The wire format is read from Weaviate's Go modules. Its clients parse every body as JSON whatever the status, and show
the string under `error`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import Response

from multi2vec.engine.wanted import Wanted
from multi2vec.serve import answers, examples, models, probes
from multi2vec.serve.dialect import Dialect, Endpoint, Get, Post, Probe
from multi2vec.serve.errors import Failure
from multi2vec.serve.items import check_count
from multi2vec.serve.meta import Meta
from multi2vec.serve.service import Service
from multi2vec.specs import Modality

EXAMPLE = '{"texts": ["a photo of a dog"], "images": ["<base64>"]}'

EXAMPLES = {
    "texts and pictures": {"texts": ["a red square"], "images": [examples.PICTURE]},
    "texts": {"texts": ["a red square", "a blue circle"]},
}

# The request's fields: which modality each is, and what its vectors are called in the answer.
FIELDS: dict[str, tuple[Modality, str]] = {
    "texts": ("text", "textVectors"),
    "images": ("image", "imageVectors"),
    "audio": ("audio", "audioVectors"),
    "video": ("video", "videoVectors"),
    "imu": ("imu", "imuVectors"),
    "thermal": ("thermal", "thermalVectors"),
    "depth": ("depth", "depthVectors"),
}
# multi2vec-clip expects these two lists in every answer.
ALWAYS = ("texts", "images")


class VectorizeRequest(msgspec.Struct):
    """All but `texts` hold files in base64. Unknown keys are ignored; null means none."""

    texts: list[str] | None = None
    images: list[str] | None = None
    audio: list[str] | None = None
    video: list[str] | None = None
    imu: list[str] | None = None
    thermal: list[str] | None = None
    depth: list[str] | None = None


def endpoints(service: Service) -> tuple[Endpoint, ...]:
    """`/vectorize`, `/meta`, `/.well-known/live`, `/.well-known/ready`."""
    most = service.settings.max_items

    async def vectorize(asked: VectorizeRequest) -> Response:
        items = parse(asked, most)
        vectors = await _vectors(service, items)
        lists = {field: vectors.get(field, []) for field in (*ALWAYS, *items)}
        return answers.json({FIELDS[field][1]: await answers.written(rows) for field, rows in lists.items()})

    return (
        Post("/vectorize", vectorize, VectorizeRequest, EXAMPLE, "vectors by modality", EXAMPLES),
        Get("/meta", Meta(service).now),
        Probe("/.well-known/live", lambda: _no_content_unless(probes.live(service))),
        Probe("/.well-known/ready", lambda: _no_content_unless(probes.ready(service))),
    )


DIALECT = Dialect("weaviate multi2vec-clip", endpoints, answers.error_string)


def parse(asked: VectorizeRequest, most: int) -> dict[str, list[str]]:
    """The items by the request's fields, without empty lists. Raises `TooLarge` for more than `most` items."""
    items = {field: given for field in FIELDS if (given := getattr(asked, field))}
    check_count(sum(map(len, items.values())), most)
    return items


async def _vectors(service: Service, items: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The vectors by the request's fields."""
    by_modality = {FIELDS[field][0]: given for field, given in items.items()}
    wanted = Wanted(truncate=models.truncation(service, "end"))
    vectors = await (await service.embedder()).embed_several(by_modality, wanted)
    return {field: vectors[FIELDS[field][0]].rows for field in items}


def _no_content_unless(failure: Failure | None) -> Response:
    return answers.error_string(failure) if failure else Response(status_code=204)
