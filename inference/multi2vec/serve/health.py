"""`multi2vec health`: whether the server of this container is ready. Exit status 0 or 1.

For a container's health check: the standard library only, so that asking costs little.
"""

from __future__ import annotations

import argparse
import http.client
import os
from collections.abc import Sequence

SECONDS = 4.0


def main(arguments: Sequence[str] = ()) -> int:
    """Ask the server on this machine's `PORT`. Returns the exit status."""
    argparse.ArgumentParser(prog="multi2vec health", description=__doc__).parse_args(arguments)
    host = os.environ.get("HOST") or "127.0.0.1"
    # Listening on all addresses, it is at the loopback one too.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(host, int(os.environ.get("PORT") or 8080), timeout=SECONDS)
    try:
        connection.request("GET", "/.well-known/ready", headers={"Connection": "close"})
        answer = connection.getresponse()
        print(answer.read().decode(errors="replace") or "ready")
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer: {error}")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == http.HTTPStatus.NO_CONTENT else 1
