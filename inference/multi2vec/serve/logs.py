"""Logs: one line per event, for people or as JSON, with the id of the request that it belongs to."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str] = ContextVar("request_id", default="-")

TEXT = "%(asctime)s %(levelname)-7s [%(request_id)s] %(name)s: %(message)s"
JSON = "%(asctime)s %(levelname)s %(request_id)s %(name)s %(message)s"


class _RequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


def configure(level: str, form: str) -> None:
    """Send everything at or above `level` to standard error, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_RequestId())
    if form == "json":
        renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(JsonFormatter(JSON, rename_fields=renamed))
    else:
        handler.setFormatter(logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Its start and stop lines repeat ours.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
