"""The package as pip installs it: what a wheel holds, and that it works without this checkout."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import multi2vec
from tests.server import ROOT, free_port

NAME = f"multi2vec_openvino-{multi2vec.__version__}"
PACKAGE = ROOT / "inference" / "multi2vec"
IMAGES = ROOT / "images"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command, with nothing of our environment but what programs need."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    done = subprocess.run(command, cwd=cwd, env=kept | variables, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def succeed(*command: str | Path, cwd: Path = ROOT, **variables: str) -> str:
    """What the command prints; it must end with 0."""
    done = run(*command, cwd=cwd, **variables)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and sdist. The build backend is installed already: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("dist")
    succeed(sys.executable, "-m", "hatchling", "build", "--directory", folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel."""
    return built / f"{NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a virtual environment with the wheel and the dependencies, and without this checkout."""
    folder = tmp_path_factory.mktemp("environment")
    succeed(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    succeed(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel)
    # Dependencies are those of the environment that runs this. Its own .pth files, and so the editable installation of
    # this checkout, are not read from there.
    site_packages = succeed(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(site_packages, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def contents(wheel: Path) -> dict[str, bytes]:
    """Its files by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(wheel: Path) -> Message:
    """What it says of itself to installers."""
    return email.message_from_bytes(contents(wheel)[f"{NAME}.dist-info/METADATA"])


def normalised(requirement: str) -> str:
    """`Name==version` as locked files write it."""
    return re.sub(r"[-_.]+", "-", requirement.partition("==")[0]).lower() + "==" + requirement.partition("==")[2]


def test_a_wheel_holds_the_package_the_recipes_and_the_demo_model(wheel: Path) -> None:
    code = {path for path in PACKAGE.rglob("*") if path.suffix == ".py"} | {PACKAGE / "py.typed"}
    data = {*IMAGES.glob("*.toml"), *(IMAGES / "published").iterdir(), *(IMAGES / "demo" / "model").iterdir()}
    expected = {f"multi2vec/{path.relative_to(PACKAGE)}": path for path in code}
    expected |= {f"multi2vec/_images/{path.relative_to(IMAGES)}": path for path in data}
    found = {name: content for name, content in contents(wheel).items() if ".dist-info/" not in name}
    assert found.keys() == expected.keys()
    assert all(found[name] == path.read_bytes() for name, path in expected.items())


def test_the_version_has_one_place(wheel: Path) -> None:
    assert metadata(wheel)["Version"] == multi2vec.__version__
    assert "version" not in PROJECT


def test_the_sdist_builds_the_same_wheel(built: Path, wheel: Path, tmp_path: Path) -> None:
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", tmp_path)
    succeed(sys.executable, "-m", "pip", "wheel", *options, built / f"{NAME}.tar.gz", cwd=tmp_path)
    assert contents(tmp_path / wheel.name) == contents(wheel)


@pytest.mark.parametrize(
    ("extra", "locked"),
    [(None, "serve.txt"), ("convert", "convert.txt"), ("tracing", "tracing.txt"), ("video", "video.txt")],
)
def test_dependencies_are_the_locked_versions(extra: str | None, locked: str) -> None:
    named = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    lines = (ROOT / "requirements" / locked).read_text().splitlines()
    pinned = {line.split()[0] for line in lines if re.match(r"[a-z0-9]", line)}
    assert named
    assert {normalised(each) for each in named} <= pinned, "make lock"


def test_the_command(python: Path, tmp_path: Path) -> None:
    command = python.with_name("multi2vec")
    shown = succeed(command, "--help", cwd=tmp_path)
    assert all(name in shown for name in ("serve", "convert", "verify", "check", "health"))
    assert succeed(python, "-m", "multi2vec", "--version", cwd=tmp_path).strip() == multi2vec.__version__


def test_a_health_check_is_cheap(python: Path, tmp_path: Path) -> None:
    """A container runs it every few seconds: it must not load what only a server needs."""
    code = "import sys, multi2vec.cli as cli; print(cli.main(['health'])); print(*sys.modules)"
    status, modules = succeed(python, "-c", code, cwd=tmp_path, PORT=str(free_port())).splitlines()[-2:]
    assert status == "1"
    assert not {"numpy", "openvino", "fastapi", "pydantic", "PIL"} & set(modules.split())


def test_its_exit_status_is_the_commands(python: Path, tmp_path: Path) -> None:
    command = python.with_name("multi2vec")
    # Without settings: the demo model that the package carries.
    succeed(command, "check", cwd=tmp_path, CACHE_DIR="none")
    refused = run(command, "check", cwd=tmp_path, MODEL_DIR=str(tmp_path), CACHE_DIR="none")
    assert refused.returncode != 0
    assert "is not a model folder" in refused.stdout + refused.stderr


def test_the_library_as_the_readme_shows_it(python: Path, tmp_path: Path) -> None:
    shown = re.search(r"<!-- test: library -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown, "README.md has no Python block after <!-- test: library -->"
    (tmp_path / "example.py").write_text(f"{shown[1]}\nprint(multi2vec.__file__, len(vectors), len(vectors[0]))\n")
    where, count, dimensions = succeed(python, "example.py", cwd=tmp_path).splitlines()[-1].split()
    assert Path(where).is_relative_to(python.parents[1])
    assert (int(count) >= 1, int(dimensions)) == (True, 128)
