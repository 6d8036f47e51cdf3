"""Qwen3-VL's towers against its original, the original against the library by hand, and what the engine prepares for
both."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import Qwen2VLImageProcessorPil, Qwen3VLModel, Qwen3VLProcessor

from multi2vec.convert import drawings, sixteen_bits, tracing, weights
from multi2vec.convert.errors import SourceError
from multi2vec.convert.model import Scaling, Tower
from multi2vec.convert.originals import arrays_of
from multi2vec.convert.parts import qwen3_vl, qwen3_vl_reference
from multi2vec.convert.parts.qwen3_vl_reference import Original, instruction
from multi2vec.convert.parts.qwen_vl_reference import Rules
from multi2vec.convert.references import InPrompt, Opener
from multi2vec.engine.items import Item
from multi2vec.engine.preparers import mrope
from multi2vec.engine.preparers.fused import FusedPreparer
from multi2vec.engine.preparers.layouts import patches
from multi2vec.engine.preparers.protocol import ROWS
from multi2vec.layouts import PatchLayout, Resize
from multi2vec.specs import FusedSpec, Prompt, TowerSpec
from tests.checkpoints.qwen3_vl_layouts import qwen3_vl as write
from tests.checkpoints.qwen3_vl_layouts import qwen3_vl_embedding

RESIZE = Resize(32, 4096, 1843200)
LAYOUT = PatchLayout(16, 2, (RESIZE,), frames=2, table=48)
HALF = Scaling((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RULES = Rules(open=Opener(transparency="white"), first=RESIZE, counts_grid=True, length=8192)
TEMPLATE = "<|im_start|>system\n{task}<|im_end|>\n<|im_start|>user\n{pictures}{text}<|im_end|>\n<|im_start|>assistant\n"
PROMPT = Prompt(TEMPLATE, "Represent the user's input.")
WORDS, MORE = Item("text", "a photo of a cat\nby night"), Item("text", "\n\nwhat <|vision_start|> is it?")
SMALL, TALL, WIDE = (Item("image", drawings.scene_file(*size)) for size in ((64, 64), (207, 301), (900, 61)))
CLEAR = Item("image", drawings.scene_file(90, 90, "RGBA"))
ITEMS: Mapping[str, Sequence[Item]] = {
    "text": (WORDS,),
    "picture": (TALL,),
    "both": (SMALL, WORDS),
    "text first": (WORDS, WIDE),
    "several": (TALL, SMALL, WIDE, WORDS),
    "transparent": (CLEAR,),
    "text that looks special": (MORE, SMALL),
    "nothing": (),
}
Graph = Callable[..., np.ndarray]


def graph(name: str, tower: Tower) -> Graph:
    """The tower in OpenVINO, in float32: its inputs in order to its output."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "2"}
    compiled = ov.Core().compile_model(tracing.trace(name, tower), "CPU", settings)
    return lambda *inputs: np.array(compiled(list(inputs))[0])


