"""Weaviate's own API: what its modules multi2vec-clip and multi2vec-bind send and expect.

The wire format is read from Weaviate's Go modules. Its clients parse every body as JSON whatever the status, and show
the string under `error`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
from fastapi import APIRouter, Request, Response

from inference.serve import bodies
from inference.serve.errors import BadRequest, TooLarge, Unsupported
from inference.serve.meta import Meta
from inference.serve.service import Service
from inference.serve.vectors import Vectors

MODALITIES = ("audio", "video", "imu", "thermal", "depth")


class VectorizeRequest(msgspec.Struct):
    """`images` and the others hold files in base64. Unknown keys are ignored; null means none."""

    texts: list[str] | None = None
    images: list[str] | None = None
    audio: list[str] | None = None
    video: list[str] | None = None
    imu: list[str] | None = None
    thermal: list[str] | None = None
    depth: list[str] | None = None


_decode = msgspec.json.Decoder(VectorizeRequest).decode


def router(service: Service) -> APIRouter:
    """The routes: `/vectorize`, `/meta`, `/.well-known/live`, `/.well-known/ready`."""
    routes = APIRouter()
    settings = service.settings
    meta = Meta(service)

    async def vectorize(request: Request) -> Response:
        wanted = parse(await bodies.read(request, settings.max_body_bytes))
        check(wanted, settings.max_items, service.manifest.tag)
        texts, pictures = await bodies.unless_gone(request, _vectors(service, wanted.texts or [], wanted.images or []))
        return answer({"textVectors": texts, "imageVectors": pictures})

    async def get_meta() -> Response:
        return answer(meta.now())

    async def live() -> Response:
        if service.state == "failed":
            return render_error(service.reason, 503)
        return Response(status_code=204)

    async def ready() -> Response:
        return Response(status_code=204) if service.is_ready else render_error(service.reason, 503)

    routes.add_api_route("/vectorize", vectorize, methods=["POST"])
    for path, endpoint in (("/meta", get_meta), ("/.well-known/live", live), ("/.well-known/ready", ready)):
        routes.add_api_route(path, endpoint, methods=["GET", "HEAD"])
    return routes


def render_error(message: str, status: int) -> Response:
    """`{"error": "…"}`: a string, or Weaviate cannot read it."""
    return Response(orjson.dumps({"error": message}), status, media_type="application/json")


def answer(content: Any) -> Response:
    """JSON, vectors straight from their buffers."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def parse(body: bytes) -> VectorizeRequest:
    """Raises `BadRequest` with a sentence that says where the body is wrong."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        example = '{"texts": ["a photo of a dog"], "images": ["<base64>"]}'
        raise BadRequest(f"the body is not what /vectorize takes: {error}; it looks like {example}") from None


def check(wanted: VectorizeRequest, most: int, tag: str) -> None:
    """Raises `Unsupported` for a modality that the model lacks and `TooLarge` for too many items."""
    for modality in MODALITIES:
        if getattr(wanted, modality):
            raise Unsupported(f"{tag} has no {modality} tower")
    items = len(wanted.texts or ()) + len(wanted.images or ())
    if items > most:
        raise TooLarge(f"the request has {items} texts and pictures, more than {most} (MAX_ITEMS)")


async def _vectors(service: Service, texts: Sequence[str], pictures: Sequence[str]) -> tuple[Vectors, Vectors]:
    embedder = await service.embedder()
    if not texts or not pictures:
        return await embedder.embed_texts(texts), await embedder.embed_pictures(pictures)
    first = asyncio.ensure_future(embedder.embed_texts(texts))
    second = asyncio.ensure_future(embedder.embed_pictures(pictures))
    try:
        text_vectors, picture_vectors = await asyncio.gather(first, second)
        return text_vectors, picture_vectors
    finally:
        first.cancel()
        second.cancel()
