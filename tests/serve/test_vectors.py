import numpy as np

from inference.serve.vectors import are_finite, normalise


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
