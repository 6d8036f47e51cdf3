"""Vectors of fewer bytes: by hand, and how much of the nearest neighbours' order they keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from multi2vec.engine.vectors import normalise
from multi2vec.serve import quantised


def unit(rows: int, dimensions: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((rows, dimensions)).astype(np.float32)
    return normalise(drawn)


def dequantised(vectors: np.ndarray) -> np.ndarray:
    return vectors.astype(np.float32) / np.float32(quantised.scale(vectors.shape[1]))


def test_int8_by_hand() -> None:
    # 127 / 2 is 63.5; halves are rounded to even.
    assert quantised.int8(np.float32([[0.5, -0.5, 0.5, 0.5]])).tolist() == [[64, -64, 64, 64]]
    assert quantised.int8(np.float32([[1, 0, 0, 0]])).tolist() == [[127, 0, 0, 0]]
    assert quantised.uint8(np.float32([[1, 0, 0, 0], [-1, 0, 0, 0]])).tolist() == [
        [255, 128, 128, 128],
        [1] + [128] * 3,
    ]
    row = np.full((1, 1024), 1 / 32, dtype=np.float32)
    assert set(quantised.int8(row)[0].tolist()) == {8}


def test_numbers_far_from_the_others_are_clipped() -> None:
    row = np.zeros((1, 1024), dtype=np.float32)
    row[0, :2] = 0.8, -0.6
    assert quantised.int8(row)[0, :3].tolist() == [127, -127, 0]
    assert quantised.uint8(row)[0, :3].tolist() == [255, 1, 128]


def test_vectors_of_any_length_and_of_none() -> None:
    rows = unit(5, 24)
    np.testing.assert_array_equal(quantised.int8(rows * np.float32(4)), quantised.int8(rows))
    nothing = np.zeros((1, 8), dtype=np.float32)
    assert quantised.int8(nothing).tolist() == [[0] * 8]
    assert quantised.ubinary(nothing).tolist() == [[255]]
    empty = np.empty((0, 16), dtype=np.float32)
    shapes = [each(empty).shape for each in (quantised.int8, quantised.uint8, quantised.binary, quantised.ubinary)]
    assert shapes == [(0, 16), (0, 16), (0, 2), (0, 2)]


@pytest.mark.parametrize(
    ("row", "byte"),
    [
        ([1, -1, 1, -1, 1, -1, 1, -1], [0b10101010]),
        ([1, -1, -1, -1, -1, -1, -1, -1], [0b10000000]),
        ([0, -1, -1, -1, -1, -1, -1, 1], [0b10000001]),
        ([-1] * 8 + [1, -1, 1], [0, 0b10100000]),
    ],
)
def test_bits(row: list[int], byte: list[int]) -> None:
    assert quantised.ubinary(np.float32([row])).tolist() == [byte]
    assert quantised.binary(np.float32([row])).tolist() == [[each - 128 for each in byte]]


@pytest.mark.parametrize(("make", "kind"), [("int8", "i1"), ("uint8", "u1"), ("binary", "i1"), ("ubinary", "u1")])
def test_types(make: str, kind: str) -> None:
    made = getattr(quantised, make)(unit(3, 32))
    assert made.dtype == np.dtype(kind)
    assert made.flags.c_contiguous


@pytest.mark.parametrize("dimensions", [64, 384, 1024])
@pytest.mark.parametrize("outlier", [0.0, 13.0], ids=["evenly", "one large dimension"])
def test_int8_keeps_directions_and_neighbours(dimensions: int, outlier: float, figure: Any) -> None:
    """Also where one dimension is so many times the average in every vector."""
    drawn = np.random.default_rng(0).standard_normal((200, dimensions)).astype(np.float32)
    drawn[:, 3] += outlier
    rows = normalise(drawn)
    small = quantised.int8(rows)
    np.testing.assert_array_equal(quantised.uint8(rows).astype(int) - 128, small)
    cosines = (rows * normalise(dequantised(small))).sum(axis=1)
    exact, found = rows @ rows.T, small.astype(np.int32) @ small.astype(np.int32).T
    same = [len(_nearest(exact, index) & _nearest(found, index)) for index in range(len(rows))]
    figure(f"{dimensions}: smallest cosine {cosines.min():.5f}, of 10 neighbours the same {np.mean(same):.2f}")
    assert cosines.min() > 0.998
    assert np.mean(same) > 9


def _nearest(similarities: np.ndarray, index: int) -> set[int]:
    """The ten that are nearest, itself left out."""
    return set(np.argsort(-similarities[index])[1:11].tolist())
