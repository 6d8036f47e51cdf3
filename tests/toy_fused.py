"""A toy model of texts and pictures in one item: two graphs of a few KB, whose vectors can be computed by hand.

A vector is the sum of the tokens' own vectors and of the rows that stand for pictures, each the longer the later it
comes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op
from PIL import Image
from tokenizers import AddedToken, Tokenizer

from multi2vec.engine.items import Item
from multi2vec.engine.preparers.fused import written
from multi2vec.layouts import PatchLayout, Resize
from multi2vec.manifest import FILE_NAME, SCHEMA, Example, Manifest, Source, sha256, with_fingerprint
from multi2vec.specs import FusedSpec, OutputSpec, Prompt, TensorSpec, TowerSpec, VideoSpec
from tests import toy

DIMENSIONS = 16
PATCH, MERGE = 4, 2
UNIT = PATCH * MERGE
COLUMNS = 3 * PATCH**2
MARKS = ("<start>", "<end>", "<picture>", "</picture>", "<row>")
SPECIAL = (*MARKS, "<frame>")
WORDS = (*toy.WORDS, *MARKS, "find", "it", ":", "help", "<frame>", ".", "s", *"0123456789")
SPEC = FusedSpec(
    tower="language",
    vision="vision",
    max_length=48,
    prompts={"query": Prompt("<start>{task}:<end>{text}<end>", task="help"), "document": Prompt("<end>{text}<end>")},
    default_prompt="query",
    layout=PatchLayout(PATCH, MERGE, (Resize(UNIT, UNIT**2, 16 * UNIT**2),)),
    place="<row>",
    before="<picture>",
    after="</picture>",
    positions="grid",
)
# Two frames a second, each behind its time. All of them have 64 squares together.
WITH_VIDEOS = replace(
    SPEC,
    max_length=120,
    video=VideoSpec(SPEC.layout, "<frame>", fps=2.0, most=8, even=True, pixels=64 * UNIT**2, says="{seconds} s"),
)
WORD_WEIGHTS = toy.weights(3, len(WORDS), DIMENSIONS)
ROW_WEIGHTS = toy.weights(4, MERGE**2 * COLUMNS, DIMENSIONS) / 10
# How much longer each step of time makes a token's vector.
LATER = 0.1


def vision_tower() -> ov.Model:
    """pixels (N, C), places (N, 2) → a linear map of four patches each (N / 4, D)."""
    pixels = op.parameter([-1, COLUMNS], ov.Type.u8, name="pixels")
    places = op.parameter([-1, 2], ov.Type.i64, name="position_ids")
    blocks = op.reshape(op.convert(pixels, "f32"), op.constant([-1, MERGE**2 * COLUMNS]), False)
    rows = op.matmul(op.divide(blocks, op.constant(np.float32(255))), op.constant(ROW_WEIGHTS), False, False)
    return toy.named(ov.Model([rows], [pixels, places], "toy_vision"), "rows")


def language_tower() -> ov.Model:
    """ids, mask, rows, index, positions → the sum of what the tokens stand for (B, D)."""
    ids, mask, index = (
        op.parameter([-1, -1], ov.Type.i64, name=name) for name in ("input_ids", "attention_mask", "index")
    )
    rows = op.parameter([-1, DIMENSIONS], ov.Type.f32, name="rows")
    positions = op.parameter([-1, 3, -1], ov.Type.i64, name="position_ids")
    zero = op.constant(0)
    words = op.gather(op.constant(WORD_WEIGHTS), ids, zero)
    is_row = op.unsqueeze(op.greater(index, op.constant(np.int64(0))), op.constant(2))
    mixed = op.select(is_row, op.gather(rows, index, zero), words)
    time = op.convert(op.squeeze(op.gather(positions, op.constant([0]), op.constant(1)), op.constant(1)), "f32")
    weight = op.add(op.multiply(time, op.constant(np.float32(LATER))), op.constant(np.float32(1)))
    kept = op.unsqueeze(op.multiply(weight, op.convert(mask, "f32")), op.constant(2))
    vectors = op.reduce_sum(op.multiply(mixed, kept), op.constant(1), False)
    return toy.named(ov.Model([vectors], [ids, mask, rows, index, positions], "toy_language"))


def tokenizer() -> Tokenizer:
    """That of the toy, with special tokens."""
    made = toy.tokenizer(WORDS)
    made.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIAL])
    return made


def vector(*parts: str | Image.Image, task: str | None = "help") -> np.ndarray:
    """The vector at unit length of an item of texts (words of `WORDS`) and pictures (whose sides are multiples of
    `UNIT`), float32 (dimensions,). Without a task it is a document's."""
    found = row(*parts, task=task)
    return found / np.linalg.norm(found)


