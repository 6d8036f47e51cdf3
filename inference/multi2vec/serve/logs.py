"""Logs: one line per event, for people or as JSON, with the id of the request that it belongs to, and of its trace."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str] = ContextVar("request_id", default="-")
# "" for a request that belongs to no trace.
trace_id: ContextVar[str] = ContextVar("trace_id", default="")

TEXT = "%(asctime)s %(levelname)-7s [%(ids)s] %(name)s: %(message)s"
JSON = "%(asctime)s %(levelname)s %(request_id)s %(trace_id)s %(name)s %(message)s"


class _Ids(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        own, trace = request_id.get(), trace_id.get()
        # Without an id of its own a request has its trace's.
        ids = own if trace in ("", own) else f"{own} {trace}"
        vars(record).update(request_id=own, trace_id=trace, ids=ids)
        return True


def configure(level: str, form: str) -> None:
    """Send everything at or above `level` to standard error, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Ids())
    if form == "json":
        renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(JsonFormatter(JSON, rename_fields=renamed))
    else:
        handler.setFormatter(logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Its start and stop lines repeat ours.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
