"""Whether downloaded files are what the hub says they are.

The hub's cache names every file's content after the entity tag that the hub gave for it: the SHA-256 of a large file,
git's blob hash of a small one (https://huggingface.co/docs/huggingface_hub/guides/manage-cache). So the content can be
checked at any time, without asking anybody.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from multi2vec import manifest
from multi2vec.convert.errors import SourceError

SHA256 = re.compile(r"[0-9a-f]{64}")
GIT_BLOB = re.compile(r"[0-9a-f]{40}")


def verify(snapshot: Path) -> None:
    """Compare every file of a snapshot in the hub's cache with its checksum. Raises `SourceError`."""
    for path in sorted(snapshot.rglob("*")):
        if path.is_file():
            _verify_file(path)


def _verify_file(path: Path) -> None:
    content = path.resolve()
    if SHA256.fullmatch(content.name):
        actual = manifest.sha256(content)
    elif GIT_BLOB.fullmatch(content.name):
        actual = git_blob(content.read_bytes())
    else:
        # A file system without links: the cache keeps no checksum then.
        return
    if actual != content.name:
        raise SourceError(
            f"{path.name} is damaged: its checksum is {actual}, the hub's is {content.name}; "
            f"delete {content} and try again"
        )


def git_blob(content: bytes) -> str:
    """Git's hash of a file's content, in hexadecimal."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
