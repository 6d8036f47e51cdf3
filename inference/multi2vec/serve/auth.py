"""API keys: who may ask, where the operator has named keys at all.

A key comes as `Authorization: Bearer KEY`, as OpenAI's, Cohere's and Hugging Face's clients send it, or in `api-key` or
`x-api-key`, as others do. All keys are compared, by their hashes and in constant time, so that the time that a refusal
takes tells nothing. Probes and the page that describes the APIs stay open.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from multi2vec.serve.errors import Failure

logger = logging.getLogger(__name__)

OPEN = ("/.well-known/live", "/.well-known/ready", "/health", "/docs", "/openapi.json")
HEADERS = (b"api-key", b"x-api-key")
BEARER = b"bearer "

# A file of keys is looked at again after so many seconds.
LOOK_SECONDS = 1.0

REFUSAL = Failure(401, "unauthorised", "this server wants one of its API keys, as the header Authorization: Bearer KEY")


class Keys:
    """The keys that are accepted: those that are given, and those in a file, one a line, `#` before a comment. The file
    may change at any time."""

    def __init__(self, given: Iterable[str], file: Path | None) -> None:
        """Raises `OSError` for a file that cannot be read."""
        self._given = frozenset(map(_hash, given))
        self._file = file
        self._state = _state(file)
        self._read = _read(file)
        self._looked = time.monotonic()

    @property
    def are_wanted(self) -> bool:
        """Whether anybody has to show one."""
        return bool(self._given) or self._file is not None

    def accept(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request for the path (as `Edge` cleans it) may pass."""
        if not self.are_wanted or _is_open(path):
            return True
        self._look()
        shown = [_hash(key.decode("latin-1")) for key in _shown(headers)]
        found = [hmac.compare_digest(one, other) for one in shown for other in (*self._given, *self._read)]
        return any(found)

    def _look(self) -> None:
        if self._file is None or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            state = _state(self._file)
            if state != self._state:
                self._read = _read(self._file)
                logger.info("API keys were read again: %d in %s", len(self._read), self._file)
        except OSError as error:
            state = None
            if self._state is not None:
                logger.error("the API keys in %s stay as they were: %s", self._file, error.strerror)
        self._state = state


def _shown(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    found = []
    for name, value in headers:
        if name == b"authorization" and value[: len(BEARER)].lower() == BEARER:
            found.append(value[len(BEARER) :].strip())
        elif name in HEADERS:
            found.append(value.strip())
    return found


def _is_open(path: str) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in OPEN)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _read(file: Path | None) -> frozenset[bytes]:
    lines = [] if file is None else file.read_text(encoding="utf-8").splitlines()
    return frozenset(_hash(line.strip()) for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _state(file: Path | None) -> tuple[int, int, int] | None:
    if file is None:
        return None
    seen = file.stat()
    return seen.st_mtime_ns, seen.st_size, seen.st_ino
