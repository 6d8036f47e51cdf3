"""Texts and pictures in one item: the row of tokens, what is cut, and what stands for what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from multi2vec.engine.errors import BadInput, Unsupported
from multi2vec.engine.items import Item
from multi2vec.engine.preparers import entry
from multi2vec.engine.preparers.fused import read, written
from multi2vec.engine.preparers.protocol import ROWS, Prepared
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits
from multi2vec.layouts import PatchLayout, Resize
from multi2vec.specs import FusedSpec, OutputSpec, Prompt, TensorSpec, TowerSpec, VideoSpec
from tests import toy
from tests.checkpoints.text_tokenizers import vl_tokenizer

WIDTH = 6
TOWER = TowerSpec("language.xml", (TensorSpec(ROWS, "f32", (None, WIDTH)),), (OutputSpec("dense", WIDTH),))
FRAME = "<|im_start|>{task}<|im_end|>{text}<|im_end|>"
SPEC = FusedSpec(
    tower="language",
    vision="vision",
    max_length=64,
    prompts={"query": Prompt(FRAME, task="help"), "document": Prompt("<|im_start|>{text}<|im_end|>")},
    default_prompt="query",
    layout=PatchLayout(14, 2, (Resize(28, 784, 784 * 20),)),
    place="<|image_pad|>",
    before="<|vision_start|>",
    after="<|vision_end|>",
    positions="grid",
)
APART = replace(
    SPEC,
    prompts={"query": Prompt("{pictures}Query: {text}<|im_end|>")},
    without_text=Prompt("{pictures}What is it?<|im_end|>"),
    without_picture=56,
)
BARE = replace(
    SPEC,
    prompts={"query": Prompt("<|im_start|>find: {text}<|im_end|>")},
    default_prompt=None,
    positions="own",
    without_prompt=Prompt("<|im_start|>{text}<|im_end|>"),
)
PICTURE = Image.new("RGB", (56, 84), "red")


class Rig:
    """The preparers of a spec, and the ids of what they write."""

    def __init__(self, folder: Path, spec: FusedSpec = SPEC) -> None:
        self.tokenizer = vl_tokenizer()
        (folder / "tokenizer.json").write_text(self.tokenizer.backend_tokenizer.to_str())
        self.by_modality = entry(spec).make(folder, spec, TOWER, Limits())

    def prepare(self, *pieces: Any, **wanted: Any) -> Prepared:
        item = [Item("text" if isinstance(each, str | tuple) else "image", each) for each in pieces]
        return self.by_modality["fused"].prepare(item, Wanted(**wanted))

    def shown(self, prepared: Prepared) -> str:
        """What the tokens say, a picture's places as one."""
        text = str(self.tokenizer.decode(prepared.arrays["input_ids"]))
        rows = int(prepared.arrays["index"].max())
        return text.replace("<|image_pad|>" * rows, "<P>") if rows else text


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.fixture
def apart(tmp_path: Path) -> Rig:
    return Rig(tmp_path, APART)


def test_all_that_is_in_an_item_stands_in_its_order(rig: Rig) -> None:
    found = rig.prepare("what is ", PICTURE, "this?")
    places = "<|vision_start|><P><|vision_end|>"
    assert rig.shown(found) == f"<|im_start|>help<|im_end|>what is {places}this?<|im_end|>"
    assert found.size == found.tokens == len(found.arrays["input_ids"])
    assert found.arrays["index"].max() == 6
    assert [part.size for part in found.parts] == [24]
    assert found.arrays["position_ids"].shape == (3, found.size)


def test_a_text_or_a_picture_alone_is_an_item_of_one_piece(rig: Rig) -> None:
    for modality, content in (("text", "a cat"), ("image", PICTURE)):
        alone = rig.by_modality[modality].prepare(content, Wanted())
        found = rig.prepare(content)
        assert {name: each.tolist() for name, each in alone.arrays.items()} == {
            name: each.tolist() for name, each in found.arrays.items()
        }
    assert alone.file is not None
    assert (alone.file.width, alone.file.height) == (56, 84)


def test_two_texts_beside_each_other_are_two_lines(rig: Rig) -> None:
    assert rig.shown(rig.prepare("one", "two")) == rig.shown(rig.prepare("one\ntwo"))


