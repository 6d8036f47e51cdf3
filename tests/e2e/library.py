"""Steps that several tests take with a collection of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from weaviate.classes.config import DataType, Property
from weaviate.collections import Collection

from tests.server import Vectors

PROPERTIES = [Property(name="title", data_type=DataType.TEXT), Property(name="image", data_type=DataType.BLOB)]

# The server computes in bf16 where the CPU has it, and an item's neighbours in a batch move its last digits.
SMALLEST_COSINE = 0.9999


def load(collection: Collection[Any, Any], objects: Iterable[Mapping[str, Any]], size: int = 20) -> None:
    """Import in batches of `size`; every object must arrive."""
    with collection.batch.fixed_size(size) as batch:
        for each in objects:
            batch.add_object(each)
    assert not collection.batch.failed_objects, collection.batch.failed_objects[0].message


def titles(result: Any) -> list[str]:
    """The titles that a query found, best first."""
    return [found.properties["title"] for found in result.objects]


def certainty(result: Any) -> float:
    """Of the best object that a query found, asked for with its metadata."""
    return float(result.objects[0].metadata.certainty)


def vector_of(found: Any, name: str = "default") -> Vectors:
    """The stored vector of an object that was asked for with `include_vector`, float32 (D,)."""
    return np.array(found.vector[name], np.float32)


def vectors_by_title(collection: Collection[Any, Any], name: str = "default") -> dict[str, Vectors]:
    """All stored vectors, by the object's title."""
    return {
        found.properties["title"]: vector_of(found, name)
        for found in collection.iterator(include_vector=True, return_properties=["title"])
    }


def cosine(one: Vectors, other: Vectors) -> float:
    """Of two vectors (D,)."""
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def recall(found: Sequence[Sequence[str]], expected: Sequence[str], k: int) -> float:
    """The share of queries whose expected title is among the first k found."""
    hits = [title in names[:k] for names, title in zip(found, expected, strict=True)]
    return sum(hits) / len(hits)
