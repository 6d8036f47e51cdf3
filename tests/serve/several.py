"""The toy with more outputs: vectors of a text's tokens, and several vectors of a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op
from PIL import Image

from multi2vec import manifest as manifests
from multi2vec.specs import OutputSpec, Prompt, TextSpec
from tests import toy

LATE, QUERIES, LEXICAL = "late", "queries", "lexical"
# What makes a weight of a token's vector.
HEAD = toy.weights(7, toy.DIMENSIONS, 1)
# How many vectors a picture has besides its dense one.
COUNT = 3
QUERY_WEIGHTS = toy.weights(7, toy.SIDE * toy.SIDE * 3, COUNT * toy.DIMENSIONS)


def write_tokens(folder: Path, *, dense: bool = True, text: TextSpec = toy.TEXT) -> Path:
    """The toy's texts, with the vectors of their tokens except the first; without `dense` with these alone."""
    whole = manifests.read(toy.write_texts(folder, text=text))
    ids = op.parameter([-1, -1], ov.Type.i64, name="input_ids")
    mask = op.parameter([-1, -1], ov.Type.i64, name="attention_mask")
    rows = op.gather(op.constant(toy.TEXT_WEIGHTS), ids, op.constant(0))
    masked = op.multiply(rows, op.unsqueeze(op.convert(mask, "f32"), op.constant(2)))
    outputs = [op.result(each) for each in ([op.reduce_sum(masked, op.constant(1), False)] if dense else []) + [masked]]
    graph = toy.named(ov.Model(outputs, [ids, mask], "toy_tokens"), *(["dense"] if dense else []), LATE)
    ov.save_model(graph, folder / "text.xml", compress_to_fp16=False)
    late = OutputSpec(LATE, toy.DIMENSIONS, "tokens", skipped=1)
    tower = dataclasses.replace(whole.towers["text"], outputs=(*(whole.towers["text"].outputs if dense else ()), late))
    examples = whole.examples if dense else ()
    return _rewritten(folder, tag="toy-tokens", towers={"text": tower}, examples=examples)


def write_queries(folder: Path) -> Path:
    """The toy, whose pictures have several vectors too."""
    whole = manifests.read(toy.write(folder))
    pixels = op.parameter([-1, toy.SIDE, toy.SIDE, 3], ov.Type.u8, name="pixels")
    flat = op.reshape(op.convert(pixels, "f32"), op.constant([-1, toy.SIDE * toy.SIDE * 3]), False)
    scaled = op.divide(flat, op.constant(np.float32(255)))
    dense = op.matmul(scaled, op.constant(toy.PICTURE_WEIGHTS), False, False)
    all_queries = op.matmul(scaled, op.constant(QUERY_WEIGHTS), False, False)
    queries = op.reshape(all_queries, op.constant([-1, COUNT, toy.DIMENSIONS]), False)
    graph = ov.Model([op.result(dense), op.result(queries)], [pixels], "toy_queries")
    ov.save_model(toy.named(graph, "dense", QUERIES), folder / "image.xml", compress_to_fp16=False)
    several = OutputSpec(QUERIES, toy.DIMENSIONS, "tokens", vectors=COUNT)
    tower = dataclasses.replace(whole.towers["image"], outputs=(*whole.towers["image"].outputs, several))
    return _rewritten(folder, tag="toy-queries", towers={**whole.towers, "image": tower})


def write_outputs(folder: Path, *, pictures: bool = False, prompts: Mapping[str, Prompt] | None = None) -> Path:
    """The toy's texts: the sum of the tokens' vectors, these vectors themselves, and a weight for each token. Only with
    `pictures` it has pictures, and only without them its dense vectors can be cut."""
    text = dataclasses.replace(toy.TEXT, prompts=prompts or {})
    whole = manifests.read(toy.write(folder) if pictures else toy.write_texts(folder, text=text))
    ids = op.parameter([-1, -1], ov.Type.i64, name="input_ids")
    mask = op.parameter([-1, -1], ov.Type.i64, name="attention_mask")
    rows = op.gather(op.constant(toy.TEXT_WEIGHTS), ids, op.constant(0))
    masked = op.multiply(rows, op.unsqueeze(op.convert(mask, "f32"), op.constant(2)))
    weights = op.relu(op.squeeze(op.matmul(rows, op.constant(HEAD), False, False), op.constant(2)))
    dense = op.reduce_sum(masked, op.constant(1), False)
    graph = ov.Model([op.result(each) for each in (dense, rows, weights)], [ids, mask], "toy_several")
    ov.save_model(toy.named(graph, "dense", LATE, LEXICAL), folder / "text.xml", compress_to_fp16=False)
    late, lexical = OutputSpec(LATE, toy.DIMENSIONS, "tokens"), OutputSpec(LEXICAL, len(toy.WORDS), "sparse")
    tower = dataclasses.replace(whole.towers["text"], outputs=(*whole.towers["text"].outputs, late, lexical))
    return _rewritten(folder, tag="toy-several", towers={**whole.towers, "text": tower})


def write_pictures(folder: Path) -> Path:
    """The toy without texts."""
    whole = manifests.read(toy.write(folder))
    inputs, examples = {"image": whole.inputs["image"]}, tuple(whole.examples_of("image"))
    return _rewritten(folder, tag="toy-pictures", inputs=inputs, examples=examples)


def token_vectors(text: str) -> Any:
    """The vectors of a text's tokens but the first, at unit length: float32 (tokens, dimensions)."""
    return _unit(toy.TEXT_WEIGHTS[toy.tokenizer().encode(text.lower()).ids][1:])


def query_vectors(image: Image.Image) -> Any:
    """A picture's several vectors at unit length: float32 (COUNT, dimensions)."""
    flat = np.asarray(image.convert("RGB"), dtype=np.float32).reshape(-1) / 255
    return _unit((flat @ QUERY_WEIGHTS).reshape(COUNT, toy.DIMENSIONS))


def cosine(text: str, other: str) -> float:
    """The cosine of two texts' vectors."""
    return float(toy.text_vector(text) @ toy.text_vector(other))


def max_sim(query: str, document: str) -> float:
    """ColBERT's score of two texts."""
    return float((token_vectors(query) @ token_vectors(document).T).max(axis=1).sum())


def _unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _rewritten(folder: Path, **changes: Any) -> Path:
    read = manifests.read(folder)
    files = {name: manifests.sha256(folder / name) for name in read.files}
    made = dataclasses.replace(read, files=files, **changes)
    (folder / manifests.FILE_NAME).write_text(manifests.with_fingerprint(made).to_json())
    return folder
