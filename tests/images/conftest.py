"""A copy of what build_images.sh works on, and an engine that builds nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.server import ROOT

ENGINE = Path(__file__).with_name("engine.py")
RECIPES = ("one", "two", "three")
VERSION_FILE = "inference/multi2vec/__init__.py"
NAMES_FILE = "inference/multi2vec/names.py"
SECONDS = 60


@dataclass(frozen=True)
class Workspace:
    """A small repository with three recipes, and engines on PATH that note what they are told."""

    root: Path
    state: Path
    path: str

    def environment(self, **variables: str) -> dict[str, str]:
        """The script's environment: nothing of ours but what a test sets."""
        return {"PATH": self.path, "HOME": str(self.root), "FAKE_ENGINE": str(self.state), **variables}

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The script's run from start to end."""
        return subprocess.run(
            [self.root / "build_images.sh", *arguments],
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """The script, not waited for."""
        return subprocess.Popen(
            [self.root / "build_images.sh", *arguments],
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def set(self, name: str, *lines: str) -> None:
        """What the engine is to do; see engine.py."""
        (self.state / name).write_text("".join(f"{line}\n" for line in lines))

    def calls(self, *first: str) -> list[list[str]]:
        """What engines were told, with their names; only calls that begin with these words."""
        path = self.state / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        calls: list[list[str]] = [json.loads(line) for line in lines]
        return [call for call in calls if call[: len(first)] == list(first)]

    def forget(self) -> None:
        """Forget the calls so far."""
        (self.state / "calls").unlink()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """As a user has it after a checkout, without git."""
    root, state, engines = tmp_path / "repository", tmp_path / "state", tmp_path / "bin"
    for folder in (root / "images", (root / VERSION_FILE).parent, root / "requirements", state, engines):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "build_images.sh", root)
    shutil.copy(ROOT / "images" / "builds.py", root / "images")
    for name in RECIPES:
        (root / "images" / f"{name}.toml").write_text("")
    (root / VERSION_FILE).write_text('__version__ = "1.2.3"\n')
    shutil.copy(ROOT / NAMES_FILE, root / NAMES_FILE)
    for name in ("Dockerfile", ".dockerignore", "LICENSE", "requirements/serve.txt"):
        (root / name).write_text("")
    for name in ("docker", "podman", "buildah"):
        shutil.copy(ENGINE, engines / name)
        (engines / name).chmod(0o755)
    # The script asks for Python often, and a version manager's stand-in for it takes its time.
    (engines / "python3").symlink_to(sys.executable)
    return Workspace(root, state, f"{engines}{os.pathsep}{os.environ['PATH']}")


def row(stdout: str, tag: str) -> list[str]:
    """The cells of a tag's line in the table."""
    (line,) = [line for line in stdout.splitlines() if line.split()[0] == tag]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def values(call: list[str], option: str) -> list[str]:
    """All values of an option in a call, `--option value` or `--option=value`."""
    apart = [value for name, value in pairwise(call) if name == option]
    return apart + [each.partition("=")[2] for each in call if each.startswith(f"{option}=")]
