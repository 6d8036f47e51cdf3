"""The arrays that the engine works with, and a row: what one item becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sparse:
    """Weights by token id: `ids` int64 (n,) rising, `weights` float32 (n,) above zero."""

    ids: npt.NDArray[np.int64]
    weights: Vectors


# Dense: float32 (dimensions,). Tokens: float32 (tokens, dimensions).
Row = Vectors | Sparse
