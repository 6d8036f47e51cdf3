"""What tests of text models ask of a converted folder and of the original libraries."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer

from multi2vec import manifest as manifests
from multi2vec.convert import parity
from multi2vec.engine.preparers import PREPARERS
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits

Vectors = npt.NDArray[np.float32]


def vectors(folder: Path, texts: Sequence[str], **wanted: Any) -> Vectors:
    """The served vectors of the texts, together, at unit length: float32 (n, D)."""
    with parity.opened(folder, "f32") as embedder:
        embedded = asyncio.run(embedder.embed("text", texts, Wanted(normalise=True, **wanted)))
    return np.asarray(embedded.rows)


def ids(folder: Path, text: str, **wanted: Any) -> list[int]:
    """The token ids that the served model is given for a text, without padding."""
    return [int(each) for each in _preparer(folder).prepare(text, Wanted(**wanted)).arrays["input_ids"]]


def inputs(folder: Path, texts: Sequence[str]) -> Mapping[str, Any]:
    """The tower's inputs for one batch of these texts."""
    preparer = _preparer(folder)
    found: Mapping[str, Any] = preparer.collate([preparer.prepare(text, Wanted()) for text in texts])
    return found


def _preparer(folder: Path) -> Any:
    read = manifests.read(folder)
    return PREPARERS["text"].make(folder, read.inputs["text"], read.tower("text"), Limits())["text"]


def sentence_transformer(folder: Path, **options: Any) -> SentenceTransformer:
    """The checkpoint as a user of that library opens it, in float32."""
    return SentenceTransformer(
        str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": "float32"}, **options
    )


def encoded(pipeline: SentenceTransformer, texts: Sequence[str], **options: Any) -> Vectors:
    """That library's vectors, at unit length: float32 (n, D)."""
    return np.asarray(
        pipeline.encode(list(texts), normalize_embeddings=True, show_progress_bar=False, **options), np.float32
    )


def unit(rows: Any) -> Vectors:
    """Rows (n, D) at unit length."""
    found = np.asarray(rows, np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def smallest_cosine(one: Vectors, other: Vectors) -> float:
    """Of each row with its counterpart; both are at unit length."""
    return float((one * other).sum(axis=1).min())


def largest_cosine(one: Vectors, other: Vectors) -> float:
    """Of each row with its counterpart; both are at unit length."""
    return float((one * other).sum(axis=1).max())
