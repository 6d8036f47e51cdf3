"""SigLIP against the library by hand: padding without a mask, squashed pictures, texts in lower case."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import GemmaTokenizer, SiglipModel, SiglipTokenizer

from multi2vec.convert import drawings, families, parity
from multi2vec.convert.errors import RecipeError, SourceError
from multi2vec.convert.parts import sentencepiece_files, siglip_vocabulary
from multi2vec.convert.recipe import TextOptions
from multi2vec.engine.wanted import Wanted
from tests.checkpoints.common import change_json
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS

CONTEXT = 64
SIGLIP_2 = "siglip 2"
TEXTS = ["a photo of a cat", "two dogs, playing in the snow!", "猫が好き"]
Convert = Callable[[str], Converted]
Checkpoint = Callable[[str], Path]


def embed(made: Converted, modality: str, items: Sequence[Any]) -> np.ndarray:
    with parity.opened(made.folder, "f32") as embedder:
        return np.asarray(asyncio.run(embedder.embed(modality, items, Wanted(normalise=True))).rows)


def served_tokenizer(made: Converted) -> Tokenizer:
    return Tokenizer.from_file(str(made.folder / "tokenizer.json"))


def by_hand(folder: Path, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """The text tower's vectors at unit length, for token ids that are filled up with zeros."""
    model: Any = SiglipModel.from_pretrained(folder).eval()
    padded = torch.tensor([[*row, *[0] * (CONTEXT - len(row))] for row in ids])
    with torch.inference_mode():
        vectors = model.get_text_features(padded).pooler_output
    return np.asarray(torch.nn.functional.normalize(vectors, dim=1))


def test_texts_are_padded_to_64_tokens_that_attention_sees(converted: Convert, checkpoint: Checkpoint) -> None:
    made = converted(SIGLIP_2)
    spec, (tokens,) = made.manifest.inputs["text"], made.manifest.towers["text"].inputs
    assert (spec.padding, spec.max_length, spec.pad_id) == ("fixed", CONTEXT, 0)
    assert tokens.shape == (None, CONTEXT)
    ids = [served_tokenizer(made).encode(text).ids for text in TEXTS]
    expected = by_hand(checkpoint(SIGLIP_2), ids)
    assert (embed(made, "text", TEXTS) * expected).sum(axis=1).min() > 0.99999


def test_a_mask_or_less_padding_would_give_other_vectors(checkpoint: Checkpoint) -> None:
    """Otherwise the test above would prove nothing."""
    model: Any = SiglipModel.from_pretrained(checkpoint(SIGLIP_2)).eval()
    short = torch.tensor([[20, 21, 22, 1]])
    padded = torch.nn.functional.pad(short, (0, CONTEXT - short.shape[1]))
    with torch.inference_mode():
        whole, masked, alone = (
            model.get_text_features(ids, mask).pooler_output
            for ids, mask in ((padded, None), (padded, (padded != 0).long()), (short, None))
        )
    for other in (masked, alone):
        assert torch.nn.functional.cosine_similarity(whole, other).item() < 0.99


def test_siglip_2_takes_texts_in_lower_case(converted: Convert, checkpoint: Checkpoint) -> None:
    """As it was trained. The tokenizer that the checkpoint names does not do it."""
    served = served_tokenizer(converted(SIGLIP_2))
    named = GemmaTokenizer.from_pretrained(checkpoint(SIGLIP_2))
    text = "A Photo of a CAT, in Ångström's HOUSE"
    assert served.encode(text).ids == served.encode(text.lower()).ids == named(text.lower())["input_ids"]
    assert served.encode(text).ids != named(text)["input_ids"]


@pytest.fixture(scope="module")
def slow(checkpoint: Checkpoint) -> Any:
    """SigLIP's own tokenizer, in Python around sentencepiece."""
    return SiglipTokenizer.from_pretrained(checkpoint("siglip"), model_max_length=CONTEXT)


HARD = [
    "A Photo, of: a CAT!",
    "  spaces   in front",
    "ΟΔΥΣΣΕΥΣ",
    "。！（１） … ½",
    "e\u0301 o\u0328\u0302 ﾊﾟ \u1112\u1161\u11ab ﬁ\u0301",
    "x </s> y <unk> z",
    "= \u0338 =\u0338",
    "\x1cfile\x07bell\u00a0space",
    "▁a▁b",
]


@pytest.mark.parametrize("text", HARD)
def test_siglips_own_tokenizer_removes_punctuation_and_capitals(converted: Convert, slow: Any, text: str) -> None:
    (ids,) = converted("siglip").prepared("text", "input_ids", [text])
    assert ids.tolist() == slow(text, truncation=True)["input_ids"]


