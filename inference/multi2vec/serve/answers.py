"""Answers: JSON straight from the vectors' buffers, and the shapes that several APIs share."""

from __future__ import annotations

import asyncio
import binascii
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
from fastapi import Response
from starlette.types import Receive, Scope, Send

from multi2vec.engine.rows import Vectors
from multi2vec.serve.errors import Failure

# After so many seconds of writing, whatever else there is to do gets its turn.
TURN_SECONDS = 0.0005

# Answers of more bytes are sent in pieces of about so many.
PIECE_BYTES = 256 * 1024

# Dataclasses are nobody's answer but `Part`, which is put in its place by hand.
OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS

JSON = "application/json"

# Stands for a part while the rest is written: a byte that JSON never has.
HOLE_MARK = b"\0"
HOLE = orjson.Fragment(HOLE_MARK)

# What OpenAI calls some errors; others are the request's fault or the server's.
OPENAI_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


@dataclass(frozen=True)
class Part:
    """A part of an answer that is JSON already."""

    content: bytes


class Pieces(Response):
    """An answer that is sent piece by piece, so that other answers have their turn in between."""

    def __init__(self, pieces: Sequence[bytes], status: int, headers: Mapping[str, str] | None) -> None:
        length = str(sum(map(len, pieces)))
        super().__init__(None, status, {**(headers or {}), "content-length": length}, media_type=JSON)
        self.pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in _grouped(self.pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})


def json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; numpy arrays are written as lists of numbers without becoming Python objects, and what `written`
    has written stays as it is."""
    parts: list[bytes] = []

    def left_open(part: Part) -> orjson.Fragment:
        parts.append(part.content)
        return HOLE

    between = orjson.dumps(content, left_open, OPTIONS).split(HOLE_MARK)
    pieces = [between[0], *chain.from_iterable(zip(parts, between[1:], strict=True))]
    if sum(map(len, parts)) <= PIECE_BYTES:
        return Response(b"".join(pieces), status, headers, media_type=JSON)
    return Pieces(pieces, status, headers)


async def written(rows: Iterable[Any], encode: Callable[[Any], Any] = lambda row: row) -> list[Part]:
    """Rows as parts of a JSON answer, each what `encode` makes of it.

    Writing many numbers takes longer than anything else on the event loop may, so it is done piece by piece.
    """
    parts: list[Part] = []
    began = time.perf_counter()
    for row in rows:
        content = encode(row)
        if getattr(content, "ndim", 1) > 1:
            content = b"[%b]" % b",".join(part.content for part in await written(content))
        elif not isinstance(content, bytes):
            content = orjson.dumps(content, option=OPTIONS)
        parts.append(Part(content))
        if time.perf_counter() - began > TURN_SECONDS:
            await asyncio.sleep(0)
            began = time.perf_counter()
    return parts


def base64_of(row: Vectors, dtype: str = "<f4") -> bytes:
    """The vector's numbers in base64, as a JSON string: little-endian float32, or what numpy's `dtype` says."""
    return b'"%b"' % binascii.b2a_base64(np.ascontiguousarray(row, dtype=dtype).data, newline=False)


# What `written` encodes rows by, by the name that many APIs have for it.
ENCODINGS: Mapping[str, Callable[[Any], Any]] = {"float": lambda row: row, "base64": base64_of}


def _grouped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces."""
    group: list[bytes] = []
    size = 0
    for piece in pieces:
        group.append(piece)
        size += len(piece)
        if size > PIECE_BYTES:
            yield b"".join(group)
            group, size = [], 0
    yield b"".join(group)


def usage(tokens: int) -> dict[str, int]:
    """What a request cost, as OpenAI's API and those like it say it."""
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def openai_list(
    vectors: Sequence[Any], tokens: Sequence[int], model: str, headers: Mapping[str, str] | None = None
) -> Response:
    """OpenAI's answer, of vectors as `written` has them and their numbers of tokens."""
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return json({"object": "list", "data": data, "model": model, "usage": usage(sum(tokens))}, headers=headers)


def error_string(failure: Failure) -> Response:
    """`{"error": "…"}`: a string, as Weaviate's clients read it."""
    return json({"error": failure.message}, failure.status)


def openai_error(failure: Failure, **more: Any) -> Response:
    """`{"error": {"message", "type", "param", "code"}}`, as OpenAI's clients read it, with more keys beside `error` for
    others. What a request got wrong is 400 there, never 422."""
    status = 400 if failure.status == 422 else failure.status
    kind = OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": failure.message, "type": kind, "param": failure.param or None, "code": failure.reason}
    return json({"error": error, **more}, status)
