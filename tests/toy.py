"""A toy model: two graphs of a few KB instead of mocks, so that tests run the real encoder on real files.

A picture's vector depends on its colours and on where they are; a text's on its tokens, not on its padding. Both can be
computed by hand, see `text_vector` and `picture_vector`.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from multi2vec.manifest import FILE_NAME, SCHEMA, Example, Manifest, Source, read, sha256, with_fingerprint
from multi2vec.specs import OutputSpec, PictureSpec, Prompt, TensorSpec, TextSpec, TowerSpec

SIDE = 8
DIMENSIONS = 16
MAX_LENGTH = 12
WORDS = ("<pad>", "<s>", "</s>", "<unk>", *"a the red green blue dark light cat dog bird sun sea one two three".split())

TEXT = TextSpec(tower="text", max_length=MAX_LENGTH, pad_id=0, clean=("collapse_whitespace", "lower"))
PROMPTS = {
    "query": Prompt("one {text}"),
    "passage": Prompt("two {text}"),
    "ask": Prompt("{task} {text}", task="the sun"),
}
PICTURE = PictureSpec(tower="image", height=SIDE, width=SIDE, resize="shortest")
FIGURES = {modality: {"dense": {"smallest_cosine": 1.0}} for modality in ("text", "image")}


def weights(seed: int, *shape: int) -> np.ndarray:
    """Drawn from the seed, float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


TEXT_WEIGHTS = weights(1, len(WORDS), DIMENSIONS)
PICTURE_WEIGHTS = weights(2, SIDE * SIDE * 3, DIMENSIONS)


def text_tower(dimensions: int = DIMENSIONS) -> ov.Model:
    """ids, mask (B, L) → the sum of the tokens' vectors (B, D)."""
    ids = op.parameter([-1, -1], ov.Type.i64, name="input_ids")
    mask = op.parameter([-1, -1], ov.Type.i64, name="attention_mask")
    rows = op.gather(op.constant(TEXT_WEIGHTS[:, :dimensions]), ids, op.constant(0))
    weights = op.unsqueeze(op.convert(mask, "f32"), op.constant(2))
    return named(ov.Model([op.reduce_sum(op.multiply(rows, weights), op.constant(1), False)], [ids, mask], "toy_text"))


def picture_tower(dimensions: int = DIMENSIONS) -> ov.Model:
    """pixels (B, SIDE, SIDE, 3) → a linear map of them, scaled to 0..1 (B, D)."""
    pixels = op.parameter([-1, SIDE, SIDE, 3], ov.Type.u8, name="pixels")
    flat = op.reshape(op.convert(pixels, "f32"), op.constant([-1, SIDE * SIDE * 3]), False)
    scaled = op.divide(flat, op.constant(np.float32(255)))
    vectors = op.matmul(scaled, op.constant(PICTURE_WEIGHTS[:, :dimensions]), False, False)
    return named(ov.Model([vectors], [pixels], "toy_picture"))


def named(graph: ov.Model, *names: str) -> ov.Model:
    """The graph with names for its outputs."""
    for output, name in zip(graph.outputs, names or ("dense",), strict=True):
        output.get_tensor().set_names({name})
    return graph


def tokenizer(
    words: Sequence[str] = WORDS, normalizer: Any = normalizers.NFC(), words_of: Any = pre_tokenizers.Whitespace()
) -> Tokenizer:
    """One token per known word; the words begin with padding, start, end and unknown."""
    toy = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    toy.normalizer = normalizer
    toy.pre_tokenizer = words_of
    toy.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return toy


def text_vector(text: str, dimensions: int = DIMENSIONS) -> np.ndarray:
    """The text's vector at unit length, float32 (dimensions,)."""
    return _unit(text_row(text, dimensions))