def row(*parts: str | Image.Image, task: str | None = "help") -> np.ndarray:
    """What the towers give, float32 (dimensions,)."""
    total, time = np.zeros(DIMENSIONS, dtype=np.float32), 0
    before = f"<start> {task} : <end>" if task is not None else "<end>"
    for part in (before, *parts, "<end>"):
        if isinstance(part, str):
            for word in part.split():
                total += WORD_WEIGHTS[WORDS.index(word if word in WORDS else "<unk>")] * (1 + LATER * time)
                time += 1
        else:
            total, time = _with_picture(part, total, time)
    return total


def _with_picture(picture: Image.Image, total: np.ndarray, time: int) -> tuple[np.ndarray, int]:
    total = total + WORD_WEIGHTS[WORDS.index("<picture>")] * (1 + LATER * time)
    rows = picture_rows(picture)
    total = total + rows.sum(axis=0) * (1 + LATER * (time + 1))
    time += 1 + max(picture.height, picture.width) // UNIT
    return total + WORD_WEIGHTS[WORDS.index("</picture>")] * (1 + LATER * time), time + 1


def picture_rows(picture: Image.Image) -> np.ndarray:
    """One for each square of `UNIT` pixels, float32 (rows, dimensions)."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    found = []
    for top in range(0, picture.height, UNIT):
        for left in range(0, picture.width, UNIT):
            square = pixels[top : top + UNIT, left : left + UNIT]
            patches = [
                square[y : y + PATCH, x : x + PATCH].transpose(2, 0, 1).reshape(-1)
                for y in range(0, UNIT, PATCH)
                for x in range(0, UNIT, PATCH)
            ]
            found.append(np.concatenate(patches) @ ROW_WEIGHTS)
    return np.array(found)


def tokens(*parts: str | Image.Image, task: str | None = "help") -> int:
    """How many tokens the item has."""
    words = (3 + len((task or "").split())) if task is not None else 1
    for part in parts:
        is_text = isinstance(part, str)
        words += len(part.split()) if is_text else 2 + part.height * part.width // UNIT**2  # type: ignore[union-attr]
    return words + 1


def write(folder: Path, *, tag: str = "toy-fused", spec: FusedSpec = SPEC) -> Path:
    """Write the toy's model folder."""
    folder.mkdir(parents=True, exist_ok=True)
    ov.save_model(vision_tower(), folder / "vision.xml", compress_to_fp16=False)
    ov.save_model(language_tower(), folder / "language.xml", compress_to_fp16=False)
    tokenizer().save(str(folder / "tokenizer.json"))
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != FILE_NAME}
    (folder / FILE_NAME).write_text(_manifest(files, tag, spec).to_json())
    return folder


def _manifest(files: dict[str, str], tag: str, spec: FusedSpec) -> Manifest:
    picture = toy.picture(5, (2 * UNIT, UNIT))
    file = io.BytesIO()
    picture.save(file, "PNG")
    item = (Item("image", file.getvalue()), Item("text", "a cat"))
    numbers = tuple(TensorSpec(name, "i64", (None, None)) for name in ("input_ids", "attention_mask"))
    made = Manifest(
        schema=SCHEMA,
        tag=tag,
        family="toy",
        sources=(Source("tests/toy_fused.py"),),
        licence="Apache-2.0",
        languages=("en",),
        dimensions=DIMENSIONS,
        normalise=True,
        precision="fp32",
        towers={
            "vision": TowerSpec(
                "vision.xml",
                (TensorSpec("pixels", "u8", (None, COLUMNS)), TensorSpec("position_ids", "i64", (None, 2))),
                (OutputSpec("rows", DIMENSIONS),),
            ),
            "language": TowerSpec(
                "language.xml",
                (
                    *numbers,
                    TensorSpec("rows", "f32", (None, DIMENSIONS)),
                    TensorSpec("index", "i64", (None, None)),
                    TensorSpec("position_ids", "i64", (None, 3, None)),
                ),
                (OutputSpec("dense", DIMENSIONS),),
            ),
        },
        inputs=dict.fromkeys(spec.modalities, spec),
        weights="0",
        parity={
            name: {each: {"dense": {"smallest_cosine": 1.0}} for each in spec.modalities} for name in ("f32", "bf16")
        },
        cut_dimensions=(4, 8),
        examples=(
            _example("text", "a red cat", row("a red cat")),
            _example("image", toy.b64(file.getvalue()), row(picture)),
            _example("fused", written(item), row(picture, "a cat")),
        ),
        files=files,
    )
    return with_fingerprint(made)


def _example(modality: str, content: str, found: Sequence[Any] | np.ndarray) -> Example:
    return Example(modality, content, tuple(map(float, found)))


if __name__ == "__main__":
    import sys

    print(write(Path(sys.argv[1])))
