"""EmbeddingGemma 2 in two graphs, against the library's model and the pipeline of sentence-transformers."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import EmbeddingGemma2Model, Gemma4ImageProcessorPil

from multi2vec.convert import drawings, tracing
from multi2vec.convert.errors import SourceError
from multi2vec.convert.model import Tower, dense, token_inputs
from multi2vec.convert.parts import attention
from multi2vec.convert.parts import embeddinggemma2 as parts
from multi2vec.convert.parts import embeddinggemma2_checkpoint as checkpoints
from multi2vec.convert.parts import embeddinggemma2_reference as originals
from multi2vec.convert.references import Opener
from multi2vec.engine.preparers.layouts.gemma_patches import GemmaRule, cut
from multi2vec.engine.rows import Array
from multi2vec.specs import TensorSpec
from tests.checkpoints.embeddinggemma2_layouts import SMALL_TEXT, embeddinggemma2

RULE = GemmaRule(most=70)
WIDTH, DIMENSIONS = SMALL_TEXT["hidden_size"], SMALL_TEXT["embedding_dim"]
# Their attention looks 8 tokens far.
TEXT, LONG = "two dogs that sleep in the sun", "one two three four five six seven eight nine " * 12
WIDE, TALL, LINE = drawings.scene_file(320, 200), drawings.scene_file(90, 400), drawings.scene_file(3, 500)
ITEMS: dict[str, originals.Item] = {
    "a text": TEXT,
    "nothing": "",
    "other characters": "日本 🎉 <b>",
    "a text far longer than attention looks": LONG,
    "a text in a prompt": f"title: none | text: {TEXT}",
    "a picture": WIDE,
    "another": TALL,
    "one that is a line": LINE,
    "a picture in a prompt": ["title: none | text: ", WIDE],
    "a picture, then a text": [WIDE, TEXT],
    "a text, then a picture": [TEXT, WIDE],
    "two pictures": [WIDE, TALL],
    "two pictures, turned round": [TALL, WIDE],
    "texts and pictures by turns": [TEXT, WIDE, " and ", TALL, LONG],
}
Graph = Callable[[Sequence[Array]], Array]


@dataclasses.dataclass(frozen=True)
class Graphs:
    """Both graphs, in float32 arithmetic."""

    vision: Graph
    language: Graph

    def vectors(self, items: Sequence[Mapping[str, Array]]) -> Array:
        """Prepared items in one batch, padded on the right, to float32 (items, dimensions)."""
        length = max(len(item["input_ids"]) for item in items)
        ids, mask, index = (np.zeros((len(items), length), dtype=np.int64) for _ in range(3))
        rows = [np.zeros((1, WIDTH), dtype=np.float32)]
        for place, item in enumerate(items):
            own = len(item["input_ids"])
            ids[place, :own], mask[place, :own] = item["input_ids"], 1
            index[place, :own] = np.where(item["index"] > 0, item["index"] + sum(map(len, rows)) - 1, 0)
            rows += self.rows(item)
        return self.language([ids, mask, np.concatenate(rows), index])

    def rows(self, item: Mapping[str, Array]) -> list[Array]:
        """The rows of each of an item's pictures."""
        ends = np.cumsum(item.get("patches", []), dtype=int)
        return [
            self.vision([item["pixels"][end - count : end], item["position_ids"][end - count : end]])
            for end, count in zip(ends, item.get("patches", []), strict=True)
        ]


def opened(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file)).convert("RGB")


def compiled(name: str, tower: Tower) -> Graph:
    model = ov.Core().compile_model(tracing.trace(name, tower), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda inputs: np.array(model(list(inputs))[0])


def graphs_of(model: Any) -> Graphs:
    patches = cut(Image.new("RGB", (300, 200)), RULE)
    vision = Tower(
        parts.Vision(model),
        (TensorSpec("pixels", "u8", (None, 768)), TensorSpec("position_ids", "i64", (None, 2))),
        (torch.tensor(patches.pixels), torch.tensor(patches.position_ids)),
        dense(WIDTH),
    )
    ids = torch.tensor([[2, 300, 301, 302, 1]] * 2)
    language = Tower(
        parts.Language(model),
        (
            *token_inputs("input_ids", "attention_mask"),
            TensorSpec("rows", "f32", (None, WIDTH)),
            *token_inputs("index"),
        ),
        (ids, torch.ones_like(ids), torch.ones(3, WIDTH), torch.tensor([[0, 1, 2, 0, 0]] * 2)),
        dense(DIMENSIONS),
    )
    return Graphs(compiled("vision", vision), compiled("language", language))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embeddinggemma2(tmp_path_factory.mktemp("embeddinggemma2") / "small")


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return checkpoints.load(folder)


@pytest.fixture(scope="module")
def original(folder: Path) -> originals.Items:
    return originals.load(folder, Opener())


@pytest.fixture(scope="module")
def graphs(model: Any) -> Graphs:
    return graphs_of(model)


@pytest.fixture(scope="module")
def expected(original: originals.Items) -> Array:
    return np.stack(original.rows(list(ITEMS.values()))["dense"])


@pytest.mark.parametrize("size", [(300, 200), (64, 64), (901, 97), (10, 800), (1, 5000), (640, 480)])
def test_rows_of_a_picture_are_the_librarys(folder: Path, graphs: Graphs, size: tuple[int, int]) -> None:
    """Which fills each picture up to as many patches as the largest has."""
    picture = opened(drawings.scene_file(*size))
    made = Gemma4ImageProcessorPil.from_pretrained(folder)(picture, return_tensors="pt")
    library: Any = EmbeddingGemma2Model.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        rows = library.get_image_features(made["pixel_values"], made["image_position_ids"]).pooler_output[0].numpy()
    patches = cut(picture, RULE)
    found = graphs.vision([patches.pixels, patches.position_ids])
    assert found.shape == (patches.rows, WIDTH)
    assert found == pytest.approx(rows, abs=2e-4)
    assert np.abs(rows).mean() > 1


def test_vectors_are_those_of_the_pipeline(graphs: Graphs, original: originals.Items, expected: Array) -> None:
    """All in one batch, however much shorter than the longest, and each alone."""
    prepared = [original.prepare(item) for item in ITEMS.values()]
    together = graphs.vectors(prepared)
    alone = np.concatenate([graphs.vectors([item]) for item in prepared])
    assert together == pytest.approx(expected, abs=5e-6)
    assert alone == pytest.approx(expected, abs=5e-6)
    assert np.linalg.norm(expected, axis=1) == pytest.approx(1, abs=1e-6)


def test_items_are_clearly_different(expected: Array) -> None:
    """Also those of the same parts in another order: otherwise the tests above would say little."""
    similar = expected @ expected.T - 2 * np.eye(len(expected))
    assert similar.max() < 0.998


def test_pictures_are_cut_as_the_pipeline_does(original: originals.Items) -> None:
    prepared = original.prepare([WIDE, TEXT, TALL])
    made = [cut(opened(each), RULE) for each in (WIDE, TALL)]
    assert prepared["patches"].tolist() == [len(each.pixels) for each in made]
    assert np.array_equal(prepared["pixels"], np.concatenate([each.pixels for each in made]))
    assert np.array_equal(prepared["position_ids"], np.concatenate([each.position_ids for each in made]))
    assert prepared["index"].max() == sum(each.rows for each in made)


def test_the_pipeline_puts_white_behind_what_is_transparent(original: originals.Items) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (100, 100), (255, 0, 0, 0)).save(file, "PNG")
    assert (original.prepare(file.getvalue())["pixels"] == 255).all()


