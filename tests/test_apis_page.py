"""docs/apis.md: every example gives the answer that it shows, and its tables say what is so."""

from __future__ import annotations

import base64
import inspect
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cohere
import httpx
import openai
import pytest
from huggingface_hub import InferenceClient
from weaviate.classes.config import Configure

from multi2vec.engine.errors import EmbedError, Overloaded
from multi2vec.serve import dialects
from multi2vec.serve.errors import NotReady, failure_of
from tests import pages
from tests.engine.video.films import film
from tests.pages import Block
from tests.serve import several
from tests.server import DEMO, ROOT, Server, serving
from tests.wrong_requests import COLUMNS, KEYED, PLAIN, SERVERS, STRICT, WRONG

PAGE = (ROOT / "docs" / "apis.md").read_text()
BLOCKS = pages.blocks(PAGE)
RUN = [block for block in BLOCKS if "needs" not in block.marks]

FILM = "the video decoder, and film.mp4"
# What examples need that are not run as the others are. Weaviate's is run by tests/e2e/test_modules.py.
NEEDS = {
    "a package index",
    "the internet, for the task's data",
    "the internet, for OpenAI's encoding",
    "Embedding Atlas, and a file",
    FILM,
    "Weaviate",
}

URI = f"data:image/png;base64,{base64.b64encode((DEMO.parent / 'example.png').read_bytes()).decode()}"
PART = {"type": "image_url", "image_url": {"url": "URL"}}

# The page's server of pictures, and servers of ours by what the page says of them.
FILES = "files:9000"
FETCHING, TOKENS = "fetches pictures", "vectors of tokens"
SETTINGS: dict[str, dict[str, Any]] = {KEYED: {"API_KEYS": "KEY"}, STRICT: {"STRICT_MODEL_NAME": True, "MAX_ITEMS": 2}}

Servers = Callable[[str], Server]


class Files(SimpleHTTPRequestHandler):
    """Gives away the files of images/demo."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written."""


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    """The host and port of a server of pictures."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(DEMO.parent))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def servers(files: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Each server is started when it is first asked for."""
    settings = {**SETTINGS, FETCHING: {"FETCH_HOSTS": files, "FETCH_NETWORKS": "127.0.0.0/8"}}
    started: dict[str, Server] = {}
    with ExitStack() as stack:

        def named(name: str) -> Server:
            if name not in started:
                folder = several.write_tokens(tmp_path_factory.mktemp("tokens")) if name == TOKENS else DEMO
                started[name] = stack.enter_context(serving(folder, **settings.get(name, {})))
            return started[name]

        yield named


