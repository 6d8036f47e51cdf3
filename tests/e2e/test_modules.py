"""Weaviate's other modules, each led to the service by its address: import, search, and an error that is shown."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import weaviate
from PIL import Image
from weaviate import WeaviateClient
from weaviate.classes.config import Configure
from weaviate.classes.query import MetadataQuery, NearMediaType, Rerank
from weaviate.collections import Collection

from tests import pages
from tests.e2e.conftest import StartWeaviate
from tests.e2e.library import PROPERTIES, SMALLEST_COSINE, cosine, load, titles, vectors_by_title
from tests.e2e.pictures import scenes
from tests.e2e.weaviate_server import DEFAULT_VERSION, Server
from tests.engine.video.films import film
from tests.server import ROOT
from tests.server import Server as Service

pytestmark = pytest.mark.outside_compose("the stack's Weaviate has one module")

MODULES = (
    "multi2vec-bind",
    "multi2vec-cohere",
    "multi2vec-jinaai",
    "reranker-transformers",
    "text2vec-cohere",
    "text2vec-jinaai",
    "text2vec-openai",
)
PICTURES = scenes(40)
ENCODING = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
BROKEN = "bm90IGEgcGljdHVyZQ=="

# What each module's collection is made with, given the address of the service.
BOTH: dict[str, Callable[[str], Any]] = {
    "multi2vec-bind": lambda url: Configure.Vectors.multi2vec_bind(image_fields=["image"]),
    "multi2vec-cohere": lambda url: Configure.Vectors.multi2vec_cohere(
        base_url=url, model="embed-multilingual-v3.0", image_fields=["image"]
    ),
    "multi2vec-jinaai": lambda url: Configure.Vectors.multi2vec_jinaai(
        base_url=url, model="jina-clip-v1", image_fields=["image"]
    ),
}
TEXTS: dict[str, Callable[[str], Any]] = {
    "text2vec-openai": lambda url: Configure.Vectors.text2vec_openai(
        base_url=url, model="demo", source_properties=["title"], vectorize_collection_name=False
    ),
    "text2vec-cohere": lambda url: Configure.Vectors.text2vec_cohere(
        base_url=url, model="embed-english-v3.0", source_properties=["title"], vectorize_collection_name=False
    ),
    "text2vec-jinaai": lambda url: Configure.Vectors.text2vec_jinaai(
        base_url=url, model="jina-embeddings-v2-base-en", source_properties=["title"], vectorize_collection_name=False
    ),
}


def encoding(folder: Path) -> Path:
    """OpenAI's encoding, which Weaviate fetches from the internet to count tokens before it sends texts: here each byte
    is a token, under the name that its cache has for it."""
    # A server in a container may be another user.
    folder.chmod(0o755)
    lines = (f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256))
    (folder / hashlib.sha1(ENCODING.encode()).hexdigest()).write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def modules_server(
    start_weaviate: StartWeaviate, demo: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A Weaviate server with all those modules."""
    keys = {f"{name}_APIKEY": "none" for name in ("OPENAI", "COHERE", "JINAAI")}
    environment = {
        "ENABLE_MODULES": ",".join(MODULES),
        "BIND_INFERENCE_API": demo.url,
        "RERANKER_INFERENCE_API": demo.url,
        "TIKTOKEN_CACHE_DIR": str(encoding(tmp_path_factory.mktemp("encoding"))),
        **keys,
    }
    with start_weaviate(DEFAULT_VERSION, environment, own=True) as running:
        yield running


@pytest.fixture(scope="module")
def modules_client(modules_server: Server) -> Iterator[WeaviateClient]:
    """A client of that server."""
    with modules_server.client() as connected:
        yield connected


@pytest.fixture
def make(modules_client: WeaviateClient) -> Iterator[Callable[..., Collection[Any, Any]]]:
    """Makes a collection; it goes when the test is done."""
    names: list[str] = []

    def made(vector: Any, **configuration: Any) -> Collection[Any, Any]:
        names.append(f"Test{uuid4().hex}")
        return modules_client.collections.create(
            names[-1], properties=PROPERTIES, vector_config=vector, **configuration
        )

    yield made
    modules_client.collections.delete(names)


def failure(collection: Collection[Any, Any], **properties: str) -> str:
    """Why that object cannot be imported."""
    with collection.batch.fixed_size(1) as batch:
        batch.add_object(properties)
    (failed,) = collection.batch.failed_objects
    return str(failed.message)


def requests(service: Service, route: str) -> int:
    """How many requests the service has answered there."""
    pattern = rf'http_requests_total{{method="POST",route="{re.escape(route)}",status="200"}} (\S+)'
    found = re.search(pattern, service.get("/metrics").text)
    return int(float(found[1])) if found else 0


@pytest.mark.parametrize("module", BOTH)
def test_pictures(module: str, modules_server: Server, demo: Service, make: Any) -> None:
    """Stored are the vectors that the service gives for multi2vec-clip, and a text finds its picture."""
    collection = make(BOTH[module](modules_server.reach(demo.url)))
    load(collection, [picture.properties for picture in PICTURES])
    _, rows = demo.vectorize(images=[picture.image for picture in PICTURES])
    stored = vectors_by_title(collection)
    for picture, row in zip(PICTURES, rows, strict=True):
        assert cosine(stored[picture.title], row) >= SMALLEST_COSINE
    found = [titles(collection.query.near_text(picture.title, limit=3)) for picture in PICTURES[:10]]
    hits = [picture.title in names for picture, names in zip(PICTURES[:10], found, strict=True)]
    assert sum(hits) >= 9
    if module == "multi2vec-bind":
        assert titles(collection.query.near_image(PICTURES[0].image, limit=1)) == [PICTURES[0].title]
    assert "picture" in failure(collection, title="broken", image=BROKEN)


