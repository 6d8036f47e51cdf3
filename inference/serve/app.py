"""The FastAPI application: dialects on one side, the service on the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from inference import __version__
from inference.serve import metrics as metric
from inference.serve.dialects import weaviate
from inference.serve.edge import Edge
from inference.serve.errors import ServiceError
from inference.serve.service import Service

logger = logging.getLogger(__name__)

# What proxies log for a client that hung up; nobody reads the answer.
CLIENT_GONE = 499


def create_app(service: Service, on_failure: Callable[[BaseException], None]) -> FastAPI:
    """The application. It listens at once and loads the model beside; `on_failure` hears why that did not work."""

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
        # Nobody exports it here, and asking whether somebody does takes an eighth of the event loop's time.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.include_router(weaviate.router(service))
    app.add_api_route("/metrics", _metrics_endpoint(service), methods=["GET"])
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    app.add_middleware(
        Edge,
        prefix=service.settings.url_prefix,
        metrics=service.metrics,
        render_error=render_error,
        is_draining=lambda: service.state == "draining",
        requests_per_connection=service.settings.max_requests_per_connection,
        access_log=service.settings.access_log,
    )
    return app


def render_error(path: str, message: str, status: int) -> Response:
    """An error in the shape of the API that the path belongs to; Weaviate's own where it belongs to none."""
    del path
    return weaviate.render_error(message, status)


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


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s", error, exc_info=None if error.is_logged else error)
        error.is_logged = True
    response = render_error(request.url.path, error.message, error.status)
    if error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # The rest of the body may still be on its way.
        response.headers["connection"] = "close"
    return response


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    messages = {
        404: f"there is nothing at {path}; the API is at /vectorize and /meta",
        405: f"{request.method} is not possible at {path}; it takes {(error.headers or {}).get('Allow', 'another')}",
    }
    response = render_error(path, messages.get(error.status_code, str(error.detail)), error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)