def ask(server: Server, path: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(server.url + path, json=body, headers=headers, timeout=30, trust_env=False)


def table(after: str) -> list[list[str]]:
    """The cells of the first table after these words, its head first."""
    rows = re.search(r"^\|.*?(?:\n(?!\|)|\Z)", PAGE[PAGE.index(after) :], re.MULTILINE | re.DOTALL)
    assert rows
    lines = [line for line in rows[0].splitlines() if line.startswith("|") and not line.startswith("| --")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def code(cell: str) -> list[str]:
    """What stands as code in a cell."""
    return re.findall(r"`([^`]*)`", cell)


class TestExamples:
    def test_each_is_run_or_says_what_it_needs(self) -> None:
        assert len(re.findall(r"```(?:sh|bash|console|python|py)\b", PAGE)) == len(BLOCKS)
        assert {block.marks["needs"] for block in BLOCKS if "needs" in block.marks} == NEEDS
        assert {block.marks.get("server", "") for block in RUN} == {PLAIN, KEYED, FETCHING, TOKENS}
        assert all(block.answer for block in RUN)

    @pytest.mark.parametrize("block", RUN, ids=lambda block: f"line {block.line}")
    def test_it_gives_the_answer_that_is_shown(self, block: Block, servers: Servers, files: str) -> None:
        server = servers(block.marks.get("server", PLAIN))
        block.check(block.run(server.url, [(FILES, files)]))

    @pytest.mark.parametrize(
        "block", [each for each in BLOCKS if each.marks.get("needs") == FILM], ids=lambda block: f"line {block.line}"
    )
    def test_a_film(self, block: Block, servers: Servers, tmp_path: Path) -> None:
        path = tmp_path / "film.mp4"
        path.write_bytes(film())
        block.check(block.run(servers(PLAIN).url, [("film.mp4", str(path))]))

    def test_the_key_is_wanted(self, servers: Servers) -> None:
        assert ask(servers(KEYED), "/embed", {"inputs": "a red circle"}).status_code == 401


@pytest.mark.parametrize("form", [row[0] for row in table("The forms of vLLM")[1:]])
def test_forms_of_input(form: str, servers: Servers) -> None:
    """Each has as many vectors as it has texts and pictures; … is a picture."""
    whole = ", ".join(each if each.startswith('"') else f'"input": {each}' for each in code(form))
    body = f"{{{whole}}}".replace("data:image/png;base64,…", "…").replace("…", URI)
    answer = ask(servers(PLAIN), "/v1/embeddings", json.loads(body))
    assert answer.status_code == 200, answer.text
    vectors = [each["embedding"] for each in answer.json()["data"]]
    assert len(vectors) == (2 if '"text":' in body else 1)
    assert vectors[-1] == pytest.approx(of_the_picture(servers(PLAIN)), abs=pages.TOLERANCE)


def of_the_picture(server: Server) -> list[float]:
    return server.vectorize(images=[URI])[1][0].tolist()  # type: ignore[no-any-return]


class TestUrls:
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v1/embeddings", {"input": [{"image": "URL"}]}),
            ("/v1/embeddings", {"input": ["URL"], "modality": "image"}),
            ("/v1/embeddings", {"messages": [{"role": "user", "content": [PART]}]}),
            ("/v1/embeddings", {"input": [{"image": "URL"}], "embedding_type": "float"}),
            ("/v2/embed", {"images": ["URL"]}),
            ("/v2/embed", {"inputs": [{"content": [PART]}]}),
            ("/score", {"data_1": {"content": [PART]}, "data_2": "a red circle"}),
            ("/embeddings", {"input": {"type": "image_url", "image_url": "URL"}}),
        ],
    )
    def test_where_they_are_pictures(self, path: str, body: Any, servers: Servers, files: str) -> None:
        """They are fetched where that is allowed, and else refused with the setting's name."""
        asked = json.loads(json.dumps(body).replace("URL", f"http://{files}/example.png"))
        answer = ask(servers(FETCHING), path, asked)
        assert answer.status_code == 200, answer.text
        refused = ask(servers(PLAIN), path, asked)
        assert (refused.status_code, "FETCH_HOSTS" in refused.text) == (400, True)

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("/v1/embeddings", {"input": ["URL"]}, 200),
            ("/v2/embed", {"texts": ["URL"]}, 200),
            ("/embed", {"inputs": ["URL"]}, 200),
            ("/vectorize", {"images": ["URL"]}, 422),
            ("/vectors", {"image": "URL"}, 422),
        ],
    )
    def test_where_they_are_not(self, path: str, body: Any, status: int, servers: Servers) -> None:
        """As texts they have a vector; where base64 is expected they are none."""
        asked = json.loads(json.dumps(body).replace("URL", "http://files/1.png"))
        assert ask(servers(FETCHING), path, asked).status_code == status


