"""After each test here: no process, no descriptor and no file is left."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def children() -> set[int]:
    """The processes that this one has started and not waited for, dead ones included."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:
            continue
        # The name, in brackets, may contain anything; the parent is the second field after it.
        if int(text.rpartition(")")[2].split()[1]) == os.getpid():
            found.add(int(status.parent.name))
    return found


def descriptors() -> set[str]:
    """What this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{link.name} {link.readlink()}")
        except OSError:
            # The one that lists the folder.
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    processes, open_before = children(), descriptors()
    yield
    gc.collect()
    assert children() <= processes
    assert descriptors() <= open_before
    assert list(folder.iterdir()) == []
