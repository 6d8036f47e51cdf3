"""What can go wrong between a request and its answer, on top of what the engine raises; and how HTTP says it.

    bytes → read → parse → engine → answer
              │       │       │
        TooLarge  BadRequest  what `engine/errors.py` lists
        NotReady  UnknownModel

Dialects turn a `Failure` into their API's error shape; its status is the one that they use unless the API says
otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException

from multi2vec.engine.errors import (
    BadInput,
    ClientError,
    EmbedError,
    EncodeFailed,
    TooLarge,
    Unavailable,
    Unsupported,
)


class BadRequest(ClientError):
    """The body is not what the API expects. `param` is the key that is wrong, where it is one."""

    def __init__(self, message: str, *, limit: str = "", param: str = "") -> None:
        super().__init__(message, limit=limit)
        self.param = param


@contextmanager
def under(key: str) -> Iterator[None]:
    """What is wrong inside is wrong under the body's key, unless the error names another."""
    try:
        yield
    except BadRequest as error:
        error.param = error.param or key
        raise


class UnknownModel(ClientError):
    """The model that was asked for is not the one that is here."""


class NotReady(Unavailable):
    """The model is loading, or the server is going away."""


STATUSES: dict[type[EmbedError], int] = {
    BadRequest: HTTPStatus.BAD_REQUEST,
    UnknownModel: HTTPStatus.NOT_FOUND,
    BadInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unsupported: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ClientError: HTTPStatus.BAD_REQUEST,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    EncodeFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
}


@dataclass(frozen=True)
class Failure:
    """An error on its way to the client.

    `reason` is a word for logs and metrics, `limit` the setting that was in the way ("" if none was), `retry_after`
    seconds after which asking again can help, `param` the body's key that is wrong ("" if it is not a single one).
    """

    status: int
    reason: str
    message: str
    limit: str = ""
    retry_after: int | None = None
    param: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether the server is to blame: then there is a traceback to log, and no refusal to count."""
        return self.status == HTTPStatus.INTERNAL_SERVER_ERROR


def failure_of(error: EmbedError) -> Failure:
    """How an error of the engine's or ours is told."""
    kind = next(each for each in type(error).__mro__ if each in STATUSES)
    retry_after = error.retry_after if isinstance(error, Unavailable) else None
    message = f"{error.message}; the server's log has the reason" if kind is EncodeFailed else error.message
    param = error.param if isinstance(error, BadRequest) else ""
    return Failure(STATUSES[kind], _word(type(error).__name__), message, error.limit, retry_after, param)


def failure_of_http(error: HTTPException, method: str, path: str, there: str) -> Failure:
    """How an error of the router's is told; `there` lists the paths that exist."""
    allowed = (error.headers or {}).get("Allow", "another method")
    messages = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {path}; there are {there}",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{method} is not possible at {path}; it takes {allowed}",
    }
    status = HTTPStatus(error.status_code)
    return Failure(status, status.name.lower(), messages.get(status, str(error.detail)))


def _word(name: str) -> str:
    """BadInput → bad_input."""
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in name).lstrip("_")
