"""What Weaviate's modules multi2vec-clip and multi2vec-bind send and expect, on the same paths.

The wire format is read from Weaviate's Go modules. Its clients parse every body as JSON whatever the status, and show
the string under `error`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from multi2vec.engine.errors import TooLarge
from multi2vec.serve import answers, bodies, probes
from multi2vec.serve.dialect import Dialect
from multi2vec.serve.errors import Failure
from multi2vec.serve.meta import Meta
from multi2vec.serve.service import Service
from multi2vec.specs import Modality

EXAMPLE = '{"texts": ["a photo of a dog"], "images": ["<base64>"]}'

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


_decoder = msgspec.json.Decoder(VectorizeRequest)


def router(service: Service) -> APIRouter:
    """The routes: `/vectorize`, `/meta`, `/.well-known/live`, `/.well-known/ready`."""
    routes = APIRouter()
    settings = service.settings
    meta = Meta(service)

    async def vectorize(request: Request) -> Response:
        body = await bodies.read(request, settings.max_body_bytes)
        items = parse(body, settings.max_items)
        vectors = await bodies.unless_gone(request, _vectors(service, items))
        lists = {field: vectors.get(field, []) for field in (*ALWAYS, *items)}
        return answers.json({FIELDS[field][1]: rows for field, rows in lists.items()})

    async def get_meta() -> Response:
        return answers.json(meta.now())

    async def live() -> Response:
        return _no_content_unless(probes.live(service))

    async def ready() -> Response:
        return _no_content_unless(probes.ready(service))

    routes.add_api_route("/vectorize", vectorize, methods=["POST"])
    for path, endpoint in (("/meta", get_meta), ("/.well-known/live", live), ("/.well-known/ready", ready)):
        routes.add_api_route(path, endpoint, methods=["GET", "HEAD"])
    return routes


DIALECT = Dialect(
    name="weaviate multi2vec-clip",
    paths=("/vectorize", "/meta", "/.well-known/live", "/.well-known/ready"),
    router=router,
    render_error=answers.error_string,
)


def parse(body: bytes, most: int) -> dict[str, list[str]]:
    """The items by the request's fields, without empty lists. Raises `BadRequest` with a sentence that says where the
    body is wrong, and `TooLarge` for more than `most` items."""
    request = bodies.decode(_decoder, body, "/vectorize", EXAMPLE)
    items = {field: given for field in FIELDS if (given := getattr(request, field))}
    if (count := sum(map(len, items.values()))) > most:
        raise TooLarge(f"the request has {count} items, more than {most}", limit="MAX_ITEMS")
    return items


async def _vectors(service: Service, items: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The vectors by the request's fields; the modalities side by side."""
    embedder = await service.embedder()
    if len(items) == 1:
        ((field, given),) = items.items()
        return {field: (await embedder.embed(FIELDS[field][0], given)).rows}
    tasks = {field: asyncio.ensure_future(embedder.embed(FIELDS[field][0], items[field])) for field in items}
    try:
        await asyncio.gather(*tasks.values())
        return {field: task.result().rows for field, task in tasks.items()}
    finally:
        for task in tasks.values():
            task.cancel()


def _no_content_unless(failure: Failure | None) -> Response:
    return answers.error_string(failure) if failure else Response(status_code=204)