def test_rows_of_several_pictures_are_counted_on(rig: Rig) -> None:
    index = rig.prepare(PICTURE, PICTURE).arrays["index"]
    assert index[index > 0].tolist() == list(range(1, 13))


def test_what_callers_write_is_never_a_special_token(rig: Rig) -> None:
    for given in ("<|im_end|>", "a <|image_pad|> b", "<|im_start|>system"):
        found = rig.prepare(given, task=given)
        special = {rig.tokenizer.convert_tokens_to_ids(name) for name in ("<|im_start|>", "<|im_end|>")}
        ids = found.arrays["input_ids"].tolist()
        assert sum(each in special for each in ids) == 3
        assert rig.tokenizer.convert_tokens_to_ids("<|image_pad|>") not in ids
        assert rig.shown(found) == FRAME.replace("{text}", given).replace("{task}", given)


def test_prompts_and_instructions(rig: Rig) -> None:
    assert rig.shown(rig.prepare("a", task="find it")) == "<|im_start|>find it<|im_end|>a<|im_end|>"
    assert rig.shown(rig.prepare("a", prompt="document")) == "<|im_start|>a<|im_end|>"
    assert rig.shown(rig.prepare("a", prompt="")) == rig.shown(rig.prepare("a"))
    assert rig.shown(rig.prepare("{task} {text}")) == "<|im_start|>help<|im_end|>{task} {text}<|im_end|>"
    with pytest.raises(Unsupported, match="'document' has no place for a task"):
        rig.prepare("a", prompt="document", task="find it")
    with pytest.raises(Unsupported, match="no prompt named 'passage'"):
        rig.prepare("a", prompt="passage")


def test_an_item_without_a_prompt_stands_in_a_frame(tmp_path: Path) -> None:
    bare = Rig(tmp_path, BARE)
    plain = bare.prepare("a ", PICTURE, " b")
    assert bare.shown(plain) == "<|im_start|>a <|vision_start|><P><|vision_end|> b<|im_end|>"
    assert set(plain.arrays) == {"input_ids", "index"}
    assert bare.shown(bare.prepare("a", prompt="query")) == "<|im_start|>find: a<|im_end|>"
    assert bare.shown(bare.prepare()) == "<|im_start|><|im_end|>"
    with pytest.raises(Unsupported, match="a task needs the name of a prompt that has a place for it"):
        bare.prepare("a", task="find it")


def test_a_model_with_a_default_prompt_may_have_a_frame_for_items_without(tmp_path: Path) -> None:
    both = Rig(tmp_path, replace(BARE, default_prompt="query"))
    assert both.shown(both.prepare("a")) == "<|im_start|>find: a<|im_end|>"
    assert both.shown(both.prepare("a", prompt="")) == "<|im_start|>a<|im_end|>"


def test_the_text_is_cut_and_nothing_else(rig: Rig) -> None:
    words = " ".join(map(str, range(100)))
    end, start = rig.prepare(PICTURE, words), rig.prepare(PICTURE, words, truncate="start")
    for found in (end, start):
        assert found.truncated
        assert found.size == SPEC.max_length
        assert rig.shown(found).startswith("<|im_start|>help<|im_end|><|vision_start|><P><|vision_end|>")
        assert rig.shown(found).endswith("<|im_end|>")
    assert "<|vision_end|>0 1 2" in rig.shown(end)
    assert rig.shown(start).endswith("98 99<|im_end|>")
    with pytest.raises(BadInput, match=r"tokens, more than 64; shorten it"):
        rig.prepare(PICTURE, words, truncate="refuse")
    assert not rig.prepare("short").truncated
    assert rig.prepare(words, max_tokens=20).size == 20


def test_pictures_that_leave_no_room(rig: Rig) -> None:
    with pytest.raises(BadInput, match=r"take \d+ tokens, more than 64; send fewer or smaller pictures"):
        rig.prepare(*[PICTURE] * 9)
    with pytest.raises(BadInput, match=r"more than 5"):
        rig.prepare(PICTURE, max_tokens=5)


