"""Vectors of fewer bytes, made of float32 ones.

int8 and uint8 have one symmetric scale for all dimensions. The numbers of a vector of `d` dimensions at unit length are
1/√d large on (quadratic) average; sixteen times that, and at most 1, becomes 127:

    int8 = round(x · 127 · max(√d / 16, 1)), at least -127 and at most 127        uint8 = int8 + 128

Some models have a dimension that is more than ten times the average in every vector, which a finer scale would clip.
Vectors that are not at unit length are brought there first.

ubinary has one bit per number, 1 for x ≥ 0, eight to a byte, the first in the most significant; where the dimensions
are not a multiple of eight the last byte ends in zeros. binary is ubinary - 128.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multi2vec.engine.rows import Vectors
from multi2vec.engine.vectors import normalise

Signed = npt.NDArray[np.int8]
Unsigned = npt.NDArray[np.uint8]

LARGEST = 127
SPAN = 16.0
MIDDLE = 128


def scale(dimensions: int) -> float:
    """What numbers of vectors at unit length are multiplied with."""
    return LARGEST * max(float(np.sqrt(dimensions)) / SPAN, 1.0)


def int8(vectors: Vectors) -> Signed:
    """float32 (n, d) as int8 (n, d)."""
    scaled = np.rint(normalise(vectors) * np.float32(scale(vectors.shape[-1])))
    return np.asarray(np.clip(scaled, -LARGEST, LARGEST), dtype=np.int8)


def uint8(vectors: Vectors) -> Unsigned:
    """float32 (n, d) as uint8 (n, d)."""
    return (int8(vectors).astype(np.int16) + MIDDLE).astype(np.uint8)


def ubinary(vectors: Vectors) -> Unsigned:
    """float32 (n, d) as uint8 (n, ⌈d/8⌉)."""
    return np.packbits(vectors >= 0, axis=-1)


def binary(vectors: Vectors) -> Signed:
    """float32 (n, d) as int8 (n, ⌈d/8⌉)."""
    return (ubinary(vectors).astype(np.int16) - MIDDLE).astype(np.int8)
