"""Whether this machine gives the original library's vectors: the manifest's examples through the whole path."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np

from multi2vec.engine import memory
from multi2vec.engine.embedder import Embedder
from multi2vec.engine.errors import WrongVectors
from multi2vec.engine.rows import Vectors
from multi2vec.engine.vectors import normalise
from multi2vec.engine.wanted import Wanted
from multi2vec.manifest import Kind, Modality, word

# The smallest cosine to the original library's rows, by kind of output and precision of the arithmetic; conversion has
# the same bar. It holds for each token of token vectors, and for the weights of all token ids of a sparse row.
COSINE_FLOORS: Mapping[Kind, Mapping[str, float]] = {
    "dense": {"f32": 0.9999, "bf16": 0.999, "f16": 0.999},
    "tokens": {"f32": 0.9999, "bf16": 0.999, "f16": 0.999},
    "sparse": {"f32": 0.9999, "bf16": 0.999, "f16": 0.999},
}
# How far a vector's length may be from the original's, as a share of it, before it is normalised.
LENGTH_TOLERANCES = {"f32": 0.002, "bf16": 0.02, "f16": 0.02}

AS_THE_ORIGINAL = Wanted(normalise=False)


async def prove(embedder: Embedder) -> None:
    """Embed the manifest's examples. Raises `WrongVectors` when one of them is not the original library's.

    The first inferences also warm the towers up; what only that needed of memory is given back.
    """
    for modality, lane in embedder.lanes.items():
        examples = embedder.manifest.examples_of(modality)
        if not examples:
            continue
        embedded = await embedder.embed(modality, [each.content for each in examples], AS_THE_ORIGINAL)
        expected = np.array([each.vector for each in examples], dtype=np.float32)
        _compare(modality, np.asarray(embedded.rows), expected, lane.encoder.precision)
    await asyncio.to_thread(memory.release)


def _compare(modality: Modality, vectors: Vectors, expected: Vectors, precision: str) -> None:
    floor, tolerance = COSINE_FLOORS["dense"][precision], LENGTH_TOLERANCES[precision]
    cosine = float((normalise(vectors) * normalise(expected)).sum(axis=-1).min())
    lengths = np.linalg.norm(vectors, axis=-1) / np.linalg.norm(expected, axis=-1)
    # Written so that a NaN counts as wrong.
    if not cosine >= floor:
        raise WrongVectors(
            f"an example {word(modality)} gives a vector at cosine {cosine:.6f} to the original library's; "
            f"at least {floor} is needed in {precision}"
        )
    if not float(np.abs(lengths - 1).max()) <= tolerance:
        worst = float(lengths[np.abs(lengths - 1).argmax()])
        raise WrongVectors(
            f"an example {word(modality)} gives a vector {worst:.4f} times as long as the original library's"
        )