def test_pictures_apart_from_texts_and_what_stands_for_the_missing(apart: Rig) -> None:
    places = "<|vision_start|><P><|vision_end|>"
    assert apart.shown(apart.prepare("a", PICTURE)) == f"{places}Query: a<|im_end|>"
    assert apart.shown(apart.prepare(PICTURE)) == f"{places}What is it?<|im_end|>"
    first, second = apart.prepare("a"), apart.prepare("b")
    assert apart.shown(first) == f"{places}Query: a<|im_end|>"
    assert first.parts[0].key
    assert first.parts[0].arrays is second.parts[0].arrays
    assert first.file is None
    assert not apart.prepare(PICTURE).parts[0].key


def test_both_together_may_be_said_another_way(tmp_path: Path) -> None:
    both = Prompt("{pictures}{task}: {text}<|im_end|>", task="look")
    rig = Rig(tmp_path, replace(SPEC, with_picture=both))
    places = "<|vision_start|><P><|vision_end|>"
    assert rig.shown(rig.prepare("a", PICTURE)) == f"{places}look: a<|im_end|>"
    assert rig.shown(rig.prepare("a", PICTURE, prompt="document")) == f"{places}look: a<|im_end|>"
    assert rig.shown(rig.prepare(PICTURE, "a", task="find")) == f"{places}find: a<|im_end|>"
    assert rig.shown(rig.prepare("a")) == "<|im_start|>help<|im_end|>a<|im_end|>"
    assert rig.shown(rig.prepare(PICTURE)) == f"<|im_start|>help<|im_end|>{places}<|im_end|>"
    with pytest.raises(Unsupported, match="no prompt named 'passage'"):
        rig.prepare("a", PICTURE, prompt="passage")


def test_texts_around_a_picture_that_stands_apart_are_lines(apart: Rig) -> None:
    assert apart.shown(apart.prepare("one", PICTURE, "two")) == apart.shown(apart.prepare(PICTURE, "one\ntwo"))


def test_only_an_empty_item_is_called_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path, replace(APART, without_text=None, without_picture=None, nothing="NULL"))
    assert rig.shown(rig.prepare()) == "Query: NULL<|im_end|>"
    assert rig.shown(rig.prepare(PICTURE)) == "<|vision_start|><P><|vision_end|>Query: <|im_end|>"


def test_token_ids_in_place_of_a_text(rig: Rig) -> None:
    ids = tuple(rig.tokenizer("a cat")["input_ids"])
    assert rig.shown(rig.prepare(ids)) == rig.shown(rig.prepare("a cat"))
    with pytest.raises(BadInput, match=r"special token <\|im_end\|>, which only the model's prompts may use"):
        rig.prepare((5, rig.tokenizer.convert_tokens_to_ids("<|im_end|>")))
    with pytest.raises(BadInput, match="is not in this model's vocabulary"):
        rig.prepare((10**6,))
    with pytest.raises(Unsupported, match="add_special_tokens"):
        rig.prepare("a", special_tokens=False)


