"""What happens to vectors after a tower made them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


# As torch.nn.functional.normalize.
SHORTEST = 1e-12


def normalise(vectors: Vectors) -> Vectors:
    """Each row of float32 (rows, dimensions) at unit length; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, SHORTEST), dtype=np.float32)


def are_finite(vectors: Vectors) -> bool:
    """Whether no row holds a NaN or an infinity, which JSON and the databases behind it cannot take."""
    # A sum is finite exactly when all its terms are, but for overflow, which vectors of sane length do not reach.
    return bool(np.isfinite(vectors.sum()))