def module(tower: Tower) -> Graph:
    """The tower in torch."""

    def run(*inputs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = tower.module(*(torch.from_numpy(np.ascontiguousarray(each)) for each in inputs)).numpy()
        return found

    return run


class Towers:
    """Both towers of a checkpoint, in torch or OpenVINO, and the engine's preparer in front of them."""

    def __init__(self, folder: Path, make: Callable[[str, Tower], Graph]) -> None:
        model = weights.load_proved(Qwen3VLModel, folder, dtype=sixteen_bits.stored_dtype(folder))
        model = model.eval().requires_grad_(False)
        language = qwen3_vl.language_tower(model)
        self.vision = make("vision", qwen3_vl.vision_tower(model, HALF))
        self.language = make("language", language)
        self.width = qwen3_vl.width(model)
        tower = TowerSpec("language.xml", language.inputs, language.outputs)
        self.preparer = FusedPreparer(folder, spec(), tower)

    def rows(self, item: Sequence[Item]) -> np.ndarray:
        """What the vision tower makes of the item's pictures."""
        parts = self.preparer.prepare(item).parts
        return np.concatenate([np.empty((0, self.width)), *(self.vision(*part.arrays.values()) for part in parts)])

    def vectors(self, items: Sequence[Sequence[Item]]) -> np.ndarray:
        """The items' vectors, all in one batch, at unit length."""
        prepared = [self.preparer.prepare(item) for item in items]
        with_rows = [
            replace(each, arrays={**each.arrays, ROWS: self.rows(item).astype(np.float32)}, parts=())
            for each, item in zip(prepared, items, strict=True)
        ]
        return unit(self.language(*self.preparer.collate(with_rows).values()))


def spec() -> FusedSpec:
    return FusedSpec(
        tower="language",
        vision="vision",
        max_length=8192,
        prompts={"query": PROMPT},
        default_prompt="query",
        layout=LAYOUT,
        place="<|image_pad|>",
        before="<|vision_start|>",
        after="<|vision_end|>",
        positions="grid",
        nothing="NULL",
        transparency="white",
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def asked(item: Sequence[Item], prompt: Prompt = PROMPT) -> InPrompt:
    return InPrompt(item, prompt)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("qwen3_vl"))


@pytest.fixture(scope="module")
def original(folder: Path) -> Original:
    return qwen3_vl_reference.read(folder, RULES)


@pytest.fixture(scope="module", params=["torch", "OpenVINO"])
def towers(folder: Path, request: pytest.FixtureRequest) -> Towers:
    return Towers(folder, graph if request.param == "OpenVINO" else lambda _, tower: module(tower))


@pytest.fixture(scope="module")
def graphs(folder: Path) -> Towers:
    return Towers(folder, graph)


@pytest.mark.parametrize(
    "name", [name for name, item in ITEMS.items() if any(each.modality == "image" for each in item)]
)
def test_rows_of_pictures(towers: Towers, original: Original, name: str) -> None:
    """The picture's own numbers and three levels of DeepStack."""
    expected = original.picture_rows(asked(ITEMS[name]))
    assert expected.shape[1] == 4 * 64
    assert towers.rows(ITEMS[name]) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("name", ITEMS)
def test_vectors(towers: Towers, original: Original, name: str) -> None:
    expected = unit(np.stack(original.rows([asked(ITEMS[name])])["dense"]))
    assert towers.vectors([ITEMS[name]]) == pytest.approx(expected, abs=5e-6)


def test_a_batch_of_items_of_all_lengths(towers: Towers) -> None:
    """Shorter ones are padded on the right, and rows of pictures stand one after another."""
    together = towers.vectors(list(ITEMS.values()))
    alone = np.concatenate([towers.vectors([item]) for item in ITEMS.values()])
    assert together == pytest.approx(alone, abs=5e-6)
    apart = (alone @ alone.T)[~np.eye(len(alone), dtype=bool)]
    assert apart.mean() < 0.8
    assert apart.max() < 0.999


@pytest.mark.parametrize("name", ITEMS)
def test_the_engine_prepares_what_the_original_does(graphs: Towers, original: Original, name: str) -> None:
    ours = arrays_of(graphs.preparer.prepare(ITEMS[name]))
    expected = original.prepare(asked(ITEMS[name]))
    assert set(ours) == set(expected)
    for each, array in ours.items():
        assert array.dtype == expected[each].dtype, each
        assert np.array_equal(array, expected[each]), each


def test_the_original_is_the_library_with_nothing_of_ours(folder: Path, original: Original) -> None:
    """One call of the processor, and of the model, which counts tokens and finds pictures by itself."""
    opened = [Image.open(io.BytesIO(each.content)) for each in (TALL, WIDE)]
    resized = [opened[0].resize((192, 288)), opened[1].resize((896, 64))]
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": WORDS.content}]
    system = {"role": "system", "content": [{"type": "text", "text": "Find it."}]}
    chat: Any = Qwen3VLProcessor.from_pretrained(folder)
    chat.image_processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
    text = chat.apply_chat_template([system, {"role": "user", "content": content}], add_generation_prompt=True)
    inputs = chat(text=[text], images=resized, do_resize=False, return_tensors="pt")
    with torch.inference_mode():
        states = Qwen3VLModel.from_pretrained(folder).eval()(**inputs, use_cache=False).last_hidden_state
    item = asked((TALL, WIDE, WORDS), replace(PROMPT, task=" Find it "))
    assert np.array_equal(original.prepare(item)["input_ids"], inputs["input_ids"][0].numpy())
    assert original.rows([item])["dense"][0] == pytest.approx(states[0, -1].numpy(), abs=2e-5)


def test_a_video_of_two_pairs_of_frames(folder: Path, graphs: Towers) -> None:
    """Each pair goes through the vision tower alone, and its time stands before it."""
    scene = np.asarray(Image.open(io.BytesIO(drawings.scene_file(96, 64))))
    frames = np.stack([np.roll(scene, 7 * number, axis=1) for number in range(4)])
    library: Any = Qwen3VLModel.from_pretrained(folder).eval()
    chat: Any = Qwen3VLProcessor.from_pretrained(folder)
    video = chat.video_processor(
        videos=[torch.from_numpy(frames).permute(0, 3, 1, 2)],
        do_resize=False,
        do_sample_frames=False,
        cap_pixels_per_frame=False,
        return_tensors="pt",
    )
    around = [
        chat.tokenizer(f"{text}<|vision_start|>")["input_ids"]
        for text in ("<0.2 seconds>", "<|vision_end|><1.2 seconds>")
    ]
    after = chat.tokenizer("<|vision_end|>what is it?")["input_ids"]
    place = library.config.video_token_id
    ids = np.array([*around[0], *[place] * 6, *around[1], *[place] * 6, *after])
    with torch.inference_mode():
        states = library(
            input_ids=torch.from_numpy(ids)[None],
            mm_token_type_ids=torch.from_numpy(2 * (ids == place))[None],
            pixel_values_videos=video["pixel_values_videos"],
            video_grid_thw=video["video_grid_thw"],
            use_cache=False,
        ).last_hidden_state
    laid = [patches.in_patches(list(pair), LAYOUT) for pair in (frames[:2], frames[2:])]
    rows = [np.zeros((1, graphs.width), np.float32), *(graphs.vision(*each.arrays.values()) for each in laid)]
    index = np.where(ids == place, np.cumsum(ids == place), 0)
    positions = mrope.grid([len(around[0]), (2, 3), len(around[1]), (2, 3), len(after)])
    found = graphs.language(ids[None], np.ones_like(ids)[None], np.concatenate(rows), index[None], positions[None])
    assert found[0] == pytest.approx(states[0, -1].numpy(), abs=2e-5)


def test_angles_are_the_librarys(folder: Path) -> None:
    model: Any = Qwen3VLModel.from_pretrained(folder).eval()
    positions = torch.from_numpy(mrope.grid([9, (3, 5), 4, (2, 2), 30]))[None]
    expected = model.language_model.rotary_emb(torch.zeros(1), positions.transpose(0, 1))
    found = qwen3_vl.Language(model.language_model).angles(positions)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_positions_of_pictures_turn_the_angles_of_the_published_model() -> None:
    """Of 64 frequencies 24 are time's, 20 rows' and 20 columns'."""

    class Rotary:
        inv_freq = torch.ones(64)
        mrope_section = (24, 20, 20)

    axes = qwen3_vl.interleaved(Rotary())
    assert axes.tolist() == [0, 1, 2] * 20 + [0] * 4


def test_weights_in_bfloat16(tmp_path: Path) -> None:
    """The graph keeps them so and computes in float32, as the original does."""
    folder = qwen3_vl_embedding(tmp_path / "checkpoint")
    towers, original = Towers(folder, graph), qwen3_vl_reference.read(folder, RULES)
    items = [ITEMS["text"], ITEMS["several"]]
    expected = unit(np.stack(original.rows([asked(item) for item in items])["dense"]))
    assert towers.vectors(items) == pytest.approx(expected, abs=5e-6)
    assert towers.rows((TALL,)) == pytest.approx(original.picture_rows(asked((TALL,))), abs=2e-5)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("Find it", "Find it."),
        (" Find it \n", "Find it."),
        ("Find it!", "Find it!"),
        ("找到它。", "找到它。"),
        ("(find it)", "(find it)"),
        ("2 + 2 =", "2 + 2 =."),
    ],
)
def test_an_instruction_ends_in_punctuation(task: str, says: str) -> None:
    assert instruction(asked((), replace(PROMPT, task=task))) == says
    assert instruction(asked((), Prompt(TEMPLATE.replace("{task}", task)))) == says


def test_a_conversation_that_is_too_long_keeps_its_end(original: Original) -> None:
    short = replace(original, rules=replace(RULES, length=60))
    whole, cut = (each.prepare(asked((SMALL, Item("text", "lorem " * 99))))["input_ids"] for each in (original, short))
    assert len(cut) == 60
    tail = original.tokenizer("<|im_end|>\n<|im_start|>assistant\n")["input_ids"]
    assert cut.tolist() == [*whole[: 60 - len(tail)], *tail]


@pytest.mark.parametrize(
    "name",
    [
        "model.visual.deepstack_merger_list.1.linear_fc2.bias",
        "model.visual.pos_embed.weight",
        "model.language_model.layers.1.self_attn.q_norm.weight",
    ],
)
def test_a_checkpoint_without_one_of_its_tensors_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    state = load_file(tmp_path / "model.safetensors")
    del state[name]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SourceError, match=f"missing: {name.removeprefix('model.')}"):
        weights.load_proved(Qwen3VLModel, tmp_path)
