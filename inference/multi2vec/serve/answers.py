"""Answers: JSON straight from the vectors' buffers, and the shapes that several APIs share."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Response

from multi2vec.serve.errors import Failure


def json(content: Any, status: int = 200) -> Response:
    """A JSON answer; numpy arrays are written as lists of numbers without becoming Python objects."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type="application/json")


def error_string(failure: Failure) -> Response:
    """`{"error": "…"}`: a string, as Weaviate's clients read it."""
    return json({"error": failure.message}, failure.status)
