"""Every family on a small checkpoint in the hub's layout, stage by stage against the original library."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from inference import manifest
from inference.convert import parity, samples
from inference.convert.model import Vectors
from inference.serve.encoder import Encoder
from inference.serve.images import prepare
from inference.serve.texts import TextPreparer
from tests.convert.conftest import LAYOUTS, Converted

Convert = Callable[[str], Converted]
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def cosines(one: Vectors, other: Vectors) -> Vectors:
    """Of each row of the one with each of the other."""
    lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1)[None]
    return np.asarray(one @ other.T / lengths)


@every_layout
def test_the_folder_is_complete_and_nothing_else(converted: Convert, layout: str) -> None:
    made = converted(layout)
    names = {path.name for path in made.folder.iterdir()}
    assert names == {"manifest.json", "tokenizer.json", "text.xml", "text.bin", "image.xml", "image.bin"}
    read = manifest.read(made.folder)
    manifest.verify_files(made.folder, read)
    assert set(read.files) == names - {"manifest.json"}
    assert (read.tag, read.schema, read.precision) == (LAYOUTS[layout][0], manifest.SCHEMA, "fp16")
    assert read.modalities == ("text", "image")
    assert read.libraries["openvino"]


@every_layout
def test_nothing_in_the_folder_tells_where_it_was_made(converted: Convert, layout: str) -> None:
    made = converted(layout)
    for name in ("manifest.json", "text.xml", "image.xml"):
        text = (made.folder / name).read_text()
        assert str(made.folder.parent) not in text
        assert not re.search(r'"/(tmp|home|root|work|usr)/', text)


@every_layout
def test_the_figures_are_in_the_manifest(converted: Convert, layout: str) -> None:
    figures = converted(layout).manifest.parity
    assert figures["samples"] == {"texts": len(samples.TEXTS), "images": len(samples.pictures())}
    assert figures["token_ids_equal"] is True
    assert figures["pixels_largest_difference"] == 0
    for modality in ("text", "image"):
        assert figures["f32"][modality]["smallest_cosine"] >= 0.9999
        assert figures["towers"][modality]["largest_difference"] < 2e-3
        if figures["bf16"] != "not measured: this CPU has no bf16":
            assert figures["bf16"][modality]["smallest_cosine"] >= 0.999


@every_layout
def test_different_inputs_have_different_vectors(converted: Convert, layout: str) -> None:
    """Otherwise the cosines above would prove nothing."""
    model = converted(layout).model
    assert model.text is not None
    assert model.image is not None
    texts = model.text.reference.vectors(["a photo of a cat", "two blue dogs run", "0123456789", "猫が好き"])
    pictures = {picture.name: picture.data for picture in samples.pictures()}
    images = model.image.reference.vectors([pictures[name] for name in ("64×64", "grey", "palette", "RGBA")])
    for vectors in (texts, images):
        apart = cosines(vectors, vectors)[~np.eye(len(vectors), dtype=bool)]
        assert apart.mean() < 0.95
        assert apart.max() < 0.999


@every_layout
def test_the_examples_are_what_a_server_would_answer(converted: Convert, layout: str) -> None:
    made = converted(layout)
    assert made.manifest.text is not None
    assert made.manifest.image is not None
    towers = made.manifest.towers
    preparer = TextPreparer(made.folder, made.manifest.text, towers["text"])
    encoders = {name: Encoder(made.folder, tower, parity.execution("f32")) for name, tower in towers.items()}
    assert [example.modality for example in made.manifest.examples] == ["text", "text", "image"]
    for example in made.manifest.examples:
        if example.modality == "text":
            vectors = encoders["text"].encode(preparer.collate([preparer.tokenise(example.content)]))
        else:
            pixels = prepare(base64.b64decode(example.content), made.manifest.image)
            vectors = encoders["image"].encode({"pixels": pixels[None]})
        expected = np.array([example.vector], dtype=np.float32)
        assert np.linalg.norm(expected) == pytest.approx(1, abs=1e-5)
        assert cosines(vectors, expected)[0, 0] > 0.9999


@every_layout
def test_a_row_in_a_padded_batch_is_the_row_alone(converted: Convert, layout: str) -> None:
    made = converted(layout)
    assert made.manifest.text is not None
    tower = made.manifest.towers["text"]
    preparer = TextPreparer(made.folder, made.manifest.text, tower)
    encoder = Encoder(made.folder, tower, parity.execution("f32"))
    items = [preparer.tokenise(text) for text in ("", "a cat", "a long text " * 30, "one two three")]
    together = encoder.encode(preparer.collate(items))
    alone = np.concatenate([encoder.encode(preparer.collate([item])) for item in items])
    assert np.diag(cosines(together, alone)).min() > 0.99999


def test_clip_against_transformers_by_hand(converted: Convert, checkpoint: Callable[[str], Path]) -> None:
    """Without the family's own reference functions in between."""
    made, folder = converted("clip"), checkpoint("clip")
    model: CLIPModel = CLIPModel.from_pretrained(folder).eval()
    tokenizer, processor = CLIPTokenizer.from_pretrained(folder), CLIPImageProcessorPil.from_pretrained(folder)
    encoders = {
        name: Encoder(made.folder, tower, parity.execution("f32")) for name, tower in made.manifest.towers.items()
    }
    picture = samples.small_png()
    with torch.inference_mode():
        text = model.get_text_features(**tokenizer(["a cat on a mat"], return_tensors="pt")).pooler_output
        image = model.get_image_features(
            **processor(Image.open(io.BytesIO(picture)), return_tensors="pt")
        ).pooler_output
    ids = np.array([tokenizer("a cat on a mat")["input_ids"]], dtype=np.int64)
    assert cosines(encoders["text"].encode({"input_ids": ids}), text.numpy())[0, 0] > 0.99999
    assert made.manifest.image is not None
    pixels = prepare(picture, made.manifest.image)[None]
    assert cosines(encoders["image"].encode({"pixels": pixels}), image.numpy())[0, 0] > 0.99999


def test_a_folder_as_older_versions_of_the_library_wrote_it(
    tmp_path: Path, checkpoint: Callable[[str], Path], converted: Convert, few_samples: None
) -> None:
    """vocab.json and merges.txt instead of tokenizer.json, preprocessor_config.json, a torch file: as many have it."""
    from inference.convert import pipeline, recipe
    from tests import checkpoints
    from tests.convert.conftest import quiet

    older = checkpoints.as_older_versions(checkpoint("clip"), tmp_path / "older")
    assert not list(older.glob("*.safetensors"))
    made = pipeline.convert(recipe.read("openai-clip-vit-base-patch32"), older, tmp_path / "out", "fp32", quiet())
    newer = converted("clip").manifest
    assert made.precision == "fp32"
    assert (made.text, made.image) == (newer.text, newer.image)
    for one, other in zip(made.examples, newer.examples, strict=True):
        assert one.vector == pytest.approx(other.vector, abs=1e-6)
