"""What goes wrong is caught, named by its stage, and nothing is written."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from multi2vec import manifest
from multi2vec.convert import families, parity, pipeline, recipe, samples
from multi2vec.convert.errors import ParityError
from multi2vec.convert.model import Model, Scaling
from multi2vec.convert.originals import TASK, readings, spread
from multi2vec.convert.references import InPrompt, NoRoom
from multi2vec.engine.floors import ARITHMETIC, Floor
from multi2vec.engine.items import Item
from multi2vec.engine.precision import Choice
from multi2vec.engine.rows import Array
from multi2vec.specs import Prompt, TextSpec
from tests import toy_fused
from tests.convert.conftest import only, quiet

Load = Callable[[str], Model]
Spoil = Callable[[Model], Model]

TAG = "openai-clip-vit-base-patch32"


def with_part(model: Model, modality: str, **changes: Any) -> Model:
    """That modality alone, changed."""
    return dataclasses.replace(model, parts={modality: dataclasses.replace(model.parts[modality], **changes)})


def with_spec(model: Model, modality: str, **changes: Any) -> Model:
    return with_part(model, modality, spec=dataclasses.replace(model.parts[modality].spec, **changes))  # type: ignore[type-var]


def with_tower(model: Model, modality: str, **changes: Any) -> Model:
    return with_part(model, modality, tower=dataclasses.replace(model.parts[modality].tower, **changes))


class Leaning(torch.nn.Module):
    """A tower whose every vector leans a little to one side."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.module(inputs)
        return vectors + 0.05 * vectors.norm(dim=-1, keepdim=True) / vectors.shape[-1] ** 0.5


class Scaled(torch.nn.Module):
    """A tower whose vectors have the right direction and another length."""

    def __init__(self, module: torch.nn.Module, factor: float) -> None:
        super().__init__()
        self.module, self.factor = module, factor

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.module(inputs) * self.factor
        return vectors


def tower(model: Model) -> Model:
    return with_tower(model, "text", module=Leaning(model.parts["text"].tower.module))


def long_texts(model: Model) -> Model:
    return with_tower(model, "text", module=Scaled(model.parts["text"].tower.module, 2))


def short_pictures(model: Model) -> Model:
    return with_tower(model, "image", module=Scaled(model.parts["image"].tower.module, 0.01))


