"""Sends one request, and prints its status and body as one line of JSON: `python post.py FILE`. The file:

    {"host": "clip", "port": 8080, "texts": ["…"], "images": ["…"], "edge": 8000, "pictures": 4}

With `edge` it also sends pictures of that width and height, each in a grey of its own: small files, much memory.
"""

from __future__ import annotations

import base64
import http.client
import json
import struct
import sys
import zlib
from typing import Any


def plain(edge: int, grey: int) -> bytes:
    """A PNG of one colour, as small as such a file can be."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes([0]) + bytes([grey]) * 3 * edge
    data = b"".join(packer.compress(row) for _ in range(edge)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def post(settings: dict[str, Any]) -> dict[str, Any]:
    """The answer; status 0 when the connection broke before there was one."""
    images = list(settings.get("images", ()))
    if "edge" in settings:
        pictures = (plain(settings["edge"], grey) for grey in range(settings["pictures"]))
        images += [base64.b64encode(each).decode() for each in pictures]
    connection = http.client.HTTPConnection(settings["host"], settings["port"], timeout=60)
    body = json.dumps({"texts": settings.get("texts", []), "images": images})
    try:
        connection.request("POST", "/vectorize", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return {"status": response.status, "body": json.loads(response.read())}
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "body": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Once."""
    with open(sys.argv[1], encoding="utf-8") as file:
        print(json.dumps(post(json.load(file))))


if __name__ == "__main__":
    main()