def test_a_batch_pads_on_the_right_and_counts_rows_on(rig: Rig) -> None:
    items = [rig.prepare("a cat"), rig.prepare(PICTURE), rig.prepare("b", PICTURE)]
    with_rows = [
        replace(item, arrays={**item.arrays, ROWS: np.full((6, WIDTH), number, np.float32)}) if item.parts else item
        for number, item in enumerate(items)
    ]
    batch = rig.by_modality["fused"].collate(with_rows)
    length = max(item.size for item in items)
    assert batch["input_ids"].shape == (3, -(-length // 8) * 8)
    assert batch["attention_mask"].sum(axis=1).tolist() == [item.size for item in items]
    assert batch[ROWS][:, 0].tolist() == [0.0, *[1.0] * 6, *[2.0] * 6]
    assert batch["index"][0].max() == 0
    assert batch["index"][1].max() == 6
    assert batch["index"][2][batch["index"][2] > 0].tolist() == list(range(7, 13))
    assert batch["position_ids"].shape == (3, 3, batch["input_ids"].shape[1])
    assert batch["position_ids"][2, :, : items[2].size].tolist() == items[2].arrays["position_ids"].tolist()
    assert rig.by_modality["text"].collate([items[0]])[ROWS].shape == (1, WIDTH)


def test_only_short_texts_are_quick(rig: Rig) -> None:
    assert rig.by_modality["text"].is_quick("a cat")
    assert not rig.by_modality["text"].is_quick("a" * 2000)
    assert not rig.by_modality["image"].is_quick(PICTURE)
    assert not rig.by_modality["fused"].is_quick((Item("text", "a"), Item("image", PICTURE)))


def test_tokens_of_a_text_in_its_prompt(rig: Rig) -> None:
    preparer: Any = rig.by_modality["text"]
    found = preparer.tokenise("a cat")
    assert [token.id for token in found] == rig.prepare("a cat").arrays["input_ids"].tolist()
    assert [token.text for token in found if token.is_special] == ["<|im_start|>", "<|im_end|>", "<|im_end|>"]
    assert found[-2].place[1] == len("helpa cat")
    assert preparer.detokenise([token.id for token in found]) == "helpa cat"


FRAMES = [toy.png(Image.new("RGB", (56, 84), (each, 0, 0))) for each in (0, 80, 160, 240, 250)]
BY_PAIRS = VideoSpec(
    replace(SPEC.layout, frames=2, resizes=(Resize(28, 784, 784 * 8),)),
    "<|video_pad|>",
    fps=1.0,
    even=True,
    together=2,
    pixels=4 * 6 * 784,
    says="<{seconds} seconds>",
)


def test_frames_in_pairs_behind_their_times(tmp_path: Path) -> None:
    rig = Rig(tmp_path, replace(SPEC, video=BY_PAIRS))
    found = rig.by_modality["video"].prepare(tuple(FRAMES[:4]), Wanted(prompt="document"))
    said = str(rig.tokenizer.decode(found.arrays["input_ids"])).replace("<|video_pad|>" * 6, "<V>")
    pair = "<|vision_start|><V><|vision_end|>"
    assert said == f"<|im_start|><0.5 seconds>{pair}<2.5 seconds>{pair}<|im_end|>"
    first, second = (part.arrays["pixels"].reshape(24, 3, 2, 14 * 14)[:, 0].mean(axis=(0, 2)) for part in found.parts)
    assert (first.tolist(), second.tolist()) == ([0, 80], [160, 240])
    assert found.arrays["index"].max() == 12


def test_a_model_that_was_not_made_for_videos(rig: Rig) -> None:
    with pytest.raises(Unsupported, match="was not made for videos"):
        rig.by_modality["fused"].prepare((Item("text", "a"), Item("video", tuple(FRAMES))), Wanted())


def test_a_missing_frame_is_the_last_one_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path, replace(SPEC, video=replace(BY_PAIRS, even=False)))
    found = rig.by_modality["video"].prepare(tuple(FRAMES[:3]), Wanted(prompt="document"))
    last = found.parts[-1].arrays["pixels"].reshape(-1, 3, 2, 14 * 14)
    assert len(found.parts) == 2
    assert last[:, 0].min() == last[:, 0].max() == 160


def test_many_frames_are_smaller(tmp_path: Path) -> None:
    spec = replace(SPEC, max_length=200, video=replace(BY_PAIRS, pixels=784 * 20))
    rig = Rig(tmp_path, spec)
    assert [part.size // 4 for part in rig.by_modality["video"].prepare(tuple(FRAMES[:2]), Wanted()).parts] == [6]
    sizes = [part.size // 4 for part in rig.by_modality["video"].prepare(tuple(FRAMES * 2), Wanted()).parts]
    assert sizes == [1] * 5


def test_videos_come_first_where_pictures_are_apart_from_texts(tmp_path: Path) -> None:
    prompts = {"query": Prompt("{pictures}{text}<|im_end|>")}
    rig = Rig(tmp_path, replace(SPEC, prompts=prompts, video=BY_PAIRS))
    pieces = (Item("text", "cat"), Item("image", PICTURE), Item("video", tuple(FRAMES[:2])))
    found = rig.by_modality["fused"].prepare(pieces, Wanted())
    said = str(rig.tokenizer.decode(found.arrays["input_ids"]))
    assert said.startswith("<0.5 seconds><|vision_start|><|video_pad|>")
    assert said.index("<|video_pad|>") < said.index("<|image_pad|>") < said.index("cat")
    assert [part.arrays["pixels"].shape[1] for part in found.parts] == [3 * 2 * 14**2, 3 * 14**2]


def test_items_in_a_manifest() -> None:
    item = (Item("text", "é"), Item("image", b"\x00\xff"), Item("video", (b"\x00", b"\xff")))
    assert read(written(item)) == item
