"""EmbeddingGemma 2 against its pipeline of sentence-transformers, asked as its authors show it."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer, EmbeddingGemma2Model, Gemma4ImageProcessorPil

from multi2vec.convert import drawings, families, parity
from multi2vec.convert.errors import RecipeError, SourceError
from multi2vec.convert.families import embeddinggemma2
from multi2vec.convert.parts import embeddinggemma2_checkpoint as checkpoints
from multi2vec.convert.parts import embeddinggemma2_reference as originals
from multi2vec.convert.recipe import FusedOptions
from multi2vec.convert.references import InPrompt, Opener
from multi2vec.engine.embedder import Embedder
from multi2vec.engine.items import Item
from multi2vec.engine.preparers.layouts import lay_out
from multi2vec.engine.preparers.protocol import ROWS
from multi2vec.engine.rows import Array
from multi2vec.engine.wanted import Wanted
from multi2vec.layouts import GemmaLayout
from multi2vec.specs import Prompt
from tests.checkpoints.embeddinggemma2_layouts import PROMPTS
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS

NAME = "EmbeddingGemma 2"
LAYOUT = GemmaLayout(edge=16, pooled=2, most=70)
PLAIN = Prompt("<bos>{text}<eos>")
# Its attention looks 8 tokens far.
TEXT, LONG = "two dogs that sleep in the sun", "one two three four five six seven eight nine " * 12
WIDE, TALL, LINE = drawings.scene_file(320, 200), drawings.scene_file(90, 400), drawings.scene_file(3, 500)
ITEMS: tuple[tuple[str | bytes, ...], ...] = (
    (TEXT,),
    (LONG,),
    (WIDE,),
    (LINE,),
    (WIDE, TEXT),
    (TEXT, WIDE),
    (WIDE, TALL),
    (TALL, WIDE),
    (TEXT, WIDE, " and ", TALL, LONG),
)


def opened(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file)).convert("RGB")


def pieces(item: Sequence[str | bytes]) -> tuple[Item, ...]:
    return tuple(Item("text" if isinstance(each, str) else "image", each) for each in item)


def message(item: Sequence[str | bytes]) -> list[dict[str, Any]]:
    """The item as people give it to sentence-transformers."""
    content = [
        {"type": "text", "text": each} if isinstance(each, str) else {"type": "image", "image": opened(each)}
        for each in item
    ]
    return [{"role": "user", "content": content}]


@pytest.fixture(scope="module")
def folder(checkpoint: Callable[[str], Path]) -> Path:
    return checkpoint(NAME)


@pytest.fixture(scope="module")
def original(folder: Path) -> originals.Original:
    return originals.load(folder, Opener(), length=8192)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return checkpoints.load(folder)


@pytest.fixture(scope="module")
def served(converted: Callable[[str], Converted]) -> Any:
    with parity.opened(converted(NAME).folder, "f32") as embedder:
        yield embedder


def embed(embedder: Embedder, items: Sequence[Sequence[str | bytes]], **wanted: Any) -> Array:
    work = embedder.embed("fused", [pieces(item) for item in items], Wanted(**wanted))
    return np.stack(asyncio.run(work).rows)


def test_vectors_are_those_of_the_pipeline(served: Embedder, original: originals.Original) -> None:
    """In batches, however much shorter than the longest, and each alone; without a prompt, and with one."""
    together = embed(served, ITEMS)
    alone = np.concatenate([embed(served, [item]) for item in ITEMS])
    messages: Any = [message(item) for item in ITEMS]
    expected = original.pipeline.encode(messages, batch_size=1)
    # The folder's weights are float16.
    assert together == pytest.approx(expected, abs=1e-3)
    assert alone == pytest.approx(expected, abs=1e-3)
    prompted = original.pipeline.encode(messages, prompt_name="document", batch_size=1)
    assert embed(served, ITEMS, prompt="document") == pytest.approx(prompted, abs=1e-3)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-6)


def test_order_and_prompts_count(original: originals.Original) -> None:
    """Otherwise the test above would say little."""
    messages: Any = [message(item) for item in ITEMS]
    found = [original.pipeline.encode(messages, prompt_name=name, batch_size=1) for name in (None, "document")]
    similar = np.concatenate(found) @ np.concatenate(found).T
    assert (similar - 2 * np.eye(len(similar))).max() < 0.999


def test_the_reference_is_the_pipeline(original: originals.Original) -> None:
    prompt = Prompt(f"<bos>{PROMPTS['query']}{{text}}<eos>")
    ours = original.rows([InPrompt(pieces(item), prompt) for item in ITEMS])["dense"]
    messages: Any = [message(item) for item in ITEMS]
    named = original.pipeline.encode(messages, prompt_name="query", batch_size=1)
    assert named == pytest.approx(np.stack(ours), abs=1e-6)


def test_prompts_are_the_checkpoints(converted: Callable[[str], Converted]) -> None:
    spec = converted(NAME).manifest.spec("fused")
    assert spec.prompts == {name: Prompt(f"<bos>{prompt}{{text}}<eos>") for name, prompt in PROMPTS.items()}
    assert (spec.default_prompt, spec.without_prompt, spec.max_length) == (None, PLAIN, 8192)
    assert (spec.place, spec.before, spec.after) == ("<|image|>", "<|image>", "<image|>")
    assert spec.layout == LAYOUT


@pytest.mark.parametrize("size", [(300, 200), (64, 64), (901, 97), (10, 800), (1, 5000), (640, 480)])
def test_rows_of_a_picture_are_the_librarys(folder: Path, served: Embedder, size: tuple[int, int]) -> None:
    """Which fills each picture up to as many patches as the largest has."""
    picture = opened(drawings.scene_file(*size))
    made = Gemma4ImageProcessorPil.from_pretrained(folder)(picture, return_tensors="pt")
    library: Any = EmbeddingGemma2Model.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        rows = library.get_image_features(made["pixel_values"], made["image_position_ids"]).pooler_output[0].numpy()
    laid = lay_out([picture], LAYOUT, Image.Resampling.BICUBIC)
    parts = served.lanes["image"].parts
    assert parts is not None
    found = parts.encoder.encode(laid.arrays)[ROWS]
    assert found.shape == (laid.rows, rows.shape[1])
    assert found == pytest.approx(rows, rel=1e-2, abs=1e-2)
    assert np.abs(rows).mean() > 1


def test_tokens_are_those_of_the_parts(folder: Path, original: originals.Original) -> None:
    """Nothing stands between parts, and texts on either side of a picture do not touch each other."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    before, place, after = (tokenizer.token_to_id(token) for token in ("<|image>", "<|image|>", "<image|>"))
    rows = lay_out([opened(WIDE)], LAYOUT, Image.Resampling.BICUBIC).rows

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    for texts in (("", ""), (TEXT, ""), ("", TEXT), ("title: none | text: ", " a cat"), (" 日本 ", "🎉\n\n ")):
        joined = [2, *ids(texts[0]), before, *[place] * rows, after, *ids(texts[1]), 1]
        prepared = original.prepare(InPrompt(pieces((texts[0], WIDE, texts[1])), PLAIN))
        assert prepared["input_ids"].tolist() == joined
        assert prepared["index"][prepared["index"] > 0].tolist() == list(range(1, rows + 1))


