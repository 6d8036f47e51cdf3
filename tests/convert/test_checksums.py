"""What lies in the hub's cache is what the hub said."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from multi2vec.convert.checksums import git_blob
from tests.convert.conftest import python
from tests.convert.test_checkpoint import DOWNLOAD, NAME, PINNED
from tests.hub import Repository, serve


def test_the_hash_is_git_s(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello\n")
    command = ["git", "hash-object", str(tmp_path / "file")]
    assert git_blob(b"hello\n") == subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_download_is_refused(tmp_path: Path, checkpoint: Callable[[str], Path], name: str) -> None:
    shutil.copytree(checkpoint("clip"), tmp_path / "repository")
    home = str(tmp_path / "home")
    with serve({NAME: Repository(tmp_path / "repository", PINNED)}) as hub:
        done = python("-c", DOWNLOAD, NAME, PINNED, HF_HOME=home, HF_ENDPOINT=hub.address)
        assert done.returncode == 0, done.stderr
    (kept,) = (tmp_path / "home").rglob(f"snapshots/*/{name}")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.resolve().write_bytes(content)
    done = python("-c", DOWNLOAD, NAME, PINNED, HF_HOME=home, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert f"refused: {name} is damaged" in done.stderr
