"""How near rows must be to the original library's: when a model is converted, and when a server proves itself.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from multi2vec.manifest import Stored
from multi2vec.specs import Kind


@dataclass(frozen=True)
class Floor:
    """The smallest cosine to the original's row, and how far a row's length may be from the original's, as a share of
    it, before it is normalised.

    The cosine holds for each token of token vectors, and for the weights of all token ids of a sparse row.
    """

    cosine: float
    length: float


# By kind of output and precision of the arithmetic, for weights in 32 and in 16 bits.
ARITHMETIC: Mapping[Kind, Mapping[str, Floor]] = {
    "dense": {"f32": Floor(0.9999, 0.002), "bf16": Floor(0.999, 0.02), "f16": Floor(0.999, 0.02)},
    "tokens": {"f32": Floor(0.9999, 0.002), "bf16": Floor(0.999, 0.02), "f16": Floor(0.999, 0.02)},
    "sparse": {"f32": Floor(0.9999, 0.002), "bf16": Floor(0.999, 0.02), "f16": Floor(0.999, 0.02)},
}

# For compressed weights in f32, where a recipe does not say otherwise. What they cost depends on the model: the
# smaller, the more. all-MiniLM-L6-v2, a small one, has over some 270 texts a smallest cosine of 0.998 in int8 and of
# 0.92 in int4, and lengths that are off by up to 3 % and 20 %.
COMPRESSED: Mapping[str, Floor] = {"int8": Floor(0.99, 0.05), "int4": Floor(0.85, 0.3)}


def floor(kind: Kind, arithmetic: str, stored: Stored = "fp16", own: float | None = None) -> Floor:
    """What a row of an output of that kind must keep, with arithmetic and stored weights in these precisions.

    What arithmetic and compressed weights cost adds up. `own` is the recipe's cosine for compressed weights, instead of
    the usual one; there is none for others.
    """
    exact = ARITHMETIC[kind][arithmetic]
    if stored not in COMPRESSED:
        return exact
    usual = COMPRESSED[stored]
    lost = ARITHMETIC[kind]["f32"].cosine - exact.cosine
    return Floor(round((usual.cosine if own is None else own) - lost, 6), round(usual.length + exact.length, 6))
