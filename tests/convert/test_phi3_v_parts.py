"""Phi-3-V's two towers, in torch and in OpenVINO, against the original's steps on a small checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import LlamaTokenizer
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from multi2vec.convert import sixteen_bits, tracing
from multi2vec.convert.errors import SourceError
from multi2vec.convert.model import Tower, dense, token_inputs
from multi2vec.convert.parts import phi3_v, phi3_v_checkpoint, phi3_v_reference
from multi2vec.convert.parts.phi3_v_reference import Original
from multi2vec.engine.preparers.layouts import hd
from multi2vec.specs import OutputSpec, TensorSpec
from tests.checkpoints.phi3_v_layouts import phi3_v as write
from tests.convert.phi3_v_prompts import PROMPTS, Pieces

SIZE = 64
LAST = "model-00002-of-00002.safetensors"
# By tiles (high, wide): width and height of a picture.
PICTURES = {(2, 2): (640, 480), (1, 4): (2000, 30), (4, 1): (30, 2000)}
TEXT = "<|image_1|> Represent the given image."

Graph = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("phi3") / "small")


@pytest.fixture(scope="module")
def original(folder: Path) -> Original:
    return phi3_v_reference.load(folder, 4)


@pytest.fixture(scope="module")
def vision(folder: Path) -> phi3_v.Vision:
    return phi3_v.Vision(sixteen_bits.widened(phi3_v_checkpoint.load(folder)))


@pytest.fixture(scope="module")
def language(folder: Path) -> phi3_v.Language:
    return phi3_v.Language(sixteen_bits.widened(phi3_v_checkpoint.load(folder)))


@pytest.fixture(scope="module")
def vision_graph(folder: Path) -> Graph:
    tower = Tower(
        phi3_v.Vision(phi3_v_checkpoint.load(folder)),
        (TensorSpec("pixels", "u8", (None, None, 3)),),
        (torch.zeros(672, 1008, 3, dtype=torch.uint8),),
        (OutputSpec("rows", SIZE),),
    )
    return compiled(tower)


@pytest.fixture(scope="module")
def language_graph(folder: Path) -> Graph:
    ids = torch.ones(2, 8, dtype=torch.int64)
    tower = Tower(
        phi3_v.Language(phi3_v_checkpoint.load(folder)),
        (
            *token_inputs("input_ids", "attention_mask"),
            TensorSpec("rows", "f32", (None, SIZE)),
            *token_inputs("index"),
        ),
        (ids, ids, torch.zeros(3, SIZE), torch.tensor([[0, 1, 2, 0, 0, 0, 0, 0]] * 2)),
        dense(SIZE),
    )
    return compiled(tower)


def compiled(tower: Tower) -> Graph:
    graph = ov.compile_model(tracing.trace("small", tower), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda *inputs: np.array(graph([np.ascontiguousarray(each) for each in inputs])[0])


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 10_000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def tokens(original: Original, text: str, *pictures: Image.Image) -> tuple[np.ndarray, ...]:
    """Token ids, mask, rows and index of one item, as the language tower takes them, with the original's rows."""
    inputs = original.inputs(text, pictures)
    ids = inputs.ids.numpy()[None]
    rows = [original.rows(pixels) for pixels in inputs.pixels]
    index = np.where(ids < 0, (ids < 0).cumsum(axis=1), 0)
    return ids.clip(0), np.ones_like(ids), np.concatenate([np.zeros((1, SIZE), np.float32), *rows]), index


