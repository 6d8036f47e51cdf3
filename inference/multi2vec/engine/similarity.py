"""How alike two items are, by their vectors. Each of these is symmetric in its arguments, except `max_sim`."""

from __future__ import annotations

import numpy as np

from multi2vec.engine.rows import Vectors
from multi2vec.engine.vectors import normalise


def cosines(first: Vectors, second: Vectors) -> Vectors:
    """The cosine of each pair of vectors, a·b / (|a|·|b|), from -1 to 1; 0 where one of them is all zeros.

    Both float32 (pairs, dimensions), of any lengths; one of them may be (1, dimensions), which is paired with all of
    the other. Returns float32 (pairs,).
    """
    # Rounding takes the cosine of a vector with itself beyond 1.
    return np.asarray(np.clip((normalise(first) * normalise(second)).sum(axis=-1), -1, 1), dtype=np.float32)


def largest_cosine(first: Vectors, second: Vectors) -> float:
    """The cosine of those two vectors, one of each side, that are closest: max over i, j of cos(a_i, b_j).

    float32 (n, dimensions) and (m, dimensions), or (dimensions,) for a single vector, of any lengths. With the vectors
    of a picture's queries on one side and a text's single vector on the other this is BLIP-2's own score of the pair
    (arXiv 2301.12597, section 3.2: the highest of the similarities between the queries and the text).
    """
    products = np.atleast_2d(normalise(first)) @ np.atleast_2d(normalise(second)).T
    return float(np.clip(products.max(), -1, 1))


def max_sim(query: Vectors, document: Vectors) -> float:
    """ColBERT's late interaction (arXiv 2004.12832, section 3.3): for each of the query's tokens the largest product
    with any of the document's tokens, summed over the query's: Σ_i max_j q_i·d_j.

    float32 (n, dimensions) and (m, dimensions), all of unit length as that model has them. 0 for a query without
    tokens, and for a document without any.
    """
    if not len(query) or not len(document):
        return 0.0
    return float((query @ document.T).max(axis=1).sum())
