"""How alike vectors are: cosines, the closest two of several, and ColBERT's late interaction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multi2vec.engine import similarity
from multi2vec.engine.vectors import normalise
from tests import toy


class TestCosines:
    def test_each_pair(self) -> None:
        first, second = toy.weights(1, 5, 16), 3 * toy.weights(2, 5, 16)
        found = similarity.cosines(first, second)
        assert (found.dtype, found.shape) == (np.float32, (5,))
        expected = torch.nn.functional.cosine_similarity(torch.from_numpy(first), torch.from_numpy(second))
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_one_with_all(self) -> None:
        one, several = toy.weights(1, 1, 16), toy.weights(2, 5, 16)
        expected = similarity.cosines(np.repeat(one, 5, axis=0), several)
        np.testing.assert_array_equal(similarity.cosines(one, several), expected)
        np.testing.assert_array_equal(similarity.cosines(several, one), expected)

    def test_never_beyond_one(self) -> None:
        vectors = toy.weights(1, 1000, 16)
        assert similarity.cosines(vectors, vectors).max() <= 1
        assert similarity.cosines(vectors, -vectors).min() >= -1

    def test_zeros(self) -> None:
        assert similarity.cosines(np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32)) == 0


class TestLargestCosine:
    def test_of_several_and_one_in_either_order(self) -> None:
        queries, text = toy.weights(1, 32, 16), 2 * toy.weights(2, 16)
        expected = max(float(similarity.cosines(query[None], text[None])[0]) for query in queries)
        assert similarity.largest_cosine(text, queries) == pytest.approx(expected, abs=1e-6)
        assert similarity.largest_cosine(queries, text) == pytest.approx(expected, abs=1e-6)
        assert similarity.largest_cosine(text[None], queries) == pytest.approx(expected, abs=1e-6)

    def test_never_beyond_one(self) -> None:
        vectors = toy.weights(1, 100, 16)
        assert max(similarity.largest_cosine(vector, vectors) for vector in vectors) <= 1


class TestMaxSim:
    def test_for_each_of_the_query_s_tokens_the_closest_of_the_document_s(self) -> None:
        query, document = normalise(toy.weights(1, 4, 16)), normalise(toy.weights(2, 7, 16))
        expected = sum(max(float(one @ other) for other in document) for one in query)
        assert similarity.max_sim(query, document) == pytest.approx(expected, abs=1e-5)

    def test_it_is_not_symmetric(self) -> None:
        several, one = np.eye(3, dtype=np.float32), np.float32([[1, 0, 0]])
        assert similarity.max_sim(several, several) == 3
        assert similarity.max_sim(one, several) == 1
        assert similarity.max_sim(several, one) == 1
        assert similarity.max_sim(several, several[:2]) == 2
        assert similarity.max_sim(np.float32([[1, 0, 0]] * 3), several) == 3
        assert similarity.max_sim(several, np.float32([[1, 0, 0]] * 3)) == 1

    def test_without_tokens(self) -> None:
        none, some = np.empty((0, 3), np.float32), np.eye(3, dtype=np.float32)
        assert similarity.max_sim(none, some) == similarity.max_sim(some, none) == 0