def test_the_reference_takes_no_text_for_a_special_token(original: originals.Original) -> None:
    """Which the pipeline does: there such a text would end an item, or stand for a picture that is not there."""
    for text in ("a <eos> b", "<|image|>", "<bos>"):
        prepared = original.prepare(InPrompt(pieces((text, WIDE, TALL, text)), Prompt("<bos>find: {text}<eos>")))
        tokenizer = original.pipeline.tokenizer
        words = tokenizer.decode(prepared["input_ids"][prepared["index"] == 0])
        assert words == f"<bos>find: {text}<|image><image|><|image><image|>{text}<eos>"
        assert int((prepared["input_ids"] == 1).sum()) == 1
        assert prepared["picture 2 position_ids"].min() == 0


def test_the_reference_cuts_what_is_too_long(original: originals.Original) -> None:
    short = replace(original, length=60)
    whole = original.prepare(InPrompt(pieces((LONG,)), PLAIN))["input_ids"].tolist()
    assert short.prepare(InPrompt(pieces((LONG,)), PLAIN))["input_ids"].tolist() == [*whole[:59], 1]


def test_the_pipeline_puts_white_behind_what_is_transparent(original: originals.Original) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (100, 100), (255, 0, 0, 0)).save(file, "PNG")
    prepared = original.prepare(InPrompt(pieces((file.getvalue(),)), PLAIN))
    assert (prepared["picture 1 pixels"] == 255).all()


