"""Whether this machine gives the original library's vectors: the manifest's examples through the whole path."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import numpy as np

from multi2vec.engine import memory
from multi2vec.engine.embedder import Embedder
from multi2vec.engine.errors import WrongVectors
from multi2vec.engine.floors import Floor, floor
from multi2vec.engine.lanes import Lane
from multi2vec.engine.rows import Vectors
from multi2vec.engine.vectors import normalise
from multi2vec.engine.wanted import Wanted
from multi2vec.manifest import Example
from multi2vec.specs import Modality, word

AS_THE_ORIGINAL = Wanted(normalise=False)


async def prove(embedder: Embedder, altered: Collection[Example] = ()) -> float:
    """Embed the manifest's examples. Returns the smallest cosine to the original library's vectors, 1 without examples;
    raises `WrongVectors` when one is below its floor. The `altered` are embedded too, but not compared: settings
    have made others of them.

    The first inferences also warm the towers up; what only that needed of memory is given back.
    """
    manifest, smallest = embedder.manifest, 1.0
    for modality, lane in embedder.lanes.items():
        examples = manifest.examples_of(modality)
        if not examples:
            continue
        embedded = await embedder.embed(modality, [each.content for each in examples], AS_THE_ORIGINAL)
        kept = [index for index, each in enumerate(examples) if each not in altered]
        if not kept:
            continue
        expected = np.array([examples[index].vector for index in kept], dtype=np.float32)
        precisions = _precisions(lane)
        least = min((floor("dense", each, manifest.precision, manifest.floor) for each in precisions), key=_by_cosine)
        how = f"{' and '.join(precisions)}, {manifest.precision} weights"
        smallest = min(smallest, _compare(modality, np.asarray(embedded.rows)[kept], expected, least, how))
    await asyncio.to_thread(memory.release)
    return smallest


def _precisions(lane: Lane) -> list[str]:
    """Of the arithmetic of all towers that its items go through."""
    own = {lane.encoder.precision}
    return sorted(own if lane.parts is None else own | {lane.parts.encoder.precision})


def _by_cosine(floor: Floor) -> float:
    return floor.cosine


def _compare(modality: Modality, vectors: Vectors, expected: Vectors, least: Floor, how: str) -> float:
    cosine = float((normalise(vectors) * normalise(expected)).sum(axis=-1).min())
    lengths = np.linalg.norm(vectors, axis=-1) / np.linalg.norm(expected, axis=-1)
    # Written so that a NaN counts as wrong.
    if not cosine >= least.cosine:
        raise WrongVectors(
            f"an example {word(modality)} gives a vector at cosine {cosine:.6f} to the original library's; "
            f"at least {least.cosine} is needed in {how}"
        )
    if not float(np.abs(lengths - 1).max()) <= least.length:
        worst = float(lengths[np.abs(lengths - 1).argmax()])
        raise WrongVectors(
            f"an example {word(modality)} gives a vector {worst:.4f} times as long as the original library's"
        )
    return cosine
