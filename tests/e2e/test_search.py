"""Queries through Weaviate find the right scene, from text to picture and from picture to text."""

from __future__ import annotations

from typing import Any

import pytest
from weaviate.classes.config import Configure
from weaviate.classes.query import Move
from weaviate.collections import Collection

from tests.conftest import Figure
from tests.e2e.conftest import Create
from tests.e2e.library import PROPERTIES, SMALLEST_COSINE, certainty, cosine, load, recall, titles, vectors_by_title
from tests.e2e.pictures import Picture, scenes
from tests.server import Server as Service

pytestmark = pytest.mark.any_version

CANDIDATES = 200
# One set of candidates says little: recall@1 of a model varies by some hundredths between them.
SEEDS = (0, 1, 2)
RECALL_AT_1 = 0.95
RECALL_AT_5 = 0.995


@pytest.fixture(scope="module")
def collections(create: Create, inference: dict[str, Any]) -> dict[int, Collection[Any, Any]]:
    """One for each seed. `picture` is the vector of an object's picture alone, `words` that of its title alone."""
    stocked = {}
    for seed in SEEDS:
        stocked[seed] = create(
            properties=PROPERTIES,
            vector_config=[
                Configure.Vectors.multi2vec_clip(name="picture", image_fields=["image"], **inference),
                Configure.Vectors.multi2vec_clip(name="words", text_fields=["title"], **inference),
            ],
        )
        load(stocked[seed], [picture.properties for picture in scenes(CANDIDATES, seed)])
    return stocked


@pytest.fixture(scope="module")
def pictures() -> tuple[Picture, ...]:
    """What the collection holds."""
    return scenes(CANDIDATES, SEEDS[0])


@pytest.fixture(scope="module")
def collection(collections: dict[int, Collection[Any, Any]]) -> Collection[Any, Any]:
    """The first of them."""
    return collections[SEEDS[0]]


def test_named_vectors(collection: Collection[Any, Any], demo: Service, pictures: tuple[Picture, ...]) -> None:
    """Each is the service's vector of its own field."""
    texts, images = demo.vectorize([each.title for each in pictures], [each.image for each in pictures])
    for name, rows in (("words", texts), ("picture", images)):
        stored = vectors_by_title(collection, name)
        assert len(stored) == CANDIDATES
        for picture, row in zip(pictures, rows, strict=True):
            assert cosine(stored[picture.title], row) >= SMALLEST_COSINE


def test_a_stored_picture_finds_itself(collection: Collection[Any, Any], pictures: tuple[Picture, ...]) -> None:
    """First, and with certainty."""
    for picture in pictures[::10]:
        found = collection.query.near_image(
            picture.image, limit=2, target_vector="picture", return_metadata=["certainty"]
        )
        assert titles(found)[0] == picture.title
        assert certainty(found) >= 0.99


@pytest.mark.parametrize("way", ["text to picture", "picture to text"])
def test_recall(collections: dict[int, Collection[Any, Any]], way: str, figure: Figure) -> None:
    """A sentence finds the scene that it describes among 200, and a scene its sentence."""
    found: list[list[str]] = []
    expected: list[str] = []
    for seed, collection in collections.items():
        for picture in scenes(CANDIDATES, seed):
            if way == "text to picture":
                answer = collection.query.near_text(picture.title, limit=5, target_vector="picture")
            else:
                answer = collection.query.near_image(picture.image, limit=5, target_vector="words")
            found.append(titles(answer))
            expected.append(picture.title)
    at_1, at_5 = recall(found, expected, 1), recall(found, expected, 5)
    figure(f"recall@1 {at_1:.3f}, recall@5 {at_5:.3f} of {len(expected)} queries")
    assert at_1 >= RECALL_AT_1, f"recall@1 of {way} is {at_1:.3f}"
    assert at_5 >= RECALL_AT_5, f"recall@5 of {way} is {at_5:.3f}"


def test_near_vector(collection: Collection[Any, Any], demo: Service, pictures: tuple[Picture, ...]) -> None:
    """A vector from the service's own /vectorize finds what Weaviate's call for it would."""
    for picture in pictures[:20]:
        texts, images = demo.vectorize([picture.title], [picture.image])
        by_image = collection.query.near_vector(images[0].tolist(), limit=1, target_vector="picture")
        assert titles(by_image) == [picture.title]
        by_text = collection.query.near_vector(texts[0].tolist(), limit=5, target_vector="picture")
        asked = collection.query.near_text(picture.title, limit=5, target_vector="picture")
        # Neighbours that are equally near may change places.
        assert set(titles(by_text)[:3]) <= set(titles(asked))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_hybrid(collection: Collection[Any, Any], pictures: tuple[Picture, ...], alpha: float) -> None:
    """From words alone to vectors alone, the described scene is among the first."""
    asked = pictures[:40]
    found = [
        titles(collection.query.hybrid(each.title, alpha=alpha, limit=5, target_vector="picture")) for each in asked
    ]
    assert recall(found, [each.title for each in asked], 5) >= 0.95


def test_distance_cuts_off(collection: Collection[Any, Any], pictures: tuple[Picture, ...]) -> None:
    """`distance` keeps the picture itself and drops the rest, as the vectors are of unit length."""
    for picture in pictures[:10]:
        found = collection.query.near_image(picture.image, distance=0.001, target_vector="picture")
        assert titles(found)[0] == picture.title
        assert len(found.objects) < CANDIDATES / 10


def test_several_concepts(collection: Collection[Any, Any]) -> None:
    """near_text takes a list, and steps towards and away from other texts."""
    found = collection.query.near_text(
        ["a red shape", "a star"],
        move_to=Move(force=0.5, concepts=["on a white background"]),
        move_away=Move(force=0.3, concepts=["a green circle"]),
        limit=3,
        target_vector="picture",
    )
    assert len(found.objects) == 3
