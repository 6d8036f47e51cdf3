"""A stand-in for the model hub: as much of its protocol as downloads need, from folders, on this machine only."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from multi2vec.convert.checksums import git_blob

LARGE = 10_000


@dataclass(frozen=True)
class Repository:
    """A repository of one commit, which is also its branch `main`. If it has a token, it answers only who sends it."""

    folder: Path
    commit: str = "0123456789abcdef0123456789abcdef01234567"
    token: str | None = None

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


@dataclass
class Hub:
    """What is served, and what was asked: (method, path, token) in order."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    address: str = ""

    def downloaded(self) -> set[str]:
        """The names of the files that were fetched."""
        return {path.split("/")[-1] for method, path, _ in self.requests if method == "GET" and "/resolve/" in path}


@contextmanager
def serve(repositories: dict[str, Repository]) -> Iterator[Hub]:
    """A hub with these repositories, listening on `hub.address` as long as the block runs."""
    hub = Hub(repositories)
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: _Handler(hub, *args))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.requests.append((self.command, path, token))
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"] and len(parts) > 5 and parts[4] in ("revision", "tree"):
            name, what, revision, rest = "/".join(parts[2:4]), parts[4], parts[5], ""
        elif len(parts) > 4 and parts[2] == "resolve":
            name, what, revision, rest = "/".join(parts[:2]), "file", parts[3], "/".join(parts[4:])
        else:
            return self._fail(404, "EntryNotFound")
        repository = self.hub.repositories.get(name)
        if repository is None or repository.token not in (None, token):
            return self._fail(401, "RepoNotFound")
        if revision not in ("main", repository.commit):
            return self._fail(404, "RevisionNotFound")
        if what == "file":
            return self._file(repository, rest)
        return self._json(_listing(repository) if what == "tree" else _information(name, repository))

    def _file(self, repository: Repository, name: str) -> None:
        path = repository.folder / name
        if not path.is_file():
            return self._fail(404, "EntryNotFound", repository)
        body = path.read_bytes()
        status, start = 200, 0
        if wanted := self.headers.get("Range"):
            status, start = 206, int(wanted.removeprefix("bytes=").split("-")[0])
        headers = {"ETag": f'"{_digest(body)}"', "X-Repo-Commit": repository.commit, "Accept-Ranges": "bytes"}
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return self._send(status, body[start:], headers)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _fail(self, status: int, code: str, repository: Repository | None = None) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": code}
        if repository is not None:
            headers["X-Repo-Commit"] = repository.commit
        self._send(status, b"", headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _information(name: str, repository: Repository) -> dict[str, Any]:
    names = [{"rfilename": str(path.relative_to(repository.folder))} for path in repository.files()]
    return {"id": name, "modelId": name, "sha": repository.commit, "private": False, "tags": [], "siblings": names}


def _listing(repository: Repository) -> list[dict[str, Any]]:
    return [
        {
            "type": "file",
            "path": str(path.relative_to(repository.folder)),
            "size": path.stat().st_size,
            "oid": _digest(path.read_bytes()),
        }
        for path in repository.files()
    ]


def _digest(body: bytes) -> str:
    """The entity tag: as on the real hub SHA-256 for what is kept as a large file, git's blob hash for the rest."""
    return hashlib.sha256(body).hexdigest() if len(body) > LARGE else git_blob(body)
