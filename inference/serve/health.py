"""`python -m inference.serve.health`: whether the server of this container is ready. Exit status 0 or 1.

For a container's health check: the standard library only, so that asking costs little.
"""

from __future__ import annotations

import http.client
import os
import sys

SECONDS = 4.0


def main() -> int:
    """Ask the server on this machine's `PORT`. Returns the exit status."""
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


if __name__ == "__main__":
    sys.exit(main())
