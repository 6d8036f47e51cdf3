"""ModernVBERT against the library by hand, and texts against sentence-transformers."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import Idefics3ImageProcessorPil, Idefics3Processor, ModernVBertModel, PreTrainedTokenizerFast

from multi2vec.convert import drawings, families, parity, samples
from multi2vec.convert.errors import SourceError
from multi2vec.engine.preparers.tiles import expanded
from multi2vec.engine.wanted import Wanted
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS

PROMPT = "<|begin_of_text|>User:<image>Describe the image.<end_of_utterance>\nAssistant:"
# By the grids of 48 px tiles that they become.
GRIDS = {"1×2": (64, 20), "2×1": (20, 64), "2×2": (64, 64)}
# 6×6 patches, of which 2×2 become a token.
PLACES = 9
Convert = Callable[[str], Converted]
Checkpoint = Callable[[str], Path]


def embed(made: Converted, modality: str, items: Sequence[Any], **wanted: Any) -> np.ndarray:
    with parity.opened(made.folder, "f32") as embedder:
        return np.asarray(asyncio.run(embedder.embed(modality, items, Wanted(**wanted))).rows)


def processor_of(folder: Path, side: str) -> Any:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, padding_side=side)
    return Idefics3Processor(Idefics3ImageProcessorPil.from_pretrained(folder), tokenizer, image_seq_len=PLACES)


def by_hand(folder: Path, inputs: Any) -> np.ndarray:
    """The mean over all tokens, special ones and places of pictures included."""
    model: Any = ModernVBertModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        states = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][:, :, None]
    vectors = (states * mask).sum(dim=1) / mask.sum(dim=1)
    return np.asarray(torch.nn.functional.normalize(vectors, dim=1))


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return [drawings.scene_file(width, height) for width, height in GRIDS.values()]


@pytest.mark.parametrize("side", ["left", "right"])
def test_pictures_of_different_tiles_in_one_batch(
    converted: Convert, checkpoint: Checkpoint, pictures: list[bytes], side: str
) -> None:
    """The original pads on the left, ours on the right, and alone there is no padding: it is all the same."""
    opened = [[Image.open(io.BytesIO(each)).convert("RGB")] for each in pictures]
    processor = processor_of(checkpoint("modernvbert"), side)
    inputs = processor(text=[PROMPT] * len(opened), images=opened, padding="longest", return_tensors="pt")
    expected = by_hand(checkpoint("modernvbert"), inputs)
    made = converted("modernvbert")
    together = embed(made, "image", pictures)
    alone = np.concatenate([embed(made, "image", [each]) for each in pictures])
    assert (together * expected).sum(axis=1).min() > 0.99999
    assert (alone * expected).sum(axis=1).min() > 0.99999
    assert (expected[0] * expected[1]).sum() < 0.99


def test_texts_are_those_of_sentence_transformers(converted: Convert, checkpoint: Checkpoint) -> None:
    """Which knows nothing of the package that the model was trained with, and takes the mean where nothing else is
    said."""
    pipeline = SentenceTransformer(str(checkpoint("modernvbert")), device="cpu")
    texts = [text for text in samples.TEXTS if len(text) < 60]
    expected = pipeline.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    found = embed(converted("modernvbert"), "text", texts)
    assert (found * expected).sum(axis=1).min() > 0.99999


def test_a_short_text_beside_one_beyond_the_window_of_its_attention(converted: Convert) -> None:
    """Its padding sees no token at all in the layers that look 8 tokens far, and must not spoil the rest."""
    texts = ["a cat", "one two three four five six seven eight nine " * 20]
    found = embed(converted("modernvbert"), "text", texts)
    assert np.isfinite(found).all()
    assert found[:1] == pytest.approx(embed(converted("modernvbert"), "text", texts[:1]), abs=1e-3)


def test_vectors_have_unit_length_whatever_is_wanted(converted: Convert, pictures: list[bytes]) -> None:
    """The original normalises too."""
    made = converted("modernvbert")
    for modality, items in (("text", ["a cat"]), ("image", pictures)):
        lengths = np.linalg.norm(embed(made, modality, items, normalise=False), axis=1)
        assert lengths == pytest.approx(1, abs=1e-5)


def test_the_prompt_of_every_grid(converted: Convert, checkpoint: Checkpoint) -> None:
    processor = processor_of(checkpoint("modernvbert"), "left")
    tiles = converted("modernvbert").manifest.inputs["image"].tiles
    assert set(tiles.prompts) == set(GRIDS)
    for grid, size in GRIDS.items():
        inputs = processor(text=[PROMPT], images=[[Image.new("RGB", size)]])
        ids = expanded(tiles.prompts[grid], tiles)
        assert ids.tolist() == inputs["input_ids"][0]
        rows, columns = map(int, grid.split("×"))
        assert (ids == tiles.place).sum() == (rows * columns + 1) * PLACES


def test_the_tokenizer_is_the_checkpoints(converted: Convert, checkpoint: Checkpoint) -> None:
    """Read without transformers."""
    served = Tokenizer.from_file(str(converted("modernvbert").folder / "tokenizer.json"))
    own = Tokenizer.from_file(str(checkpoint("modernvbert") / "tokenizer.json"))
    for text in samples.TEXTS:
        assert served.encode(text).ids == own.encode(text).ids


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("config.json", {"model_type": "smolvlm"}, "of the type 'smolvlm', not 'modernvbert'"),
        ("config.json", {"image_token_id": 5}, "processor and model do not fit: .* but 48 and 5"),
        ("preprocessor_config.json", {"do_image_splitting": False}, "has do_image_splitting off"),
        ("preprocessor_config.json", {"max_image_size": {"longest_edge": 56}}, "tiles of 56 pixels"),
        ("preprocessor_config.json", {"size": {"longest_edge": 5000}}, "does not resize the longest edge up to 4096"),
    ],
)
def test_what_is_not_this_model_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, file: str, changes: dict[str, Any], says: str
) -> None:
    folder = shutil.copytree(checkpoint("modernvbert"), tmp_path / "other")
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(SourceError, match=says):
        families.load(LAYOUTS["modernvbert"].recipe, folder)