def test_weights_stay_in_16_bits(model: Any) -> None:
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_a_table_about_other_models_is_refused(folder: Path) -> None:
    recipe = replace(LAYOUTS[NAME].recipe, fused=FusedOptions(1, 2))
    with pytest.raises(RecipeError, match=r"\[fused\] is not for models of the family 'embeddinggemma2'"):
        families.load(recipe, folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"do_rescale": False}, "has do_rescale off"),
        ({"do_normalize": True}, "scale by 1/255 alone"),
        ({"resample": 2}, "does not resize bicubically"),
        ({"patch_size": 14}, "patches of 14 pixels, 2 to a token's side, but 16 and 2"),
    ],
)
def test_a_processor_with_other_settings_is_refused(
    folder: Path, model: Any, changes: dict[str, Any], says: str
) -> None:
    processor = Gemma4ImageProcessorPil.from_pretrained(folder, **changes)
    with pytest.raises(SourceError, match=says):
        checkpoints.layout(processor, model)


def test_a_tokenizer_of_another_kind_is_refused(folder: Path, model: Any) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.image_token = "<|audio|>"
    with pytest.raises(SourceError, match=r"<\|image>, <\|audio\|>, <image\|> are .* in one of them only"):
        checkpoints.marks(tokenizer, model)
    tokenizer.add_eos_token = False
    tokenizer.update_post_processor()
    with pytest.raises(SourceError, match="does not put <bos> before and <eos> after a text"):
        checkpoints.frame(tokenizer)


def test_a_pipeline_with_other_steps_is_refused(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    path = other / "1_Pooling" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pooling_mode": "cls"}))
    with pytest.raises(SourceError, match="does not take the mean over all tokens"):
        checkpoints.check_pipeline(other)
    modules = json.loads((other / "modules.json").read_text())
    (other / "modules.json").write_text(json.dumps(modules[:2]))
    with pytest.raises(SourceError, match="a pipeline of Transformer, Pooling, not of Transformer, Pooling, Normalize"):
        checkpoints.check_pipeline(other)


State = dict[str, torch.Tensor]


def spoilt(folder: Path, target: Path, change: Callable[[State], State], **config: Any) -> Path:
    shutil.copytree(folder, target)
    weights = target / "model.safetensors"
    save_file(change(load_file(weights)), weights, metadata={"format": "pt"})
    path = target / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return target


def without(*names: str) -> Callable[[State], State]:
    return lambda state: {name: each for name, each in state.items() if not name.startswith(names)}


@pytest.mark.parametrize(
    ("change", "config", "says"),
    [
        (lambda state: state | {"language_model.more": torch.ones(1)}, {}, "unexpected: language_model.more"),
        (lambda state: state, {"vision_config": None}, "unexpected: embed_vision"),
        (without("vision_tower.", "embed_vision."), {"vision_config": None}, "has no tower for pictures"),
        (lambda state: state, {"model_type": "gemma4"}, "of the type 'gemma4', not 'embedding_gemma2'"),
    ],
)
def test_other_weights_are_refused(
    folder: Path, tmp_path: Path, change: Callable[[State], State], config: dict[str, Any], says: str
) -> None:
    with pytest.raises(SourceError, match=says):
        checkpoints.load(spoilt(folder, tmp_path / "spoilt", change, **config))


def test_sound_is_all_that_is_left_out(folder: Path, tmp_path: Path, model: Any) -> None:
    names = set(load_file(folder / "model.safetensors"))
    left_out = {name for name in names if name.startswith(checkpoints.LEFT_OUT)}
    assert names - left_out == set(model.state_dict())
    assert left_out
    checkpoints.load(spoilt(folder, tmp_path / "silent", without(*checkpoints.LEFT_OUT)))


def test_a_checkpoint_without_prompts(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "config_sentence_transformers.json").unlink()
    assert embeddinggemma2.framed_prompts(other, PLAIN.template) == ({}, None)