def test_tokens_are_those_of_the_parts(folder: Path, model: Any, original: originals.Items) -> None:
    """Nothing stands between parts, and texts on either side of a picture do not touch each other."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    first: Any = original.pipeline[0]
    before, place, after = checkpoints.marks(first.processor.tokenizer, model)

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    for texts in (("", ""), (TEXT, ""), ("", TEXT), ("title: none | text: ", " a cat"), (" 日本 ", "🎉\n\n ")):
        rows = cut(opened(WIDE), RULE).rows
        joined = [2, *ids(texts[0]), before, *[place] * rows, after, *ids(texts[1]), 1]
        prepared = original.prepare([texts[0], WIDE, texts[1]])
        assert prepared["input_ids"].tolist() == joined
        assert prepared["index"][prepared["index"] > 0].tolist() == list(range(1, rows + 1))
    assert original.prepare(TEXT)["input_ids"].tolist() == [2, *ids(TEXT), 1]


def test_a_prompt_stands_in_front(original: originals.Items) -> None:
    """In front of pictures as well, and it counts in the mean."""
    picture = {"image": opened(WIDE)}
    named = original.pipeline.encode([{"text": TEXT}, picture], prompt_name="document")  # type: ignore[arg-type]
    ours = original.rows([f"title: none | text: {TEXT}", ["title: none | text: ", WIDE]])["dense"]
    assert named == pytest.approx(np.stack(ours), abs=1e-6)


def test_weights_may_stay_in_16_bits(folder: Path, original: originals.Items, expected: Array) -> None:
    kept: Any = checkpoints.SeeingModel.from_pretrained(folder, dtype=torch.bfloat16)
    attention.use(kept)
    graphs = graphs_of(kept.eval().requires_grad_(False))
    found = graphs.vectors([original.prepare(item) for item in ITEMS.values()])
    assert found == pytest.approx(expected, abs=5e-6)


def test_settings(folder: Path, model: Any, original: originals.Items) -> None:
    checkpoints.check_pipeline(folder)
    assert checkpoints.rule(Gemma4ImageProcessorPil.from_pretrained(folder), model) == RULE
    first: Any = original.pipeline[0]
    tokens = first.processor.tokenizer.convert_ids_to_tokens(checkpoints.marks(first.processor.tokenizer, model))
    assert tokens == ["<|image>", "<|image|>", "<image|>"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"do_rescale": False}, "has do_rescale off"),
        ({"do_normalize": True}, "scale by 1/255 alone"),
        ({"resample": 2}, "does not resize bicubically"),
        ({"patch_size": 14}, "patches of 14 pixels, 3 to a token's side, but 16 and 3"),
    ],
)
def test_a_processor_with_other_settings_is_refused(
    folder: Path, model: Any, changes: dict[str, Any], says: str
) -> None:
    processor = Gemma4ImageProcessorPil.from_pretrained(folder, **changes)
    with pytest.raises(SourceError, match=says):
        checkpoints.rule(processor, model)


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
        (without("vision_tower.encoder.layers.1."), {}, "missing: vision_tower.encoder.layers.1"),
        (without("language_model.layers.0.layer_scalar"), {}, "missing: language_model.layers.0.layer_scalar"),
        (lambda state: state | {"language_model.more": torch.ones(1)}, {}, "unexpected: language_model.more"),
        (
            lambda state: state | {"language_model.norm.weight": torch.ones(5)},
            {},
            r"of another shape: language_model.norm.weight \[5\] for \[64\]",
        ),
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
