import dataclasses

import numpy as np
import pytest

from multi2vec.engine.errors import Unsupported
from multi2vec.engine.rows import Row, Sparse
from multi2vec.engine.vectors import Finisher, are_finite, normalise, row_of
from multi2vec.engine.wanted import Wanted
from multi2vec.specs import OutputSpec
from tests import toy

DENSE = OutputSpec("dense", toy.DIMENSIONS)
TOKENS = OutputSpec("late", 2, "tokens")
SPARSE = OutputSpec("lexical", 20, "sparse")
OUTPUTS = (DENSE, TOKENS, SPARSE)
MANIFEST = dataclasses.replace(
    toy.manifest({"text.xml": "0", "image.xml": "0", "tokenizer.json": "0"}), cut_dimensions=(4, 8)
)


def test_rows_get_unit_length_and_zeros_stay() -> None:
    out = normalise(np.array([[3, 4], [0, 0], [1e-6, 0]], dtype=np.float32))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[0.6, 0.8], [0, 0], [1, 0]], rtol=1e-6)


def test_not_a_number_is_seen() -> None:
    vectors = np.ones((4, 8), dtype=np.float32)
    assert are_finite(vectors)
    vectors[2, 3] = np.nan
    assert not are_finite(vectors)
    vectors[2, 3] = -np.inf
    assert not are_finite(vectors)


class TestRows:
    OUTPUTS = {  # noqa: RUF012
        "dense": np.arange(8, dtype=np.float32).reshape(2, 4),
        "late": np.arange(12, dtype=np.float32).reshape(2, 3, 2),
        "lexical": np.array([[0.1, 0.5, 0.3], [0.0, 0.2, 9.9]], dtype=np.float32),
    }
    INPUTS = {"input_ids": np.array([[7, 5, 7], [5, 6, 0]])}  # noqa: RUF012

    def row(self, spec: OutputSpec, index: int) -> Row:
        """Of two items of three and of two tokens."""
        return row_of(spec, self.OUTPUTS, self.INPUTS, index, (3, 2)[index])

    def test_every_output_and_nothing_of_the_padding(self) -> None:
        assert np.array_equal(self.row(DENSE, 0), [0, 1, 2, 3])
        assert np.array_equal(self.row(TOKENS, 1), [[6, 7], [8, 9]])
        assert self.row(TOKENS, 0).shape == (3, 2)  # type: ignore[union-attr]

    def test_tokens_at_the_beginning_may_have_no_vector(self) -> None:
        skipping = dataclasses.replace(TOKENS, skipped=1)
        assert np.array_equal(self.row(skipping, 0), [[2, 3], [4, 5]])
        assert np.array_equal(self.row(skipping, 1), [[8, 9]])

    def test_of_a_token_id_the_largest_weight_and_none_that_is_zero(self) -> None:
        first, second = self.row(SPARSE, 0), self.row(SPARSE, 1)
        assert isinstance(first, Sparse)
        assert isinstance(second, Sparse)
        assert first.ids.tolist() == [5, 7]
        np.testing.assert_allclose(first.weights, [0.5, 0.3])
        # The weight 9.9 is the padding's.
        assert second.ids.tolist() == [6]


def finisher(**wanted: object) -> Finisher:
    return Finisher(MANIFEST, OUTPUTS, Wanted(**wanted))  # type: ignore[arg-type]


class TestFinisher:
    ROWS = list(np.random.default_rng(0).standard_normal((3, toy.DIMENSIONS)).astype(np.float32))  # noqa: RUF012

    def test_dense_rows_become_one_array_at_unit_length(self) -> None:
        out = finisher().finish(self.ROWS)
        assert isinstance(out, np.ndarray)
        assert out.shape == (3, toy.DIMENSIONS)
        np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, rtol=1e-6)

    def test_cut_vectors_are_normalised_again(self) -> None:
        out = np.asarray(finisher(dimensions=4).finish(self.ROWS))
        expected = np.stack(self.ROWS)[:, :4]
        np.testing.assert_allclose(out, normalise(expected), rtol=1e-6)

    def test_not_normalised_where_that_is_wanted(self) -> None:
        assert np.array_equal(np.asarray(finisher(normalise=False).finish(self.ROWS)), np.stack(self.ROWS))
        cut = np.asarray(finisher(normalise=False, dimensions=8).finish(self.ROWS))
        assert np.array_equal(cut, np.stack(self.ROWS)[:, :8])

    def test_the_whole_length_may_be_named(self) -> None:
        assert np.asarray(finisher(dimensions=toy.DIMENSIONS).finish(self.ROWS)).shape == (3, toy.DIMENSIONS)

    def test_nothing_gives_nothing(self) -> None:
        assert np.asarray(finisher(dimensions=4).finish([])).shape == (0, 4)

    def test_token_vectors_are_a_list_and_normalised_each(self) -> None:
        rows = [np.array([[3, 4], [0, 2]], dtype=np.float32), np.array([[5, 0]], dtype=np.float32)]
        first, second = finisher(output="late").finish(rows)
        np.testing.assert_allclose(first, [[0.6, 0.8], [0, 1]])  # type: ignore[arg-type]
        np.testing.assert_allclose(second, [[1, 0]])  # type: ignore[arg-type]

    def test_sparse_weights_stay_as_they_are(self) -> None:
        row = Sparse(np.array([3]), np.array([7], dtype=np.float32))
        assert finisher(output="lexical").finish([row]) == [row]

    def test_what_the_model_does_not_have(self) -> None:
        with pytest.raises(Unsupported, match="toy has no output 'colbert'; it has: dense, late, lexical"):
            finisher(output="colbert")
        with pytest.raises(Unsupported, match="toy has no vectors of 5 dimensions; it has: 4, 8, 16"):
            finisher(dimensions=5)
        with pytest.raises(Unsupported, match="the output 'late' cannot be cut"):
            finisher(output="late", dimensions=2)
