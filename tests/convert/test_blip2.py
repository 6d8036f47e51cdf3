"""BLIP-2 against the library's own forward, its processor, and its tokenizer without the `tokenizers` package."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import BertTokenizer, Blip2ForImageTextRetrieval, Blip2Processor, BlipImageProcessorPil
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

from multi2vec.convert import drawings, families, parity, samples
from multi2vec.convert.errors import SourceError
from multi2vec.engine.errors import Unsupported
from multi2vec.engine.rows import Row
from multi2vec.engine.wanted import Wanted
from tests.checkpoints.blip2_layouts import QUERIES
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS

TEXT = "a cat on a mat"
Convert = Callable[[str], Converted]
Checkpoint = Callable[[str], Path]


def embed(made: Converted, modality: str, item: Any, output: str = "dense", *, normalise: bool = True) -> Row:
    with parity.opened(made.folder, "f32") as embedder:
        (row,) = asyncio.run(embedder.embed(modality, [item], Wanted(output=output, normalise=normalise))).rows
    return row


def original(folder: Path) -> tuple[Any, Any]:
    """The library's model and processor, with pictures by PIL."""
    model: Any = Blip2ForImageTextRetrieval.from_pretrained(folder)
    tokenizer: Any = BertTokenizer.from_pretrained(folder)
    processor = Blip2Processor(BlipImageProcessorPil.from_pretrained(folder), tokenizer, num_query_tokens=QUERIES)
    return model.eval(), processor


@pytest.fixture(scope="module")
def picture() -> bytes:
    return drawings.scene_file(57, 31)


def test_the_largest_cosine_of_the_queries_is_the_models_own_score(
    converted: Convert, checkpoint: Checkpoint, picture: bytes
) -> None:
    model, processor = original(checkpoint("blip2"))
    inputs = processor(images=Image.open(io.BytesIO(picture)), text=TEXT, return_tensors="pt")
    with torch.inference_mode():
        output = model(**inputs)
    made = converted("blip2")
    text, queries = embed(made, "text", TEXT), embed(made, "image", picture, "queries")
    assert isinstance(text, np.ndarray)
    assert isinstance(queries, np.ndarray)
    assert queries.shape == (QUERIES, 64)
    assert text == pytest.approx(output.text_embeds[0].numpy(), abs=2e-3)
    assert queries == pytest.approx(output.image_embeds[0].numpy(), abs=2e-3)
    assert (queries @ text).max() == pytest.approx(output.logits_per_image.item(), abs=2e-3)


def test_the_vector_is_the_mean_of_the_queries_before_they_are_normalised(
    converted: Convert, checkpoint: Checkpoint, picture: bytes
) -> None:
    model, processor = original(checkpoint("blip2"))
    inputs = processor(images=Image.open(io.BytesIO(picture)), return_tensors="pt")
    with torch.inference_mode():
        patches = model.vision_model(**inputs).last_hidden_state
        mask = torch.ones(patches.shape[:-1], dtype=torch.long)
        states = model.qformer(model.query_tokens, encoder_hidden_states=patches, encoder_attention_mask=mask)
        queries = model.vision_projection(states.last_hidden_state)[0]
    vector, of_units = queries.mean(dim=0), torch.nn.functional.normalize(queries, dim=1).mean(dim=0)
    assert vector.norm() > 2 * of_units.norm()
    found = embed(converted("blip2"), "image", picture, normalise=False)
    assert found == pytest.approx(vector.numpy(), abs=2e-3 * vector.norm().item())


def test_a_text_has_no_queries(converted: Convert) -> None:
    with pytest.raises(Unsupported, match="it has: dense"):
        embed(converted("blip2"), "text", TEXT, "queries")


def test_a_text_that_names_the_token_of_pictures_is_text(converted: Convert, checkpoint: Checkpoint) -> None:
    """The model has no vector for that token: the library fails on such a text."""
    made = converted("blip2")
    tokenizer = BertTokenizer.from_pretrained(checkpoint("blip2"))
    mark = tokenizer.convert_tokens_to_ids("<image>")
    served = Tokenizer.from_file(str(made.folder / "tokenizer.json"))
    assert mark in tokenizer("an <image> here")["input_ids"]
    assert mark not in served.encode("an <image> here").ids
    assert tokenizer.convert_tokens_to_ids("[DEC]") in served.encode("a [DEC] here").ids
    marked = embed(made, "text", "an <image> here")
    assert isinstance(marked, np.ndarray)
    assert np.linalg.norm(marked) == pytest.approx(1)


def test_token_ids_are_those_of_the_tokenizer_in_python(
    converted: Convert, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """BERT's own tokenizer of 2018, which transformers still has; it knows the words and nothing of tokenizer.json."""
    made = converted("blip2")
    served = Tokenizer.from_file(str(made.folder / "tokenizer.json"))
    words = sorted(BertTokenizer.from_pretrained(checkpoint("blip2")).get_vocab().items(), key=lambda pair: pair[1])
    (tmp_path / "vocab.txt").write_text("\n".join(word for word, _ in words), encoding="utf-8")
    slow = BertTokenizerLegacy(str(tmp_path / "vocab.txt"))
    texts = [text for text in samples.TEXTS if len(text) < 60 and text.isascii() and "[" not in text]
    assert len(texts) > 15
    for text in texts:
        assert served.encode(text).ids == slow(text)["input_ids"], text


def test_pictures_are_squashed(converted: Convert) -> None:
    spec = converted("blip2").manifest.inputs["image"]
    assert (spec.resize, spec.height, spec.width, spec.interpolation) == ("squash", 42, 42, "bicubic")


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("config.json", {"model_type": "blip"}, "of the type 'blip', not 'blip-2'"),
        ("preprocessor_config.json", {"do_resize": False}, "has do_resize off"),
        ("preprocessor_config.json", {"size": {"shortest_edge": 42}}, "resizes the shortest edge without cropping"),
        ("preprocessor_config.json", {"rescale_factor": 1.0}, "does not scale by 1/255"),
    ],
)
def test_what_is_not_this_model_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, file: str, changes: dict[str, Any], says: str
) -> None:
    folder = shutil.copytree(checkpoint("blip2"), tmp_path / "other")
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(SourceError, match=says):
        families.load(LAYOUTS["blip2"].recipe, folder)
