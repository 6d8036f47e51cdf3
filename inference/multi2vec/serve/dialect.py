"""What a dialect is: one API's requests, answers and errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, Response

from multi2vec.serve.errors import Failure
from multi2vec.serve.service import Service


@dataclass(frozen=True)
class Dialect:
    """One entry of the table in `dialects/`.

    `paths` are those that `router` serves. An error at one of them, or below it, goes through `render_error`; it has a
    body in the API's own shape and the failure's status or the API's own.
    """

    name: str
    paths: tuple[str, ...]
    router: Callable[[Service], APIRouter]
    render_error: Callable[[Failure], Response]

    def owns(self, path: str) -> bool:
        """Whether the path belongs to this API."""
        return any(path == each or path.startswith(f"{each}/") for each in self.paths)


class DialectError(RuntimeError):
    """Two dialects claim one path, or one serves a path that it does not name."""


def check(dialects: tuple[Dialect, ...], routers: tuple[APIRouter, ...]) -> None:
    """Raise `DialectError` unless each path belongs to one dialect, which serves it."""
    owners: dict[str, str] = {}
    for dialect, router in zip(dialects, routers, strict=True):
        served = {str(getattr(route, "path", "")) for route in router.routes}
        if served != set(dialect.paths):
            raise DialectError(f"{dialect.name} names {sorted(dialect.paths)} and serves {sorted(served)}")
        for path in dialect.paths:
            if path in owners:
                raise DialectError(f"{path} is claimed by {owners[path]} and by {dialect.name}")
            owners[path] = dialect.name
