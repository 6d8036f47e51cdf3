"""The FastAPI application: dialects on one side, the service on the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from multi2vec import __version__
from multi2vec.engine.errors import EmbedError
from multi2vec.serve import auth, dialects, openapi
from multi2vec.serve import metrics as metric
from multi2vec.serve.edge import Edge, clean_path, trace_id
from multi2vec.serve.errors import Failure, failure_of, failure_of_http
from multi2vec.serve.routes import Routes
from multi2vec.serve.service import Service
from multi2vec.serve.settings import listed

if TYPE_CHECKING:
    from multi2vec.serve.tracing import Tracing

logger = logging.getLogger(__name__)

# What proxies log for a client that hung up; nobody reads the answer.
CLIENT_GONE = 499
TOO_LARGE = 413
METRICS = "/metrics"


def create_app(
    service: Service, on_failure: Callable[[BaseException], None], tracing: Tracing | None = None
) -> FastAPI:
    """The application. It listens at once and loads the model beside; `on_failure` hears why that did not work."""
    routes = Routes(service, dialects.DIALECTS)
    prefix = service.settings.url_prefix
    often = routes.probes | {METRICS}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        life = asyncio.create_task(_live(service, on_failure))
        yield
        life.cancel()
        service.close()

    app = FastAPI(
        title="multi2vec-openvino",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # Unless spans are sent, even asking whether somebody wants them takes an eighth of the event loop's time.
        telemetry=tracing.telemetry(lambda scope: clean_path(scope["path"], prefix) in often)
        if tracing
        else {"tracing": False, "metrics": False, "logs": False},
    )
    app.include_router(routes.router())
    app.include_router(openapi.router(routes))
    app.add_api_route(METRICS, _metrics_endpoint(service), methods=["GET"])
    failures = Failures(service, routes)
    app.add_exception_handler(EmbedError, failures.embed_error)
    app.add_exception_handler(HTTPException, failures.http_error)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    app.add_middleware(
        Edge,
        prefix=prefix,
        metrics=service.metrics,
        fingerprint=service.manifest.fingerprint,
        render_error=failures.render,
        refuse=failures.unless_key_is_shown,
        is_draining=lambda: service.state == "draining",
        requests_per_connection=service.settings.max_requests_per_connection,
        access_log=service.settings.access_log,
        trace_of=tracing.trace_id if tracing else trace_id,
    )
    if tracing:
        # The last one is the outermost.
        app.add_middleware(tracing.middleware)
    return app


async def _live(service: Service, on_failure: Callable[[BaseException], None]) -> None:
    try:
        await service.load()
    except Exception as error:
        on_failure(error)
        return
    await service.watch()


def _metrics_endpoint(service: Service) -> Callable[[], Response]:
    # Not a coroutine: FastAPI runs it on a thread, off the event loop.
    def metrics() -> Response:
        return Response(service.metrics.render(), media_type=metric.CONTENT_TYPE)

    return metrics


class Failures:
    """Turns errors into answers in the shape of the API that the request is of, and makes each refusal visible."""

    def __init__(self, service: Service, routes: Routes) -> None:
        self._metrics = service.metrics
        self._routes = routes
        self._keys = auth.Keys(listed(service.settings.api_keys), service.settings.api_keys_file)
        self._there = f"{', '.join(routes.places)} and {METRICS}"

    def render(self, scope: Scope, failure: Failure) -> Response:
        """The answer for a failure of that request; a refusal is counted, and a line in the log."""
        response = self._routes.render_error(scope, failure)
        if not failure.is_fault:
            self._refused(scope, failure, response.status_code)
        if failure.retry_after is not None:
            response.headers["retry-after"] = str(failure.retry_after)
        if failure.status == TOO_LARGE:
            # The rest of the body may still be on its way.
            response.headers["connection"] = "close"
        return response

    def unless_key_is_shown(self, scope: Scope) -> Response | None:
        """The answer for a request without one of the keys that are wanted; its body is not read."""
        if self._keys.accept(scope["path"], scope["headers"]):
            return None
        response = self.render(scope, auth.REFUSAL)
        response.headers.update({"www-authenticate": "Bearer", "connection": "close"})
        return response

    async def embed_error(self, request: Request, error: Exception) -> Response:
        """What the engine and our own code raise."""
        assert isinstance(error, EmbedError)
        failure = failure_of(error)
        if failure.is_fault:
            logger.error("%s", error, exc_info=None if error.is_logged else error)
            error.is_logged = True
        return self.render(request.scope, failure)

    async def http_error(self, request: Request, error: Exception) -> Response:
        """What the router raises."""
        assert isinstance(error, HTTPException)
        path = request.scope["path"]
        failure = failure_of_http(error, request.method, path, self._there)
        response = self.render(request.scope, failure)
        response.headers.update(error.headers or {})
        return response

    def _refused(self, scope: Scope, failure: Failure, status: int) -> None:
        self._metrics.refused.labels(failure.reason, failure.limit).inc()
        logger.info(
            "refused %s %s: %d %s: %s",
            scope["method"],
            scope["path"],
            status,
            failure.reason,
            failure.message,
        )


async def _client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)
