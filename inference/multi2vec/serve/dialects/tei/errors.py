"""How text-embeddings-inference says what went wrong: a word beside the sentence, and statuses of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from fastapi import Response

from multi2vec.engine.errors import BadInput, Unsupported
from multi2vec.serve import answers
from multi2vec.serve.errors import BadRequest, Failure

ErrorType = Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]
# By a failure's reason: this API's own status, and its word for it. All others keep their status.
ERRORS: Mapping[str, tuple[int, ErrorType]] = {
    "bad_request": (422, "Validation"),
    "empty": (400, "Empty"),
    "untokenisable": (422, "Tokenizer"),
    "wrong_model": (424, "Backend"),
    "encode_failed": (424, "Backend"),
    "overloaded": (429, "Overloaded"),
    "not_ready": (503, "Unhealthy"),
    "closed": (503, "Unhealthy"),
    "internal": (500, "Backend"),
}


class Empty(BadRequest):
    """There is nothing to embed, to tokenise or to decode."""


class WrongModel(Unsupported):
    """The model does not give what the path is for."""


class Untokenisable(BadInput):
    """The tokenizer cannot do it, or there is none."""


def render_error(failure: Failure) -> Response:
    """`{"error": "…", "error_type": "…"}`."""
    status, kind = ERRORS.get(failure.reason, (failure.status, "Validation"))
    return answers.json({"error": failure.message, "error_type": kind}, status)