def test_videos(modules_server: Server, demo: Service, make: Any) -> None:
    """Stored is one vector for each video, that of eight of its frames; a video finds itself, and a text what is shown
    in it."""
    vector = Configure.Vectors.multi2vec_bind(video_fields=["image"], text_fields=["title"])
    collection = make(Configure.Vectors.multi2vec_bind(video_fields=["image"]))
    films = {picture.title: still(picture.png) for picture in PICTURES[:6]}
    load(collection, [{"title": title, "image": film} for title, film in films.items()], size=3)
    rows = demo.post(video=[*films.values()]).json()["videoVectors"]
    stored = vectors_by_title(collection)
    for title, row in zip(films, rows, strict=True):
        assert cosine(stored[title], np.array(row, np.float32)) >= SMALLEST_COSINE
        found = collection.query.near_media(films[title], media_type=NearMediaType.VIDEO, limit=2)
        assert titles(found)[0] == title
    hits = [titles(collection.query.near_text(title, limit=1)) == [title] for title in films]
    assert sum(hits) >= 5
    assert "a video" in failure(collection, title="broken", image=BROKEN)
    load(make(vector), [{"title": title, "image": film} for title, film in films.items()])


def still(png: bytes) -> str:
    """A film of two seconds that shows the picture, in base64."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    return base64.b64encode(film(times=range(20), pictures=[pixels] * 20, options={"crf": "4"})).decode()


@pytest.mark.parametrize("module", TEXTS)
def test_texts(module: str, modules_server: Server, demo: Service, make: Any) -> None:
    """Stored are the vectors that the service gives for multi2vec-clip, and a text finds itself."""
    collection = make(TEXTS[module](modules_server.reach(demo.url)))
    load(collection, [{"title": picture.title} for picture in PICTURES])
    rows, _ = demo.vectorize([picture.title for picture in PICTURES])
    stored = vectors_by_title(collection)
    for picture, row in zip(PICTURES, rows, strict=True):
        assert cosine(stored[picture.title], row) >= SMALLEST_COSINE
        assert titles(collection.query.near_text(picture.title, limit=1)) == [picture.title]


def test_openai_s_module_sends_many_objects_at_once(modules_server: Server, demo: Service, make: Any) -> None:
    """It does so for services that tell it their rate limits."""
    collection = make(TEXTS["text2vec-openai"](modules_server.reach(demo.url)))
    before = requests(demo, "/v1/embeddings")
    load(collection, [{"title": f"{picture.title} {number}"} for number in range(5) for picture in PICTURES], size=100)
    # The first request of a batch is one object's: it learns the limits from it.
    assert requests(demo, "/v1/embeddings") - before < 5 * len(PICTURES) / 4


@pytest.mark.parametrize(
    ("module", "words"),
    [("text2vec-openai", ("400", "more than")), ("text2vec-cohere", ()), ("text2vec-jinaai", ())],
)
def test_texts_that_are_too_long(
    module: str, words: tuple[str, ...], modules_server: Server, demo: Service, make: Any
) -> None:
    """OpenAI's API refuses them and says so; the others cut them."""
    collection = make(TEXTS[module](modules_server.reach(demo.url)))
    text = "a red circle " * 200
    if not words:
        load(collection, [{"title": text}])
        return
    message = failure(collection, title=text)
    for word in words:
        assert word in message


def test_reranking(demo: Service, make: Any, modules_server: Server) -> None:
    """The query's results are put into the order of the service's scores."""
    vector = TEXTS["text2vec-openai"](modules_server.reach(demo.url))
    collection = make(vector, reranker_config=Configure.Reranker.transformers())
    load(collection, [{"title": picture.title} for picture in PICTURES])
    query = PICTURES[7].title
    found = collection.query.near_text(
        PICTURES[0].title,
        limit=len(PICTURES),
        rerank=Rerank(prop="title", query=query),
        return_metadata=MetadataQuery(distance=True),
    )
    scores = [each.metadata.rerank_score for each in found.objects]
    assert scores == sorted(scores, reverse=True)
    assert titles(found)[0] == query
    rows, _ = demo.vectorize([query, *titles(found)])
    for score, row in zip(scores, rows[1:], strict=True):
        assert score == pytest.approx(cosine(rows[0], row), abs=1e-3)


def test_the_page_s_collection(
    modules_server: Server, demo: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one of docs/apis.md, as it stands there, finds what it says."""
    examples = pages.blocks((ROOT / "docs" / "apis.md").read_text())
    (example,) = [each for each in examples if each.marks.get("needs") == "Weaviate"]
    # The page's Weaviate is on the port where a user has it.
    monkeypatch.setattr(weaviate, "connect_to_local", lambda **_: modules_server.client())
    code = example.code.replace(pages.ADDRESS, modules_server.reach(demo.url))
    try:
        exec(compile(code, "docs/apis.md", "exec"), {"__name__": "page"})
    finally:
        with modules_server.client() as client:
            client.collections.delete("Shapes")
    example.check(capsys.readouterr().out)
