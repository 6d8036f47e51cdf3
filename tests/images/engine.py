#!/usr/bin/env python3
"""Stands in for docker, podman or buildah, whichever name it is called by: notes what it is told and builds nothing.

In the folder that `FAKE_ENGINE` names are `calls` (one JSON list per line) and `images` (one name per line), and what
a test puts there: `fails` (tags whose conversion fails), `waits` (tags whose build ends when `go` appears, or never),
`broken` (engines that do not work).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

STATE = Path(os.environ.get("FAKE_ENGINE", ""))
MANIFEST = {
    "tag": "",
    "sources": [{"name": "somebody/model", "revision": "0123abc"}],
    "licence": "mit",
    "precision": "fp16",
    "parity": {
        "f32": {"text": {"dense": {"smallest_cosine": 0.9999999, "mean_cosine": 1.0}}},
        "bf16": {"text": {"dense": {"smallest_cosine": 0.99991, "mean_cosine": 0.99997}}},
    },
    "fingerprint": "0123456789abcdef",
}


def main(name: str, arguments: list[str]) -> int:
    """One call; returns the exit status."""
    with (STATE / "calls").open("a") as calls:
        calls.write(json.dumps([name, *arguments]) + "\n")
    if arguments == ["info"]:
        return int(name in _lines("broken"))
    if "build" in arguments[:2]:
        return _build(arguments)
    if arguments[:2] in (["image", "inspect"], ["image", "exists"]) or arguments[0] == "inspect":
        if arguments[-1] not in _lines("images"):
            return 1
        print("412345678")
    return 0


def _build(arguments: Sequence[str]) -> int:
    tag = next(each[4:] for each in arguments if each.startswith("TAG="))
    for each in arguments:
        if each.startswith("id=hf_token,src="):
            secret = Path(each.partition("src=")[2])
            (STATE / "secret").write_text(f"{secret.stat().st_mode & 0o777:o} {secret.read_text()}")
    if tag in _lines("waits"):
        print("#7 0.1 waiting", flush=True)
        while not (STATE / "go").exists():
            time.sleep(0.01)
    if tag in _lines("fails"):
        print("#7 [convert 2/2] RUN python -m multi2vec convert", "#7 8.1 loading", sep="\n")
        print(f"#7 9.5 {tag} was not converted: the hub is away", "#7 ERROR: executor failed: exit code: 1", sep="\n")
        return 1
    context = Path(arguments[-1])
    with (STATE / "contexts").open("a") as contexts:
        contexts.write(json.dumps(sorted(str(path.relative_to(context)) for path in context.rglob("*"))) + "\n")
    for each in arguments:
        if each.startswith("type=local,dest="):
            Path(each.partition("dest=")[2], "manifest.json").write_text(json.dumps(MANIFEST | {"tag": tag}))
        if each.startswith("--tag="):
            with (STATE / "images").open("a") as images:
                images.write(each.partition("=")[2] + "\n")
    return 0


def _lines(name: str) -> list[str]:
    path = STATE / name
    return path.read_text().split() if path.exists() else []


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[0]).name, sys.argv[1:]))
