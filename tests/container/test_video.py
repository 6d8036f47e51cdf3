"""The image with a decoder of videos: what it has on top, its licences, and that it decodes without rights."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from multi2vec.convert import bundled
from tests.conftest import Figure
from tests.container.container import HARDENED, Container, docker, inspect, running
from tests.container.images import DEMO, VIDEO
from tests.engine.video.films import HEIGHT, WIDTH, film
from tests.server import ROOT

MB = 1_000_000
MOST_ADDED_MB = 120
NOTICE = ROOT / "requirements" / "notices" / "av.md"
DECODE = """
import sys
from multi2vec.engine.video.decoder import decode
from multi2vec.engine.video.sampling import Sampling

print([frame.pixels.shape for frame in decode(sys.stdin.buffer.read(), Sampling(count=2))])
"""


@pytest.fixture(scope="module")
def decoding() -> Iterator[Container]:
    """A hardened container that is ready."""
    with running(VIDEO) as started:
        yield started


def test_what_the_decoder_adds(figure: Figure) -> None:
    added = inspect(VIDEO, "image")["Size"] - inspect(DEMO, "image")["Size"]
    figure(f"{VIDEO}: {added / MB:.1f} MB more than {DEMO}")
    assert 0 < added <= MOST_ADDED_MB * MB


def test_it_decodes_without_rights() -> None:
    """As its own user, without capabilities, on a root that is read-only."""
    command = ["docker", "run", "--rm", "--interactive", *HARDENED, "--network=none", "--entrypoint=python", VIDEO]
    done = subprocess.run([*command, "-c", DECODE], input=film(), capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().strip() == str([(HEIGHT, WIDTH, 3)] * 2)


def test_an_image_without_it_says_which_one_has_it() -> None:
    command = ["docker", "run", "--rm", "--interactive", *HARDENED, "--network=none", "--entrypoint=python", DEMO]
    done = subprocess.run([*command, "-c", DECODE], input=film(), capture_output=True, check=False, timeout=120)
    assert "images whose tags end in -video" in done.stderr.decode()


def test_its_list_of_parts_names_the_libraries(decoding: Container) -> None:
    listed = json.loads(decoding.run("cat", "/app/sbom.cdx.json"))
    licences = {part["name"]: part.get("licenses") for part in listed["components"]}
    installed = decoding.run("python", "-c", "import av, os; print(*os.listdir(av.__path__[0] + '.libs'))").split()
    files = {bundled.CHECKSUM.sub("", name) for name in installed}
    expected = [library for library in bundled.read(NOTICE) if library.files & files]
    assert len(expected) > 15
    for library in expected:
        assert licences[library.name] == [{"expression": library.licence}]


def test_its_licences_are_in_it(decoding: Container) -> None:
    assert decoding.run("cat", "/app/notices/av.md") == NOTICE.read_text().strip()
    for text in ("GPL-2", "GPL-3", "LGPL-2", "LGPL-2.1", "LGPL-3"):
        assert "GENERAL PUBLIC LICENSE" in decoding.run("cat", f"/usr/share/common-licenses/{text}"), text
    assert "Apache License" in decoding.run("cat", "/usr/share/common-licenses/Apache-2.0")
    label = inspect(VIDEO, "image")["Config"]["Labels"]["org.opencontainers.image.licenses"]
    assert label == "Apache-2.0 AND GPL-3.0-or-later"


def test_an_image_without_it_has_no_notices() -> None:
    assert docker("run", "--rm", "--network=none", "--entrypoint=ls", DEMO, "/app").split() == [
        "LICENSE",
        "multi2vec",
        "sbom.cdx.json",
    ]


def test_compose_names_it() -> None:
    """VIDEO=yes: the image's name and the build's argument."""
    command = ["env", "TAG=demo", "VIDEO=yes", "docker", "compose", "config", "--format", "json"]
    service = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout)
    service = service["services"]["multi2vec-openvino"]
    assert service["image"] == "multi2vec-openvino:demo-video"
    assert service["build"]["args"]["EXTRAS"] == "video"