def _openai(url: str, key: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        client.embeddings.create(model="demo", input="a red circle")


def _langchain(url: str, key: str) -> None:
    from langchain_openai import OpenAIEmbeddings

    with httpx.Client(trust_env=False) as http:
        OpenAIEmbeddings(
            model="demo",
            base_url=f"{url}/v1",
            api_key=key,  # type: ignore[arg-type]
            check_embedding_ctx_length=False,
            http_client=http,
        ).embed_query("a red circle")


def _cohere(url: str, key: str) -> None:
    with cohere.ClientV2(key, base_url=url) as client:
        client.embed(model="demo", input_type="search_query", texts=["a red circle"], embedding_types=["float"])


def _hugging_face(url: str, key: str) -> None:
    InferenceClient(url, token=key).feature_extraction("a red circle")


def _anything(url: str, key: str) -> None:
    for header in ({"authorization": f"Bearer {key}"}, {"api-key": key}, {"x-api-key": key}):
        httpx.post(url + "/embed", json={"inputs": "a"}, headers=header, trust_env=False).raise_for_status()


CLIENTS: dict[str, Callable[[str, str], None]] = {
    "OpenAI": _openai,
    "LangChain": _langchain,
    "Cohere": _cohere,
    "huggingface_hub": _hugging_face,
    "anything else": _anything,
}


class TestKeys:
    def test_each_client_is_in_the_table(self) -> None:
        named = [row[0] for row in table("## API keys")[1:]]
        assert [each for each in named if each in CLIENTS] == list(CLIENTS)
        others = [each for each in named if each not in CLIENTS and not each.startswith("Weaviate")]
        assert others == ["Embedding Atlas", "mteb"]

    # The clients' own.
    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("client", CLIENTS)
    def test_a_client_sends_its_key(self, client: str, servers: Servers) -> None:
        CLIENTS[client](servers(KEYED).url, "KEY")
        with pytest.raises(Exception, match=r"401|API keys"):
            CLIENTS[client](servers(KEYED).url, "other")

    @pytest.mark.filterwarnings("ignore")
    def test_mteb_does_not(self, servers: Servers) -> None:
        """If it does one day, the page can say how."""
        from mteb.models import OpenAIAPIEncodeWrapper

        with pytest.raises(ConnectionError, match="401"):
            OpenAIAPIEncodeWrapper(servers(KEYED).url, "demo", "KEY", max_retries=0)


def status(cause: str, dialect: str) -> int:
    """What the page says."""
    head, *rows = table("<!-- statuses -->")
    (row,) = [each for each in rows if each[0].startswith(cause)]
    return int(row[head.index(COLUMNS[dialect])])


class TestErrors:
    @pytest.mark.parametrize("row", table("<!-- errors -->")[1:], ids=lambda row: row[0])
    def test_its_shape(self, row: list[str], servers: Servers) -> None:
        (path, body), (shown,) = code(row[1]), code(row[3])
        answer = ask(servers(PLAIN), path, json.loads(body))
        assert answer.status_code == int(row[2])
        assert not list(pages.differing(pages.read(shown), answer.json()))

    @pytest.mark.parametrize(("dialect", "cause"), [(dialect, cause) for dialect in WRONG for cause in WRONG[dialect]])
    def test_statuses(self, dialect: str, cause: str, servers: Servers) -> None:
        path, body = WRONG[dialect][cause]
        server = servers(SERVERS.get(cause, PLAIN))
        assert ask(server, path, body).status_code == status(cause, dialect)

    @pytest.mark.parametrize("dialect", COLUMNS)
    @pytest.mark.parametrize(
        ("cause", "error"), [("the queue", Overloaded("later")), ("the model is loading", NotReady("later"))]
    )
    def test_statuses_of_a_busy_server(self, dialect: str, cause: str, error: EmbedError) -> None:
        (render,) = [each.render_error for each in dialects.DIALECTS if each.name == dialect]
        assert render(failure_of(error)).status_code == status(cause, dialect)

    def test_each_row_is_tested(self) -> None:
        """With every API that it says something about."""
        head, *rows = table("<!-- statuses -->")
        causes = {"the queue", "the model is loading"}.union(*WRONG.values())
        assert all(any(row[0].startswith(cause) for cause in causes) for row in rows)
        for dialect, wrong in WRONG.items():
            shown = [row for row in rows if row[head.index(COLUMNS[dialect])]]
            assert len(shown) - len(wrong) == 2 + (dialect == "weaviate multi2vec-clip")


class TestWeaviate:
    """The modules are run by tests/e2e."""

    @pytest.mark.parametrize("row", table("## Weaviate")[1:], ids=lambda row: row[0])
    def test_a_module(self, row: list[str]) -> None:
        """The Python client has the method and its setting, and a Weaviate with the module is tested."""
        method = Configure
        for name in code(row[1])[0].split(".")[1:]:
            method = getattr(method, name)
        for place in code(row[2]):
            assert place.endswith("_API") or place in inspect.signature(method).parameters
        sources = "".join(path.read_text() for path in (ROOT / "tests" / "e2e").glob("test_*.py"))
        assert row[0] in sources