def text_row(text: str, dimensions: int = DIMENSIONS) -> np.ndarray:
    """What the text tower gives, float32 (dimensions,)."""
    words = [word if word in WORDS else "<unk>" for word in text.lower().split()][: MAX_LENGTH - 2]
    ids = [WORDS.index(word) for word in ("<s>", *words, "</s>")]
    return np.asarray(TEXT_WEIGHTS[ids, :dimensions].sum(axis=0))


def picture_vector(image: Image.Image, dimensions: int = DIMENSIONS) -> np.ndarray:
    """The vector of a picture of SIDE by SIDE pixels at unit length, float32 (dimensions,)."""
    return _unit(picture_row(image, dimensions))


def picture_row(image: Image.Image, dimensions: int = DIMENSIONS) -> np.ndarray:
    """What the picture tower gives for a picture of SIDE by SIDE pixels, float32 (dimensions,)."""
    flat = np.asarray(image.convert("RGB"), dtype=np.float32).reshape(-1) / 255
    return np.asarray(flat @ PICTURE_WEIGHTS[:, :dimensions])


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def picture(seed: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def png(image: Image.Image) -> bytes:
    """The picture as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def b64(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode()


def write(folder: Path, *, tag: str = "toy", dimensions: int = DIMENSIONS) -> Path:
    """Write the toy's model folder."""
    folder.mkdir(parents=True, exist_ok=True)
    ov.save_model(text_tower(dimensions), folder / "text.xml", compress_to_fp16=False)
    ov.save_model(picture_tower(dimensions), folder / "image.xml", compress_to_fp16=False)
    tokenizer().save(str(folder / "tokenizer.json"))
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != FILE_NAME}
    (folder / FILE_NAME).write_text(manifest(files, tag, dimensions).to_json())
    return folder


def write_texts(folder: Path, *, tag: str = "toy-texts", text: TextSpec = TEXT) -> Path:
    """Write the model folder of the text tower alone. Its vectors may be cut to 4 and 8 numbers."""
    whole = read(write(folder, tag=tag))
    for path in folder.glob("image.*"):
        path.unlink()
    prompt = text.prompts.get(text.default_prompt or "", Prompt("{text}"))
    (example,) = whole.examples_of("text")
    row = text_row(prompt.template.replace("{text}", example.content))
    made = dataclasses.replace(
        whole,
        cut_dimensions=(4, 8),
        towers={"text": whole.towers["text"]},
        inputs={"text": text},
        examples=(dataclasses.replace(example, vector=tuple(map(float, row))),),
        files={name: digest for name, digest in whole.files.items() if (folder / name).exists()},
    )
    (folder / FILE_NAME).write_text(with_fingerprint(made).to_json())
    return folder


def manifest(files: dict[str, str], tag: str = "toy", dimensions: int = DIMENSIONS) -> Manifest:
    """The toy's manifest."""
    outputs = (OutputSpec("dense", dimensions),)
    ids, mask = TensorSpec("input_ids", "i64", (None, None)), TensorSpec("attention_mask", "i64", (None, None))
    example = picture(99)
    made = Manifest(
        schema=SCHEMA,
        tag=tag,
        family="toy",
        sources=(Source("tests/toy.py"),),
        licence="Apache-2.0",
        languages=("en",),
        dimensions=dimensions,
        normalise=True,
        precision="fp32",
        towers={
            "text": TowerSpec("text.xml", (ids, mask), outputs),
            "image": TowerSpec("image.xml", (TensorSpec("pixels", "u8", (None, SIDE, SIDE, 3)),), outputs),
        },
        inputs={"text": TEXT, "image": PICTURE},
        weights="0",
        parity={"f32": FIGURES, "bf16": FIGURES},
        examples=(
            Example("text", "a red cat", tuple(map(float, text_row("a red cat", dimensions)))),
            Example("image", b64(png(example)), tuple(map(float, picture_row(example, dimensions)))),
        ),
        files=files,
    )
    return with_fingerprint(made)


if __name__ == "__main__":
    import sys

    print(write(Path(sys.argv[1])))
