"""How each API tells errors: shapes, statuses and words, from the APIs' documentation and their clients' sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import msgspec


class Kind(Enum):
    """What goes wrong."""

    NOT_JSON = "no JSON object"
    WRONG_TYPE = "a key of the wrong type"
    MISSING = "a key is missing"
    EMPTY = "an empty input"
    TOO_MANY = "more than MAX_ITEMS"
    TOO_LARGE = "more than MAX_BODY_BYTES"
    NO_PICTURE = "a picture that cannot be decoded"
    NO_PICTURES = "a picture for a model of texts"
    NO_TEXTS = "a text for a model of pictures"
    MODEL = "another model"
    PROMPT = "a prompt or input type that the model lacks"
    DIMENSIONS = "dimensions of a model that cannot be cut"
    TOO_LONG = "too long a text"
    IDS = "token ids beyond the vocabulary"
    OVERLOADED = "the queue is full"
    NOT_READY = "the model is loading"
    ENCODE_FAILED = "inference failed"
    FAULT = "an exception that nobody expects"
    NO_KEY = "no API key"
    METHOD = "another method"
    PATH = "a path below"


STATUSES = {
    Kind.NOT_JSON: 400,
    Kind.WRONG_TYPE: 400,
    Kind.MISSING: 400,
    Kind.EMPTY: 400,
    Kind.TOO_MANY: 413,
    Kind.TOO_LARGE: 413,
    Kind.NO_PICTURE: 422,
    Kind.NO_PICTURES: 422,
    Kind.NO_TEXTS: 422,
    Kind.MODEL: 404,
    Kind.PROMPT: 400,
    Kind.DIMENSIONS: 422,
    Kind.TOO_LONG: 422,
    Kind.IDS: 422,
    Kind.OVERLOADED: 503,
    Kind.NOT_READY: 503,
    Kind.ENCODE_FAILED: 500,
    Kind.FAULT: 500,
    Kind.NO_KEY: 401,
    Kind.METHOD: 405,
    Kind.PATH: 404,
}
# OpenAI's and Cohere's clients know no 422 for what is wrong with a request.
NEVER_422 = {kind: 400 for kind, status in STATUSES.items() if status == 422}


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """An error's body: these keys, all of them, and no others."""


class ErrorString(Shape):
    """Weaviate's containers."""

    error: str


class Detail(Shape):
    """Jina as Weaviate reads it, and Intel."""

    detail: str


class Message(Shape):
    """Cohere."""

    message: str


class Typed(Shape):
    """text-embeddings-inference."""

    error: str
    error_type: str


class Nested(Shape):
    """What stands under OpenAI's `error`."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorObject(Shape):
    """OpenAI and vLLM."""

    error: Nested


class Both(Shape):
    """OpenAI's and Cohere's together."""

    error: Nested
    message: str


@dataclass(frozen=True)
class Api:
    """An API's shape of errors, statuses where they differ from `STATUSES`, and its word for a kind of error."""

    shape: type[Shape]
    statuses: Mapping[Kind, int] = field(default_factory=dict)
    word: Callable[[Kind, int], str] = lambda kind, status: ""

    def status(self, kind: Kind) -> int:
        """The status of that kind."""
        return self.statuses.get(kind, STATUSES[kind])


def _openai_word(kind: Kind, status: int) -> str:
    words = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    return words.get(status, "invalid_request_error" if status < 500 else "server_error")


TEI_WORDS = {
    Kind.EMPTY: "Empty",
    Kind.OVERLOADED: "Overloaded",
    Kind.NOT_READY: "Unhealthy",
    Kind.ENCODE_FAILED: "Backend",
    Kind.FAULT: "Backend",
}
TEI_STATUSES = {
    **dict.fromkeys((Kind.NOT_JSON, Kind.WRONG_TYPE, Kind.MISSING, Kind.PROMPT), 422),
    Kind.OVERLOADED: 429,
    Kind.ENCODE_FAILED: 424,
}


WEAVIATE = Api(ErrorString)
JINA = Api(Detail)
OPENAI = Api(ErrorObject, NEVER_422, _openai_word)
COHERE = Api(Message, NEVER_422)
OPENAI_AND_COHERE = Api(Both, NEVER_422, _openai_word)
INTEL = Api(Detail, dict.fromkeys((Kind.NO_PICTURES, Kind.NO_TEXTS, Kind.MODEL), 400))
TEI = Api(Typed, TEI_STATUSES, lambda kind, status: TEI_WORDS.get(kind, "Validation"))
# Where a model does not give what the path is for.
TEI_OUTPUTS = replace(
    TEI,
    statuses={**TEI_STATUSES, Kind.NO_TEXTS: 424},
    word=lambda kind, status: "Backend" if kind is Kind.NO_TEXTS else TEI.word(kind, status),
)
TEI_TOKENS = replace(
    TEI, word=lambda kind, status: "Tokenizer" if kind in (Kind.NO_TEXTS, Kind.IDS) else TEI.word(kind, status)
)
