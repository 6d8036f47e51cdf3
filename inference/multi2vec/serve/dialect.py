"""What a dialect is: one API's requests, answers and errors.

Several APIs claim the same path. Of a POST the body's top-level keys decide whose it is; a GET has no body, so its
answer is one object with the keys of all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec
from fastapi import Response

from multi2vec.serve import bodies
from multi2vec.serve.errors import Failure
from multi2vec.serve.keys import Keys
from multi2vec.serve.service import Service

Body = TypeVar("Body")


@dataclass(frozen=True)
class Post(Generic[Body]):
    """What is done with a body at a path, once it is of the right type; `example` shows those who sent another what
    one looks like.

    `is_mine` tells from a body's keys whether it is this API's. None: everything that no other API at the path says
    is its own. The rest is for whoever reads about it: bodies by what they are `examples` of, which any model answers
    unless their name says what it needs.
    """

    path: str
    answer: Callable[[Body], Awaitable[Response]]
    body: type[Body]
    example: str
    summary: str
    examples: Mapping[str, Any] = field(default_factory=dict)
    is_mine: Callable[[Keys], bool] | None = None

    def decode(self, body: bytes) -> Body:
        """Raises `BadRequest` for a body of another type."""
        return bodies.decode(self._decoder, body, self.path, self.example)

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Body]:
        return msgspec.json.Decoder(self.body)


@dataclass(frozen=True)
class Get:
    """What a path tells: a JSON object. Several APIs may add to it, each keys of its own. Raises `EmbedError`."""

    path: str
    facts: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Probe:
    """A path that tells by its status how the server is, with a body if need be."""

    path: str
    answer: Callable[[], Response]


Endpoint = Post[Any] | Get | Probe


@dataclass(frozen=True)
class Dialect:
    """One entry of the table in `dialects/`.

    An error at one of its endpoints, or below its path, goes through `render_error`; it has a body in the API's own
    shape and the failure's status or the API's own.
    """

    name: str
    endpoints: Callable[[Service], Sequence[Endpoint]]
    render_error: Callable[[Failure], Response]


class DialectError(RuntimeError):
    """The endpoints of the table do not fit together."""
