"""arm64: what a machine of one architecture can tell of an image for another."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import ROOT

ARCHITECTURES = re.compile(r"amd64|x86[_-]64|arm64|aarch64|x64", re.IGNORECASE)


@pytest.mark.parametrize("platform", ["x86_64-manylinux_2_36", "aarch64-manylinux_2_36"])
@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("requirements", ["serve", "convert", "video"])
def test_every_package_is_there_as_a_wheel(tmp_path: Path, platform: str, python: str, requirements: str) -> None:
    """In wheels for Debian 12, the oldest that python:3.12-slim was made of: nothing is compiled in a build.

    By hash, so that the locked files hold those of this platform too.
    """
    command = [Path(sys.executable).with_name("uv"), "pip", "install", "--dry-run", "--target", tmp_path]
    where = ["--python-platform", platform, "--python-version", python, "--only-binary", ":all:"]
    locked = ["--require-hashes", "--no-deps", "-r", ROOT / "requirements" / f"{requirements}.txt"]
    done = subprocess.run([*command, *where, *locked], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert " + openvino==" in done.stderr


def test_the_build_names_no_architecture() -> None:
    for name in ("Dockerfile", "requirements/install.sh"):
        assert ARCHITECTURES.search((ROOT / name).read_text()) is None, name
