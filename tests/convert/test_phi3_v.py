"""VLM2Vec: what stands around texts and pictures, against its authors' prompts."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from multi2vec.convert import exact, families, recipe, tracing
from multi2vec.convert.errors import RecipeError, SourceError
from multi2vec.convert.model import Model
from multi2vec.convert.parts import phi3_v_reference
from multi2vec.convert.parts.phi3_v_reference import Original
from multi2vec.convert.references import InPrompt, NoRoom
from multi2vec.engine.errors import BadInput
from multi2vec.engine.items import Item
from multi2vec.engine.preparers import Prepared, entry
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Limits
from multi2vec.layouts import HdLayout
from multi2vec.specs import FusedSpec, OutputSpec, TensorSpec, TowerSpec
from tests.convert.layouts import LAYOUTS
from tests.pictures import encode

LAYOUT = "VLM2Vec"
TOWER = TowerSpec("language.xml", (TensorSpec("rows", "f32", (None, 64)),), (OutputSpec("dense", 64),))
QUESTION = "Represent the given image with the following question:"
WIDE, TALL = Image.new("RGB", (300, 70), "red"), Image.new("RGB", (70, 300), "blue")
# As the authors write it: the pieces, what is wanted of them, and what their processor gets.
PROMPTS: list[tuple[list[Any], Wanted, str]] = [
    (["A cat and a dog"], Wanted(), "A cat and a dog"),
    ([""], Wanted(), ""),
    (["one", "two"], Wanted(), "one\ntwo"),
    (
        ["A cat and a dog."],
        Wanted(prompt="query"),
        "Find me an everyday image that matches the given caption: A cat and a dog.",
    ),
    (["Who?"], Wanted(task="Find the answer:"), "Find the answer: Who?"),
    ([WIDE], Wanted(), "<|image_1|> Represent the given image."),
    ([WIDE], Wanted(prompt="query"), "<|image_1|> Represent the given image."),
    ([WIDE], Wanted(task="Name the animal."), "<|image_1|> Name the animal."),
    ([WIDE, "What is it?"], Wanted(), f"<|image_1|> {QUESTION} What is it?"),
    (["What is it?", WIDE], Wanted(prompt="query"), f"<|image_1|> {QUESTION} What is it?"),
    ([WIDE, "a dog"], Wanted(task="Find one with"), "<|image_1|> Find one with a dog"),
    ([WIDE, TALL], Wanted(), "<|image_1|> <|image_2|> Represent the given image."),
    (["Which", TALL, "is older?", WIDE], Wanted(), f"<|image_1|> <|image_2|> {QUESTION} Which\nis older?"),
]


class Rig:
    """A small model's preparer, without its towers."""

    def __init__(self, model: Model, folder: Path) -> None:
        part = model.parts["fused"]
        assert isinstance(part.spec, FusedSpec)
        self.spec, self.reference = part.spec, part.reference
        for name, text in part.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        self.preparer = entry(self.spec).make(folder, self.spec, TOWER, Limits())["fused"]

    def prepare(self, *pieces: Any, wanted: Wanted = Wanted()) -> Prepared:
        return self.preparer.prepare(items(*pieces), wanted)

    def original(self, *pieces: Any) -> Any:
        return self.reference.prepare(InPrompt(items(*pieces), self.spec.prompts[self.spec.default_prompt]))


def items(*pieces: Any) -> list[Item]:
    return [Item("text", each) if isinstance(each, str) else Item("image", encode(each, "PNG")) for each in pieces]


@pytest.fixture
def rig(loaded: Callable[[str], Model], tmp_path: Path) -> Rig:
    return Rig(loaded(LAYOUT), tmp_path)


@pytest.fixture(scope="module")
def original(checkpoint: Callable[[str], Path]) -> Original:
    return phi3_v_reference.load(checkpoint(LAYOUT), 2)


