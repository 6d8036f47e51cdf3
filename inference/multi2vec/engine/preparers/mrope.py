"""Positions of tokens among which pictures stand: M-RoPE (arXiv 2409.12191), as `get_rope_index` of transformers'
Qwen2-VL and Qwen3-VL counts them; a test holds them against both. A video of Qwen3-VL is one picture after another, for
each pair of frames, with text before each that says when it is shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]


def grid(spans: Sequence[int | tuple[int, int]]) -> Positions:
    """int64 (3, length): time, row and column of each token. A span is so many tokens of text, or a picture's rows by
    height and width. Text counts all three on; a picture has one time, and what follows begins behind its longer
    side."""
    found, start = [], 0
    for span in spans:
        if isinstance(span, int):
            found.append(np.broadcast_to(np.arange(start, start + span), (3, span)))
            start += span
        else:
            rows, columns = np.divmod(np.arange(span[0] * span[1]), span[1])
            found.append(start + np.stack([np.zeros_like(rows), rows, columns]))
            start += max(span)
    return np.concatenate(found, axis=1, dtype=np.int64)


def line(length: int) -> Positions:
    """int64 (3, length): all three counters the same, as for text alone."""
    return np.tile(np.arange(length, dtype=np.int64), (3, 1))
