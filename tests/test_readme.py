"""What the README shows is what happens."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from multi2vec.convert import catalogue, recipe
from tests.server import ROOT, Server, serving

README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    with serving(ROOT / "images" / "demo" / "model") as running:
        yield running


def test_the_first_request(demo: Server, tmp_path: Path) -> None:
    shown = re.search(r"<!-- test: curl -->\n```sh\n(.*?)```.*?```\n(.*?)```", README, re.DOTALL)
    assert shown
    script = shown[1].replace("http://localhost:8080", demo.url).replace("images/", f"{ROOT}/images/")
    out = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    got, expected = ([float(line) for line in text.split()] for text in (out, shown[2]))
    # The last digit depends on the machine's arithmetic.
    assert got == pytest.approx(expected, abs=0.02)
    assert max(got) == got[0]


def test_a_compose_file_for_texts() -> None:
    """It is short for docker-compose.yml, and Weaviate's address for texts is that of the other service."""
    shown = re.search(r"In a Compose file of your own:\n\n```yaml\n(.*?)```", README, re.DOTALL)
    assert shown
    services = yaml.safe_load(shown[1])["services"]
    ours = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["weaviate"]
    weaviate = services.pop("weaviate")
    assert weaviate["image"] in ours["image"]
    assert set(weaviate["environment"]) <= set(ours["environment"])
    ((name, texts),) = services.items()
    assert weaviate["environment"]["TRANSFORMERS_INFERENCE_API"] == f"http://{name}:8080"
    tag = texts["image"].partition(":")[2]
    assert recipe.read(tag).modalities == ("text",)


def test_the_models() -> None:
    shown = re.search(r"<!-- recipes -->\n(.*?)<!-- /recipes -->", README, re.DOTALL)
    assert shown
    assert shown[1].strip() == catalogue.markdown(), "write `python -m multi2vec.convert.catalogue` into README.md"


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", README + (ROOT / "CONTRIBUTING.md").read_text()))
    assert {"serve", "test", "convert", "check", "bench", "e2e"} <= named
    for target in named - {"and"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_linked_file_exists() -> None:
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "images" / "demo" / "README.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