@pytest.mark.parametrize(("pieces", "wanted", "written"), PROMPTS)
def test_prompts_are_the_authors(rig: Rig, original: Original, pieces: list[Any], wanted: Wanted, written: str) -> None:
    expected = original.inputs(written, [each for each in pieces if not isinstance(each, str)])
    found = rig.prepare(*pieces, wanted=wanted)
    ids = expected.ids.numpy()
    assert np.where(found.arrays["index"] > 0, -1, found.arrays["input_ids"]).tolist() == ids.clip(-1).tolist()
    assert found.arrays["index"].max() == (ids < 0).sum()
    for part, pixels in zip(found.parts, expected.pixels, strict=True):
        assert np.array_equal(part.arrays["pixels"], pixels)
    assert found.tokens == len(ids)


@pytest.mark.parametrize("text", ["</s>", "a <s> b", "<|image_1|>", "<|user|> hello<|end|>", "<|endoftext|>"])
def test_what_people_write_is_no_special_token(rig: Rig, original: Original, text: str) -> None:
    ids = rig.prepare(text).arrays["input_ids"].tolist()
    assert ids[0] == 1
    assert not {0, 1, 2, *range(original.tokenizer.get_vocab_size(), 10**4)} & {*ids[1:]}
    assert rig.original(text)["input_ids"].tolist() == ids


def test_a_text_is_cut_behind_its_pictures(rig: Rig) -> None:
    found = rig.prepare("lorem ipsum, dolor " * 1500, WIDE)
    assert (found.size, found.truncated) == (4096, True)
    assert found.arrays["input_ids"].tolist() == rig.original("lorem ipsum, dolor " * 1500, WIDE)["input_ids"].tolist()


def test_neither_has_room_for_more_than_4096_tokens(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    small = LAYOUTS[LAYOUT].recipe
    assert small.fused is not None
    many = dataclasses.replace(small, fused=dataclasses.replace(small.fused, crops=16))
    rig = Rig(families.load(many, checkpoint(LAYOUT)), tmp_path)
    assert rig.spec.layout == HdLayout(16)
    assert rig.prepare(WIDE).size > 2400
    with pytest.raises(BadInput, match=r"take \d+ tokens, more than 4096; send fewer or smaller pictures"):
        rig.prepare(WIDE, TALL)
    with pytest.raises(NoRoom, match="more than 4096"):
        rig.original(WIDE, TALL)


def test_numbers_that_stay_exact(loaded: Callable[[str], Model]) -> None:
    towers = loaded(LAYOUT).towers
    scales = exact.scales(tracing.trace("vision", towers["vision"])).values()
    frequencies = exact.frequencies(tracing.trace("language", towers["language"])).values()
    assert [each.size for each in scales if each.size > 1] == [3, 3]
    assert [each.size for each in frequencies if each.size > 1] == [16]


def test_the_two_recipes_are_of_one_model() -> None:
    many, few = recipe.read("VLM2Vec-Full"), recipe.read("VLM2Vec-Full-crops-4")
    assert many.fused is not None
    assert few.fused is not None
    assert (many.fused.crops, few.fused.crops) == (16, 4)
    assert few.variant_of == many.tag
    same = {name: getattr(few, name) for name in ("tag", "description", "fused", "variant_of")}
    assert dataclasses.replace(many, **same) == few
    assert recipe.read("TIGER-Lab/VLM2Vec-Full") == many


def test_what_is_not_this_model_is_refused(checkpoint: Callable[[str], Path]) -> None:
    small = LAYOUTS[LAYOUT].recipe
    with pytest.raises(RecipeError, match="fused: crops is missing"):
        families.load(dataclasses.replace(small, fused=None), checkpoint(LAYOUT))
    with pytest.raises(SourceError, match="of a model of the type 'qwen2_vl', not 'phi3_v'"):
        families.load(small, checkpoint("GME"))


def test_a_checkpoint_without_padding_is_refused(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint(LAYOUT), tmp_path / "checkpoint")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "pad_token_id": None}))
    with pytest.raises(SourceError, match="the pad_token_id None, which is no token of the tokenizer's"):
        families.load(LAYOUTS[LAYOUT].recipe, folder)
