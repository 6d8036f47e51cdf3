"""What can go wrong between a request and its answer, and where.

    bytes → read → parse → decode → prepare → queue → encode → answer
              │       │       │        │        │        │
        TooLarge  BadRequest  └ BadInput ┘  Overloaded  EncodeFailed
        NotReady              TooLarge

Every message is written for the person who sent the request: what was wrong, and what would be right. Dialects turn an
exception into their API's error shape; `status` is the HTTP status they use unless the API says otherwise.

    ServiceError
    ├── ClientError
    │   ├── BadRequest      400  the body is not what the API expects
    │   ├── BadInput        422  a text or picture cannot be used
    │   ├── Unsupported     422  the model has no tower for this kind of input
    │   └── TooLarge        413  over a limit
    ├── Unavailable
    │   ├── NotReady        503  the model is loading, or the server is going away
    │   └── Overloaded      503  the queue is full, or the wait would outlast the caller
    └── EncodeFailed        500  inference failed
"""

from __future__ import annotations


class ServiceError(Exception):
    """The root; `retry_after` is in seconds."""

    status = 500
    retry_after: int | None = None
    # One failed batch is the failure of many requests; its traceback is logged for the first of them.
    is_logged = False

    @property
    def message(self) -> str:
        """One sentence for the client."""
        return str(self)


class ClientError(ServiceError):
    """The request was wrong; sending it again will not help."""

    status = 400


class BadRequest(ClientError):
    """The body is not what the API expects."""


class BadInput(ClientError):
    """A text or picture cannot be used."""

    status = 422


class Unsupported(ClientError):
    """The model has no tower for this kind of input."""

    status = 422


class TooLarge(ClientError):
    """Over one of the limits; the message names the setting."""

    status = 413


class Unavailable(ServiceError):
    """Sending the request again, later, can help."""

    status = 503

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotReady(Unavailable):
    """The model is loading, or the server is going away."""


class Overloaded(Unavailable):
    """The queue is full, or the estimated wait is longer than callers wait."""


class EncodeFailed(ServiceError):
    """Inference failed; the reason is in the log, not in the answer."""
