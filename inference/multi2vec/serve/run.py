"""`multi2vec serve`: serve one model folder. All settings are environment variables."""

from __future__ import annotations

import os
import signal
import sys

# As process 1 of a container it is ended by nothing but a handler, and the imports below take a while. The handler ends
# it at once: an exception could come in the middle of an import that takes it for a failure of its own.
for _each in (signal.SIGTERM, signal.SIGINT):
    signal.signal(_each, lambda *_: os._exit(0))

# ruff: noqa: E402
import argparse
import asyncio
import logging
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from pydantic import ValidationError

from multi2vec.engine import memory
from multi2vec.engine.errors import LoadError
from multi2vec.engine.resources import usable_cpus
from multi2vec.manifest import ManifestError
from multi2vec.serve import logs
from multi2vec.serve.app import create_app
from multi2vec.serve.connections import counting, waiting
from multi2vec.serve.metrics import Metrics
from multi2vec.serve.service import Service
from multi2vec.serve.settings import Settings

if TYPE_CHECKING:
    from multi2vec.serve.tracing import Tracing

logger = logging.getLogger("multi2vec.serve")


class Server(uvicorn.Server):
    """Ends as an orchestrator expects: not ready at once, everything in flight answered, exit status 0."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._drain_seconds = service.settings.drain_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM and SIGINT."""
        self._service.drain()
        super().handle_exit(sig, frame)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(self.config, self.server_state, self.lifespan.state)  # type: ignore[call-arg]
        return made

    async def shutdown(self, sockets: object = None) -> None:
        """Close the listeners, let kept connections finish and leave, then close what idles."""
        late = [each for server in self.servers for listener in server.sockets for each in waiting(listener)]
        for server in self.servers:
            server.close()
        for connection in late:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        await asyncio.sleep(self._drain_seconds)
        await super().shutdown()


def main(arguments: Sequence[str] = ()) -> int:
    """Serve until a signal. Returns the exit status."""
    argparse.ArgumentParser(
        prog="multi2vec serve",
        description=__doc__,
        epilog="settings: " + ", ".join(name.upper() for name in Settings.model_fields),
    ).parse_args(arguments)
    try:
        settings = Settings()
    except ValidationError as error:
        for each in error.errors():
            print(f"{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}", file=sys.stderr)
        return 2
    logs.configure(settings.log_level, settings.log_format)
    memory.limit_arenas(usable_cpus())
    if settings.enable_cuda:
        logger.warning("ENABLE_CUDA is set, but this image has no CUDA: serving on %s", settings.device)
    try:
        tracing = _tracing(settings)
    except ValueError as error:
        print(f"TRACING: {error}", file=sys.stderr)
        return 2
    try:
        service = Service(settings, tracing.metrics() if tracing else Metrics())
    except ManifestError as error:
        logger.critical("%s", error)
        return 1
    status = _serve(settings, service, tracing)
    if tracing and not tracing.close():
        logger.warning("the last spans were not sent: the collector did not take them in time")
    return status


def _tracing(settings: Settings) -> Tracing | None:
    """What makes spans, if they are wanted. Raises `ValueError` with a sentence if they cannot be made."""
    if not settings.tracing:
        return None
    try:
        from multi2vec.serve import tracing
    except ImportError as error:
        raise ValueError(
            f"it needs the package's extra `tracing`, or an image that is built with EXTRAS=tracing: {error}"
        ) from None
    return tracing.start()


def _serve(settings: Settings, service: Service, tracing: Tracing | None) -> int:
    failures: list[BaseException] = []

    def stop(error: BaseException) -> None:
        expected = isinstance(error, ManifestError | LoadError)
        logger.critical("cannot serve %s: %s", settings.model_folder, error, exc_info=None if expected else error)
        failures.append(error)
        server.should_exit = True

    config = uvicorn.Config(
        create_app(service, stop, tracing),
        host=settings.host,
        port=settings.port,
        http=counting(service.metrics.refused.labels("invalid_http", "").inc),
        # Whatever else is installed beside us.
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_grace)),
    )
    server = Server(config, service)
    logger.info("%s on http://%s:%d%s", service.manifest.tag, settings.host, settings.port, settings.url_prefix)
    # The server raises the signal once more when it is done; that must not be what ends the process. One that comes
    # before the server listens to signals counts as well.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: setattr(server, "should_exit", True))
    server.run()
    return 1 if failures else 0
