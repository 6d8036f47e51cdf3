"""From the table of dialects to routes: who answers what, and in whose shape errors are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import Scope

from multi2vec.serve import answers, bodies, models
from multi2vec.serve.dialect import Dialect, DialectError, Endpoint, Get, Post, Probe
from multi2vec.serve.errors import Failure
from multi2vec.serve.keys import Keys
from multi2vec.serve.service import Service

# Where a request's scope says whose it is, once that is known.
OWNER = "multi2vec.dialect"


@dataclass
class Place:
    """A path, and what each dialect has there."""

    path: str
    posts: list[tuple[Dialect, Post[Any]]] = field(default_factory=list)
    gets: list[tuple[Dialect, Get]] = field(default_factory=list)
    probes: list[tuple[Dialect, Probe]] = field(default_factory=list)

    @property
    def owner(self) -> Dialect:
        """Whose errors are shown as long as no body says otherwise."""
        rest = next((dialect for dialect, post in self.posts if post.is_mine is None), None)
        return rest or [*self.posts, *self.gets, *self.probes][0][0]

    def post(self, body: bytes) -> tuple[Dialect, Post[Any]]:
        """Whose body it is."""
        if len(self.posts) == 1:
            return self.posts[0]
        keys = Keys(body)
        claimed = (each for each in self.posts if each[1].is_mine is not None and each[1].is_mine(keys))
        return next(claimed, None) or next(each for each in self.posts if each[1].is_mine is None)

    def facts(self) -> dict[str, Any]:
        """The keys of all that tell something here; of a key that two have, the first one's."""
        merged: dict[str, Any] = {}
        for _, get in self.gets:
            merged = {**merged, **get.facts(), **merged}
        return merged

    def check(self) -> None:
        """Raise `DialectError` unless each request has one answer."""
        rest = [dialect.name for dialect, post in self.posts if post.is_mine is None]
        if self.posts and len(rest) != 1:
            raise DialectError(f"of what is posted to {self.path}, all that nobody else claims goes to {rest}")
        if len(self.probes) + bool(self.gets) > 1:
            names = [dialect.name for dialect, _ in [*self.probes, *self.gets]]
            raise DialectError(f"{self.path} is claimed by {' and by '.join(names)}")


class Routes:
    """All places of a table of dialects."""

    def __init__(self, service: Service, table: Sequence[Dialect]) -> None:
        """Raises `DialectError`."""
        self._service = service
        self._first = table[0]
        self.places: dict[str, Place] = {}
        for dialect in table:
            for endpoint in dialect.endpoints(service):
                self._add(dialect, endpoint)
        for place in self.places.values():
            place.check()

    def router(self) -> APIRouter:
        """The routes: POST, and GET with HEAD."""
        routes = APIRouter()
        for path, place in self.places.items():
            if place.posts:
                routes.add_api_route(path, self._posted(place), methods=["POST"])
            if place.gets:
                routes.add_api_route(path, _got(place), methods=["GET", "HEAD"])
            for _, probe in place.probes:
                routes.add_api_route(path, _probed(probe), methods=["GET", "HEAD"])
        return routes

    @property
    def probes(self) -> frozenset[str]:
        """The paths that orchestrators ask again and again."""
        return frozenset(path for path, place in self.places.items() if place.probes)

    def render_error(self, scope: Scope, failure: Failure) -> Response:
        """The failure in the shape of the API that the request is of; the first dialect's where it is of none."""
        owner: Dialect = scope.get(OWNER) or _nearest(self.places, scope["path"]) or self._first
        return owner.render_error(failure)

    def _add(self, dialect: Dialect, endpoint: Endpoint) -> None:
        place = self.places.setdefault(endpoint.path, Place(endpoint.path))
        if isinstance(endpoint, Post):
            place.posts.append((dialect, endpoint))
        elif isinstance(endpoint, Get):
            place.gets.append((dialect, endpoint))
        else:
            place.probes.append((dialect, endpoint))

    def _posted(self, place: Place) -> Callable[..., Any]:
        limit, name = self._service.settings.max_body_bytes, models.Name(self._service)

        async def posted(request: Request) -> Response:
            body = await bodies.read(request, limit)
            request.scope[OWNER], post = place.post(body)
            asked = post.decode(body)
            # Not every API's bodies name a model.
            name.check(getattr(asked, "model", None))
            return await bodies.unless_gone(request, post.answer(asked))

        return posted


def _got(place: Place) -> Callable[..., Any]:
    async def got() -> Response:
        return answers.json(place.facts())

    return got


def _probed(probe: Probe) -> Callable[..., Any]:
    async def probed() -> Response:
        return probe.answer()

    return probed


def _nearest(places: Mapping[str, Place], path: str) -> Dialect | None:
    """The owner of the path or of what it lies below."""
    while path not in places and path:
        path = path.rpartition("/")[0]
    return places[path].owner if path else None