def run(module: torch.nn.Module, *inputs: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(module(*(torch.tensor(each) for each in inputs)))


@pytest.mark.parametrize(("tiles", "size"), PICTURES.items())
def test_rows_are_the_originals(
    original: Original, vision: phi3_v.Vision, vision_graph: Graph, tiles: tuple[int, int], size: tuple[int, int]
) -> None:
    pixels = hd.tiled(noise(*size), 4)
    assert (pixels.shape[0] // 336, pixels.shape[1] // 336) == tiles
    expected = original.rows(original.inputs(TEXT, [noise(*size)]).pixels[0])
    assert len(expected) == hd.rows_of(*pixels.shape[:2])
    assert run(vision, pixels) == pytest.approx(expected, abs=1e-4)
    assert vision_graph(pixels) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("tiles", [(1, 1), (2, 2), (1, 4), (4, 4), (5, 3)])
def test_the_graph_takes_any_number_of_tiles(
    vision: phi3_v.Vision, vision_graph: Graph, tiles: tuple[int, int]
) -> None:
    pixels = np.asarray(noise(tiles[1] * 336, tiles[0] * 336))
    found = vision_graph(pixels)
    assert len(found) == hd.rows_of(*pixels.shape[:2])
    assert found == pytest.approx(run(vision, pixels), abs=2e-4)


def test_vectors_are_the_originals(original: Original, language: phi3_v.Language, language_graph: Graph) -> None:
    pictures = [noise(640, 480), noise(2000, 30)]
    items: list[tuple[str, list[Image.Image]]] = [
        ("", []),
        ("Find me an everyday image that matches the given caption: A cat and a dog.", []),
        (TEXT, pictures[:1]),
        ("<|image_1|>\n<|image_2|> Represent the given images.", pictures),
        ("What is in <|image_1|>?", pictures[1:]),
    ]
    expected = [original.vector(original.inputs(text, shown)) for text, shown in items]
    for (text, shown), vector in zip(items, expected, strict=True):
        inputs = tokens(original, text, *shown)
        assert run(language, *inputs)[0] == pytest.approx(vector, abs=1e-5)
        assert language_graph(*inputs)[0] == pytest.approx(vector, abs=1e-4)
    unit = np.stack(expected) / np.linalg.norm(expected, axis=1, keepdims=True)
    # Different inputs have different vectors, or all of this would say little.
    assert np.triu(unit @ unit.T, 1).max() < 0.98


def test_an_item_in_a_batch_has_the_vector_that_it_has_alone(original: Original, language_graph: Graph) -> None:
    short, long = tokens(original, "a cat"), tokens(original, TEXT, noise(640, 480))
    missing = long[0].shape[1] - short[0].shape[1]
    ids, mask, index = (
        np.concatenate([np.pad(short[each], ((0, 0), (0, missing)), constant_values=filler), long[each]])
        for each, filler in ((0, 800), (1, 0), (3, 0))
    )
    together = language_graph(ids, mask, long[2], index)
    alone = np.concatenate([language_graph(*short), language_graph(*long)])
    assert together == pytest.approx(alone, abs=2e-5)


@pytest.mark.parametrize(("text", "pieces"), PROMPTS.items())
def test_each_piece_around_a_picture_is_tokenised_alone(
    folder: Path, original: Original, text: str, pieces: Pieces
) -> None:
    """The tokenizer's file says what a server will make of it: a mark before each piece, before its space too."""
    served = Tokenizer.from_file(str(folder / "tokenizer.json"))
    pictures = [noise(640, 480), noise(2000, 30)][: sum(isinstance(piece, int) for piece in pieces)]
    expected: list[int] = []
    for piece in pieces:
        if isinstance(piece, str):
            expected += [1, *served.encode(piece, add_special_tokens=False).ids]
        else:
            expected += [-piece] * (757, 745)[piece - 1]
    assert original.inputs(text, pictures).ids.tolist() == expected


def test_a_space_at_the_beginning_has_a_mark_before_it(folder: Path) -> None:
    """So it does in the file, but not in Llama's tokenizer as transformers 5 builds it out of the same vocabulary."""
    served = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert served.encode(" a").tokens == ["<s>", "▁", "▁a"]
    assert LlamaTokenizer.from_pretrained(folder).tokenize(" a") == ["▁a"]


@pytest.mark.parametrize("length", [1, 4096])
def test_positions_are_the_librarys_with_short_factors(folder: Path, length: int) -> None:
    config = phi3_v_checkpoint.text_config(folder)
    frequencies, factor = ROPE_INIT_FUNCTIONS["longrope"](config, seq_len=length)
    rope = phi3_v.ShortRope(config)
    assert torch.equal(rope.frequencies, frequencies)
    assert rope.factor == factor == pytest.approx(1.1902380714)


def test_weights_stay_in_16_bits(folder: Path) -> None:
    assert {each.dtype for each in phi3_v_checkpoint.load(folder).state_dict().values()} == {torch.bfloat16}


def changed(folder: Path, target: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """A copy of the checkpoint, the file changed that has the tensor of that name, or else the last one."""
    copy = shutil.copytree(folder, target)
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    path = copy / index.get(name, LAST)
    state = load_file(path)
    change(state)
    save_file(state, path, metadata={"format": "pt"})
    return copy


def test_the_table_of_tokens_may_have_either_name_or_both(folder: Path, tmp_path: Path) -> None:
    first, second = "model.embed_tokens.weight", "model.vision_embed_tokens.wte.weight"
    table = phi3_v_checkpoint.published(folder)[first]
    again = changed(folder, tmp_path / "again", second, lambda state: state.update({second: table.clone()}))
    only = shutil.copytree(again, tmp_path / "only")
    for path in only.glob("*.safetensors"):
        state = load_file(path)
        state.pop(first, None)
        save_file(state, path, metadata={"format": "pt"})
    for copy in (again, only):
        assert torch.equal(phi3_v_checkpoint.load(copy).text.get_input_embeddings().weight, table)
        assert torch.equal(phi3_v_reference.load(copy, 4).text.embed_tokens.weight, table)
    other = changed(folder, tmp_path / "other", second, lambda state: state.update({second: table + 1}))
    with pytest.raises(SourceError, match=r"two tables of tokens that differ"):
        phi3_v_checkpoint.load(other)


def test_what_older_libraries_wrote_besides_is_ignored(folder: Path, tmp_path: Path) -> None:
    name = "model.vision_embed_tokens.img_processor.vision_model.embeddings.position_ids"
    phi3_v_checkpoint.load(changed(folder, tmp_path / "a", name, lambda state: state.update({name: torch.arange(577)})))


@pytest.mark.parametrize(
    "name",
    [
        "model.vision_embed_tokens.sub_GN",
        "model.vision_embed_tokens.img_projection.2.bias",
        "model.vision_embed_tokens.img_processor.vision_model.post_layernorm.weight",
        "model.vision_embed_tokens.img_processor.vision_model.embeddings.class_embedding",
        "model.vision_embed_tokens.img_processor.vision_model.encoder.layers.2.mlp.fc1.weight",
        "model.norm.weight",
    ],
)
def test_another_set_of_weights_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    def rename(state: dict[str, torch.Tensor]) -> None:
        state[f"{name}_"] = state.pop(name)

    def reshape(state: dict[str, torch.Tensor]) -> None:
        state[name] = torch.zeros(3, *state[name].shape)

    for number, change in enumerate((lambda state: state.pop(name), rename, reshape)):
        with pytest.raises(SourceError, match="does not hold this model's weights"):
            phi3_v_checkpoint.load(changed(folder, tmp_path / str(number), name, change))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"embd_layer": "default"}, "no embd_layer in its configuration"),
        ({"embd_layer": {"hd_transform_order": "glb_sub"}}, "hd_transform_order = 'glb_sub'"),
        ({"img_processor": {"layer_idx": -1}}, "layer_idx = -1"),
        ({"rope_scaling": {"type": "yarn"}}, "otherwise than by 'su'"),
        ({"rope_scaling": None}, "otherwise than by 'su'"),
        ({"sliding_window": 2048}, "fewer than 4096 tokens"),
    ],
)
def test_other_kinds_are_refused(folder: Path, tmp_path: Path, changes: Mapping[str, Any], says: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "other")
    config = json.loads((copy / "config.json").read_text())
    for name, value in changes.items():
        config[name] = config[name] | value if isinstance(value, dict) else value
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(SourceError, match=says):
        phi3_v_checkpoint.load(copy)


def test_a_folder_without_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "config.json", tmp_path)
    with pytest.raises(SourceError, match="no weights in safetensors"):
        phi3_v_checkpoint.load(tmp_path)


def test_the_originals_lack_of_weights_is_seen(folder: Path, tmp_path: Path) -> None:
    name = "model.norm.weight"
    copy = changed(folder, tmp_path / "a", name, lambda state: state.pop(name))
    with pytest.raises(SourceError, match=r"missing: norm\.weight"):
        phi3_v_reference.load(copy, 4)
