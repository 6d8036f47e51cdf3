"""Whether the server is alive and ready, for all APIs that ask for it."""

from __future__ import annotations

from multi2vec.serve.errors import Failure
from multi2vec.serve.service import Service


def live(service: Service) -> Failure | None:
    """None while the process does well or may yet; a failure when only a new one can help."""
    return _failure(service) if service.state == "failed" else None


def ready(service: Service) -> Failure | None:
    """None when requests are taken, else why not."""
    return None if service.is_ready else _failure(service)


def _failure(service: Service) -> Failure:
    return Failure(503, "not_ready", service.reason)