def mean(model: Model) -> Model:
    return with_tower(model, "image", scaling=Scaling((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


def tokenizer(model: Model) -> Model:
    files = {"tokenizer.json": model.parts["text"].files["tokenizer.json"].replace('"Lowercase"', '"NFC"')}
    return with_part(model, "text", files=files)


def merges(model: Model) -> Model:
    """The served tokenizer has lost the merges that make whole words."""
    data = json.loads(model.parts["text"].files["tokenizer.json"])
    data["model"]["merges"] = data["model"]["merges"][:200]
    return with_part(model, "text", files={"tokenizer.json": json.dumps(data)})


def length(model: Model) -> Model:
    return with_spec(model, "text", max_length=4)


def interpolation(model: Model) -> Model:
    return with_spec(model, "image", interpolation="bilinear")


def rounding(model: Model) -> Model:
    return with_spec(model, "image", crop_rounding="half_even")


def ground(model: Model) -> Model:
    return with_spec(model, "image", transparency="white")


@pytest.mark.usefixtures("few_samples")
@pytest.mark.parametrize(
    ("spoil", "stage"),
    [
        (tower, "text tower"),
        (long_texts, "text tower"),
        (short_pictures, "picture tower"),
        (mean, "picture tower"),
        (tokenizer, "text input_ids"),
        (merges, "text input_ids"),
        (merges, "text vocabulary"),
        (length, "text input_ids"),
        (interpolation, "picture pixels"),
        (rounding, "picture pixels"),
        (ground, "picture pixels"),
    ],
)
def test_a_spoilt_model_is_not_written(
    tmp_path: Path, loaded: Load, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, stage: str
) -> None:
    spoilt = spoil(loaded("clip"))
    monkeypatch.setattr(families, "load", lambda recipe, source: spoilt)
    console = Console(record=True, width=80, file=io.StringIO())
    with pytest.raises(ParityError, match=rf"\n  {stage}"):
        pipeline.convert(recipe.read(TAG), None, tmp_path / "out", "fp16", console)
    shown = console.export_text()
    assert "Parity with the original library" in shown
    assert "wrong" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("few_samples")
def test_an_older_model_survives_a_failed_conversion(
    tmp_path: Path, loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, target = recipe.read(TAG), tmp_path / "out"
    pictures = only(loaded("clip"), "image")
    monkeypatch.setattr(families, "load", lambda recipe, source: pictures)
    before = pipeline.convert(chosen, None, target, "fp16", quiet())
    monkeypatch.setattr(families, "load", lambda recipe, source: mean(pictures))
    with pytest.raises(ParityError):
        pipeline.convert(chosen, None, target, "fp16", quiet())
    assert manifest.read(target) == before
    manifest.verify_files(target, before)


@dataclasses.dataclass
class CannotRead:
    """A reference that cannot open that picture."""

    reference: Any
    picture: bytes

    def prepare(self, item: bytes) -> Mapping[str, Array]:
        if item == self.picture:
            raise OSError("unknown mode")
        found: Mapping[str, Array] = self.reference.prepare(item)
        return found

    def rows(self, items: Sequence[bytes]) -> Any:
        return self.reference.rows(items)


@pytest.mark.usefixtures("few_samples")
@pytest.mark.parametrize("unusual", [True, False])
def test_what_the_original_cannot_read_is_noted_if_it_is_unusual_and_else_a_fault(
    tmp_path: Path, loaded: Load, monkeypatch: pytest.MonkeyPatch, unusual: bool
) -> None:
    table = samples.SAMPLES["image"]
    few = [dataclasses.replace(each, unusual=unusual) for each in table.all()]
    monkeypatch.setitem(samples.SAMPLES, "image", dataclasses.replace(table, all=lambda: few))
    model = loaded("clip")
    spoilt = with_part(model, "image", reference=CannotRead(model.parts["image"].reference, few[0].item))
    monkeypatch.setattr(families, "load", lambda recipe, source: spoilt)
    if not unusual:
        with pytest.raises(ParityError, match=r"picture samples: the original library fails on .*: unknown mode"):
            pipeline.convert(recipe.read(TAG), None, tmp_path / "out", "fp16", quiet())
        return
    made = pipeline.convert(recipe.read(TAG), None, tmp_path / "out", "fp16", quiet())
    assert made.parity["samples"]["image"] == len(few) - 1
    assert "unknown mode" in made.parity["notes"][0]


@dataclasses.dataclass
class Refuses(CannotRead):
    """A reference that refuses that item with that error."""

    error: Exception

    def prepare(self, item: bytes) -> Mapping[str, Array]:
        if item == self.picture:
            raise self.error
        return super().prepare(item)


@pytest.mark.usefixtures("few_samples")
@pytest.mark.parametrize("error", [NoRoom("too many tokens"), OSError("unknown mode")])
def test_what_neither_has_room_for_is_noted(
    tmp_path: Path, loaded: Load, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    table, refused = samples.SAMPLES["image"], samples.Sample("large", b"no picture")
    with_one = [*table.all(), refused]
    monkeypatch.setitem(samples.SAMPLES, "image", dataclasses.replace(table, all=lambda: with_one))
    model = loaded("clip")
    spoilt = with_part(model, "image", reference=Refuses(model.parts["image"].reference, refused.item, error))
    monkeypatch.setattr(families, "load", lambda recipe, source: spoilt)
    if isinstance(error, OSError):
        with pytest.raises(ParityError, match="picture samples: large cannot be prepared"):
            pipeline.convert(recipe.read(TAG), None, tmp_path / "out", "fp16", quiet())
        return
    made = pipeline.convert(recipe.read(TAG), None, tmp_path / "out", "fp16", quiet())
    assert made.parity["samples"]["image"] == len(with_one) - 1
    assert "large: refused, as the original has no room for it either" in made.parity["notes"][0]


@pytest.mark.usefixtures("few_samples")
def test_without_bf16_the_manifest_says_so(tmp_path: Path, loaded: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "cpu_has_bf16", lambda: False)
    texts = only(loaded("clip"), "text")
    monkeypatch.setattr(families, "load", lambda recipe, source: texts)
    made = pipeline.convert(recipe.read(TAG), None, tmp_path / "out", "fp16", quiet())
    assert made.modalities == ("text",)
    assert made.parity["bf16"] == "not measured: this CPU has no bf16"


@pytest.mark.usefixtures("few_samples")
def test_a_model_that_is_not_near_enough_in_bf16_is_served_without_it(
    tmp_path: Path, loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "cpu_has_bf16", lambda: True)
    texts = only(loaded("clip"), "text")
    monkeypatch.setattr(families, "load", lambda recipe, source: texts)
    monkeypatch.setattr(parity, "measure", parity.measure.__wrapped__)  # type: ignore[attr-defined]
    # No arithmetic is better than equal.
    unreachable = {**ARITHMETIC["dense"], "bf16": Floor(1.1, 1)}
    monkeypatch.setitem(ARITHMETIC, "dense", unreachable)  # type: ignore[arg-type]
    console = Console(record=True, width=120, file=io.StringIO())
    made = pipeline.convert(recipe.read(TAG), None, tmp_path / "out", "fp16", console)
    assert re.fullmatch(
        r"not used: text vectors, bf16: '.*' has cosine (0\.99|1\.00).*, the floor is 1\.1", made.parity["bf16"]
    )
    shown = console.export_text()
    assert "4 below" in shown
    assert "note: bf16 not used: text vectors" in shown
    with parity.opened(tmp_path / "out", "auto") as embedder:
        assert embedder.lanes["text"].choice == Choice("f32")


def test_a_folder_that_does_not_prove_itself(
    tmp_path: Path, loaded: Load, few_samples: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = only(loaded("clip"), "text")
    monkeypatch.setattr(families, "load", lambda recipe, source: texts)
    right = pipeline.examples

    def wrong(model: Model) -> tuple[manifest.Example, ...]:
        return tuple(dataclasses.replace(each, vector=tuple(reversed(each.vector))) for each in right(model))

    monkeypatch.setattr(pipeline, "examples", wrong)
    with pytest.raises(ParityError, match="does not prove itself in f32"):
        pipeline.convert(recipe.read(TAG), None, tmp_path / "out", "fp16", quiet())
    assert list(tmp_path.iterdir()) == []


def test_every_prompt_is_a_reading() -> None:
    prompts = {"query": Prompt("query: "), "document": Prompt("{text}"), "ask": Prompt("{task}: {text}", "find")}
    found = readings(TextSpec("text", 8, prompts=prompts, default_prompt="query"))
    assert [each.name for each in found] == ["", "document", "ask", "ask with a task"]
    assert [each.for_original("cat") for each in found[:3]] == ["query: cat", "cat", "find: cat"]
    assert found[3].for_original("cat") == f"{TASK}: cat"
    assert found[3].wanted.task == TASK


def test_items_without_a_prompt_are_a_reading() -> None:
    prompts = {"query": Prompt("<s>query: {text}")}
    spec = dataclasses.replace(toy_fused.SPEC, prompts=prompts, default_prompt=None, without_prompt=Prompt("<s>{text}"))
    plain, query = readings(spec, "text")
    assert (plain.name, query.name) == ("", "query")
    assert plain.for_original("cat") == InPrompt((Item("text", "cat"),), Prompt("<s>{text}"))


def test_of_large_items_a_few_of_all_sizes_are_compared() -> None:
    sizes = [17, 5, 9, 17, 13, 17, 3, 13]
    assert spread(sizes, 94) == [*range(8)]
    assert [sizes[place] for place in spread(sizes, 93)] == [3, 5, 9, 13, 17, 17, 17]
    assert [sizes[place] for place in spread(sizes, 40)] == [3, 13, 17]
    assert [sizes[place] for place in spread(sizes, 1)] == [3]
    assert spread([], 1) == []
