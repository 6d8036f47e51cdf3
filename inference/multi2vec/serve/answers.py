"""Answers: JSON straight from the vectors' buffers, and the shapes that several APIs share."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from fastapi import Response

from multi2vec.engine.rows import Vectors
from multi2vec.serve.errors import Failure

# What OpenAI calls some errors; others are the request's fault or the server's.
OPENAI_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; numpy arrays are written as lists of numbers without becoming Python objects."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, headers, media_type="application/json")


def base64_of(row: Vectors, dtype: str = "<f4") -> str:
    """The vector's numbers in base64: little-endian float32, or what numpy's `dtype` says."""
    return binascii.b2a_base64(np.ascontiguousarray(row, dtype=dtype).data, newline=False).decode("ascii")


def error_string(failure: Failure) -> Response:
    """`{"error": "…"}`: a string, as Weaviate's clients read it."""
    return json({"error": failure.message}, failure.status)


def openai_error(failure: Failure) -> Response:
    """`{"error": {"message", "type", "param", "code"}}`, as OpenAI's clients read it. What a request got wrong is 400
    there, never 422."""
    status = 400 if failure.status == 422 else failure.status
    kind = OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": failure.message, "type": kind, "param": failure.param or None, "code": failure.reason}
    return json({"error": error}, status)
