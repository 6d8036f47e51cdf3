"""Request bodies: reading and decoding them within limits; and stopping work for clients that hung up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from multi2vec.engine.errors import TooLarge
from multi2vec.serve.errors import BadRequest

Answer = TypeVar("Answer")
Body = TypeVar("Body")

BODY_LIMIT = "MAX_BODY_BYTES"

# How msgspec says where in a body something is wrong.
PLACE = re.compile(r"`\$\.(\w+)")

# Most answers are there sooner; watching costs a task, so it begins when an answer takes longer (seconds).
WATCH_AFTER = 0.02


async def read(request: Request, limit: int) -> bytes:
    """The raw body, whatever its Content-Type says. Raises `TooLarge` as soon as the limit is passed."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise TooLarge(f"the body has {announced} bytes, more than {limit}", limit=BODY_LIMIT)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body has more than {limit} bytes", limit=BODY_LIMIT)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def decode(decoder: msgspec.json.Decoder[Body], body: bytes, path: str, example: str) -> Body:
    """The body as the decoder's type. Raises `BadRequest` with a sentence that says where it is wrong."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        place = PLACE.search(str(error))
        message = f"the body is not what {path} takes: {error}; it looks like {example}"
        raise BadRequest(message, param=place[1] if place else "") from None


async def unless_gone(request: Request, answer: Awaitable[Answer]) -> Answer:
    """Wait for the answer; when the client hangs up first, cancel it and raise `ClientDisconnect`.

    The server below does not cancel handlers by itself.
    """
    task = asyncio.ensure_future(answer)
    try:
        done, _ = await asyncio.wait({task}, timeout=WATCH_AFTER)
        if done:
            return task.result()
        watcher = asyncio.ensure_future(_hung_up(request.receive))
        try:
            await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watcher.cancel()
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        task.cancel()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
