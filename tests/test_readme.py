"""What the README shows is what happens."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from multi2vec.convert import catalogue, recipe
from tests import pages
from tests.server import ROOT, Server, serving

README = (ROOT / "README.md").read_text()


# By path and what the README's table says of the body: a body with the answer's shape, and a wrong one with its.
BODIES: dict[tuple[str, str], tuple[Any, str, Any, str]] = {
    ("/v1/embeddings", "has `embedding_type`"): (
        {"input": ["a"], "embedding_type": "float"},
        '{"object": "list", …}',
        {"input": [], "embedding_type": "float"},
        '{"detail": "…"}',
    ),
    ("/v1/embeddings", "anything else"): (
        {"input": ["a"]},
        '{"object": "list", …}',
        {"input": []},
        '{"error": {"message": "…", …}}',
    ),
    ("/embeddings", '`input` is an object (`{"type": "text", …}`)'): (
        {"input": {"type": "text", "text": "a"}},
        '{"embedding": […]}',
        {"input": {"type": "audio"}},
        '{"detail": "…"}',
    ),
    ("/embeddings", "anything else"): (
        {"input": "a"},
        '{"object": "list", …}',
        {"input": []},
        '{"error": {"message": "…", …}}',
    ),
    ("/rerank", "has `property`"): (
        {"query": "a", "documents": ["b", "a"], "property": ""},
        '{"query": "a", "scores": [{"document": "b", "score": …}, {"document": "a", "score": 1.0}]}',
        {"query": 1, "documents": [], "property": ""},
        '{"error": "…"}',
    ),
    ("/rerank", "has `texts`"): (
        {"query": "a", "texts": ["b", "a"]},
        '[{"index": 1, "score": 1.0}, {"index": 0, "score": …}]',
        {"query": "a", "texts": []},
        '{"error": "…", "error_type": "Empty"}',
    ),
    ("/rerank", "anything else"): (
        {"query": "a", "documents": ["b", "a"], "top_n": 1},
        '{"results": [{"index": 1, "document": {…}, "relevance_score": 1.0}], …}',
        {"query": "a"},
        '{"error": {"message": "…", …}}',
    ),
    ("/v2/rerank", "any"): (
        {"query": "a", "documents": ["a"]},
        '{"id": "…", "model": "demo", "usage": {…}, "results": […], "meta": {…}}',
        {"query": "a"},
        '{"error": {"message": "…", …}, "message": "…"}',
    ),
    ("/score", "any, and at `/v1/score`"): (
        {"text_1": "a", "text_2": ["a"]},
        '{"data": [{"index": 0, "object": "score", "score": 1.0}], …}',
        {"text_1": "a"},
        '{"error": {"message": "…", …}}',
    ),
    ("/tokenize", "has `prompt` or `messages`"): (
        {"prompt": "a"},
        '{"count": 3, "max_model_len": 40, "tokens": […], "token_strs": null}',
        {"prompt": 1},
        '{"error": {"message": "…", …}}',
    ),
    ("/tokenize", "anything else"): (
        {"inputs": "a"},
        '[[{"id": …, "text": "…", "special": true, "start": null, "stop": null}, …]]',
        {"inputs": 1},
        '{"error": "…", "error_type": "Validation"}',
    ),
    ("/", "`inputs` is an object"): (
        {"inputs": {"source_sentence": "a", "sentences": ["a"]}},
        "[1.0]",
        {"inputs": {}},
        '{"error": "…", "error_type": "Validation"}',
    ),
    ("/", "anything else"): (
        {"inputs": "a"},
        "[[…]]",
        {"inputs": 1},
        '{"error": "…", "error_type": "Validation"}',
    ),
}


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


def test_the_example_of_openai_s_client(demo: Server) -> None:
    (block,) = [each for each in pages.blocks(README) if each.marks.get("test") == "openai"]
    assert block.run(demo.url) == "[128, 128]\n"


class TestSharedPaths:
    """Where several APIs share a path, the body decides which of them answers, and how an error looks."""

    def test_each_row_of_the_table_is_tested(self) -> None:
        shown = README[README.index("| path | body | answers as |") :].split("\n\n")[0].splitlines()[2:]
        found, path = [], ""
        for line in shown:
            named, body, _ = (cell.strip() for cell in line.strip("|").split("|"))
            path = named.strip("`") or path
            found.append((path, body))
        assert found == [*BODIES, ("GET /models`, `GET /health", "")]

    @pytest.mark.parametrize("row", BODIES, ids=" ".join)
    def test_a_body_decides(self, row: tuple[str, str], demo: Server) -> None:
        good, answer, wrong, error = BODIES[row]
        for body, shape, is_good in ((good, answer, True), (wrong, error, False)):
            got = httpx.post(demo.url + row[0], json=body, timeout=30, trust_env=False)
            assert (got.status_code == 200) is is_good
            assert not list(pages.differing(pages.read(shape), got.json()))

    def test_what_can_be_got_has_the_keys_of_all(self, demo: Server) -> None:
        assert {"object", "data", "current_model", "available_models"} <= set(demo.get("/models").json())
        assert {"unix", "status"} <= set(demo.get("/health").json())


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
    for document in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "docs" / "apis.md",
        ROOT / "images" / "demo" / "README.md",
    ):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
