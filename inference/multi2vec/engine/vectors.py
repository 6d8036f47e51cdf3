"""What happens to a tower's outputs after inference: one row per item, cut, normalised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from multi2vec.engine.errors import Unsupported
from multi2vec.engine.rows import Array, Row, Sparse, Vectors
from multi2vec.engine.wanted import Wanted
from multi2vec.manifest import Manifest
from multi2vec.specs import Kind, OutputSpec

# As torch.nn.functional.normalize.
SHORTEST = 1e-12


def normalise(vectors: Vectors) -> Vectors:
    """Each vector of float32 (…, dimensions) at unit length; zeros stay as they are."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, SHORTEST), dtype=np.float32)


def are_finite(vectors: Vectors) -> bool:
    """Whether no row holds a NaN or an infinity, which JSON and the databases behind it cannot take."""
    # A sum is finite exactly when all its terms are, but for overflow, which vectors of sane length do not reach.
    return bool(np.isfinite(vectors.sum()))


def row_of(
    spec: OutputSpec, outputs: Mapping[str, Vectors], inputs: Mapping[str, Array], index: int, length: int
) -> Row:
    """One item's row of one output, out of a batch: the item stands at `index` and has `length` tokens. What padding
    gave is left away."""
    return ROWS[spec.kind](outputs[spec.name][index], spec, inputs, index, length)


def _dense(row: Vectors, spec: OutputSpec, inputs: Mapping[str, Array], index: int, length: int) -> Row:
    return row


def _tokens(row: Vectors, spec: OutputSpec, inputs: Mapping[str, Array], index: int, length: int) -> Row:
    return row[spec.skipped : length if spec.vectors is None else spec.vectors]


def _sparse(row: Vectors, spec: OutputSpec, inputs: Mapping[str, Array], index: int, length: int) -> Row:
    ids, places = np.unique(inputs[spec.token_ids][index, :length], return_inverse=True)
    weights = np.zeros(len(ids), dtype=np.float32)
    np.maximum.at(weights, places, row[:length])
    return Sparse(ids[weights > 0], weights[weights > 0])


ROWS: dict[Kind, Callable[[Vectors, OutputSpec, Mapping[str, Array], int, int], Row]] = {
    "dense": _dense,
    "tokens": _tokens,
    "sparse": _sparse,
}


class Finisher:
    """From the rows of one output to what the caller wants of them. Made for one request, before any work is done.

    Raises `Unsupported` for an output or a length that the model does not have.
    """

    def __init__(self, manifest: Manifest, outputs: Sequence[OutputSpec], wanted: Wanted) -> None:
        spec = next((each for each in outputs if each.name == wanted.output), None)
        if spec is None:
            names = ", ".join(each.name for each in outputs)
            raise Unsupported(f"{manifest.tag} has no output {wanted.output!r}; it has: {names}")
        self.output = spec
        self._dimensions = _allowed_dimensions(manifest, spec, wanted.dimensions)
        self._normalise = manifest.normalise if wanted.normalise is None else wanted.normalise

    def finish(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Dense rows as one array; they and token vectors cut and normalised as wanted."""
        if self.output.kind == "dense":
            return self._vectors(np.stack(rows)) if rows else np.empty((0, self._dimensions), dtype=np.float32)  # type: ignore[return-value, arg-type]
        return [row if isinstance(row, Sparse) else self._vectors(row) for row in rows]

    def _vectors(self, vectors: Vectors) -> Vectors:
        cut = vectors[..., : self._dimensions]
        # What is written as JSON or base64 has to lie in one piece.
        return normalise(cut) if self._normalise else np.ascontiguousarray(cut)


def _allowed_dimensions(manifest: Manifest, spec: OutputSpec, wanted: int | None) -> int:
    if wanted is None or (wanted == spec.dimensions and spec.kind == "dense"):
        return spec.dimensions
    if spec.kind != "dense":
        raise Unsupported(f"dimensions are for dense vectors; the output {spec.name!r} cannot be cut")
    smallest = manifest.smallest_dimensions
    if wanted not in manifest.cut_dimensions and (smallest is None or not smallest <= wanted < spec.dimensions):
        if smallest is None and not manifest.cut_dimensions:
            raise Unsupported(
                f"{manifest.tag} does not support Matryoshka representation: its vectors have {spec.dimensions} "
                f"dimensions and cannot be cut to {wanted}"
            )
        allowed = ", ".join(map(str, sorted({*manifest.cut_dimensions, spec.dimensions})))
        if smallest is not None:
            allowed = f"any length from {smallest} to {spec.dimensions}"
        raise Unsupported(f"{manifest.tag} has no vectors of {wanted} dimensions; it has: {allowed}")
    return wanted