def test_siglips_texts_are_padded_with_their_end_token(converted: Convert) -> None:
    spec = converted("siglip").manifest.inputs["text"]
    assert (spec.padding, spec.max_length, spec.pad_id) == ("fixed", CONTEXT, 1)
    assert (spec.clean, spec.characters) == (("lead_with_mark", "lower"), "characters.json")


def test_the_compiled_table_of_characters(checkpoint: Checkpoint) -> None:
    """Some entries of what sentencepiece calls nmt_nfkc, NFKC with a few of its own."""
    table = dict(siglip_vocabulary.entries(sentencepiece_files.read(checkpoint("siglip") / "spiece.model").characters))
    plain = {key: value for key, value in table.items() if unicodedata.normalize("NFKC", key) == value}
    assert len(table) > 100_000
    assert len(plain) > 0.99 * len(table)
    assert (table["ﬁ"], table["ﾊﾟ"], table["\u0007"], table["\u200b"]) == ("fi", "パ", "", " ")


def test_texts_that_are_cut_keep_their_end_token(converted: Convert) -> None:
    made = converted(SIGLIP_2)
    (ids,) = made.prepared("text", "input_ids", ["one two three " * 60])
    end = served_tokenizer(made).token_to_id("<eos>")
    assert len(ids) == CONTEXT
    assert ids[-1] == end
    assert end not in ids[:-1]


@pytest.mark.parametrize("size", [(57, 31), (7, 200), (48, 48), (1, 1)])
def test_pictures_are_squashed(converted: Convert, size: tuple[int, int]) -> None:
    """By hand: Pillow's resize of both edges at once; SigLIP 2 declares the bilinear filter."""
    made = converted(SIGLIP_2)
    spec = made.manifest.inputs["image"]
    assert (spec.resize, spec.height, spec.width, spec.interpolation) == ("squash", 48, 48, "bilinear")
    data = drawings.scene_file(*size)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((48, 48), Image.Resampling.BILINEAR))
    (pixels,) = made.prepared("image", "pixels", [data])
    assert np.array_equal(pixels, expected)


def test_pixels_are_scaled_to_minus_one_to_one(converted: Convert, checkpoint: Checkpoint) -> None:
    """Mean and standard deviation are one half."""
    black, white = (Image.new("RGB", (48, 48), colour) for colour in ("black", "white"))
    model: Any = SiglipModel.from_pretrained(checkpoint(SIGLIP_2)).eval()
    with torch.inference_mode():
        pixels = torch.ones(2, 3, 48, 48) * torch.tensor([-1.0, 1.0])[:, None, None, None]
        vectors = torch.nn.functional.normalize(model.get_image_features(pixels).pooler_output, dim=1).numpy()
    assert (embed(converted(SIGLIP_2), "image", [black, white]) * vectors).sum(axis=1).min() > 0.99999


def test_another_length_of_texts_is_refused(checkpoint: Checkpoint) -> None:
    shorter = dataclasses.replace(LAYOUTS[SIGLIP_2].recipe, text=TextOptions(max_length=32))
    with pytest.raises(RecipeError, match="max_length is 32, but a SigLIP takes 64 always"):
        families.load(shorter, checkpoint(SIGLIP_2))


def test_a_tokenizer_without_an_end_token_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint(SIGLIP_2), tmp_path / "other")
    change_json(folder / "tokenizer.json", post_processor=None)
    change_json(folder / "tokenizer_config.json", add_eos_token=False)
    with pytest.raises(SourceError, match="does not end texts with '<eos>'"):
        families.load(LAYOUTS[SIGLIP_2].recipe, folder)


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("config.json", {"model_type": "siglip2"}, "of the type 'siglip2', not 'siglip'"),
        ("tokenizer_config.json", {"tokenizer_class": "BertTokenizer"}, "names the tokenizer 'BertTokenizer'"),
        ("tokenizer_config.json", {"padding_side": "left"}, "and pad behind it"),
        ("preprocessor_config.json", {"do_resize": False}, "has do_resize off"),
    ],
)
def test_what_is_not_this_model_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, file: str, changes: dict[str, Any], says: str
) -> None:
    folder = shutil.copytree(checkpoint(SIGLIP_2), tmp_path / "other")
    change_json(folder / file, **changes)
    with pytest.raises(SourceError, match=says):
        families.load(LAYOUTS[SIGLIP_2].recipe, folder)
