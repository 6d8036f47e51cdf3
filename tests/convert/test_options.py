"""What a recipe says, applied to a model; and references that do the same in their own way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from multi2vec import manifest
from multi2vec.convert import families, options, pipeline
from multi2vec.convert.errors import RecipeError
from multi2vec.convert.model import Model
from multi2vec.convert.recipe import FusedOptions, PictureOptions, Recipe, TextOptions
from multi2vec.layouts import GemmaLayout
from multi2vec.specs import FusedSpec, PictureSpec, Prompt, TextSpec
from tests.convert.conftest import only, quiet
from tests.convert.layouts import LAYOUTS

TEXT = TextSpec("text", 77)
FUSED = FusedSpec(
    "language",
    "vision",
    max_length=32,
    prompts={"document": Prompt("<s>{text}")},
    default_prompt="document",
    layout=GemmaLayout(16, 3, 70),
    place="<row>",
)
PICTURE = PictureSpec("image", 8, 8, "shortest", convert_rgb="after_resize", transparency="drop")


def wishing(**tables: object) -> Recipe:
    return Recipe("tag", "family", "mit", {}, **tables)  # type: ignore[arg-type]


def test_without_wishes_specs_stay_what_the_library_does() -> None:
    assert options.text_spec(TEXT, wishing()) == TEXT
    assert options.picture_spec(PICTURE, wishing()) == PICTURE


def test_wishes_for_texts() -> None:
    text = TextOptions({"query": "query: "}, "query", 16)
    spec = options.text_spec(TEXT, wishing(text=text))
    assert spec == TextSpec("text", 16, prompts={"query": Prompt("query: ")}, default_prompt="query")
    with pytest.raises(RecipeError, match="max_length is 78, but the model takes 77"):
        options.text_spec(TEXT, wishing(text=TextOptions(max_length=78)))


def test_wishes_for_texts_and_pictures_together() -> None:
    fused = FusedOptions(crops=4, without_text="{pictures}")
    assert options.fused_options(wishing(fused=fused), needs=("crops",), knows=("without_text",)) == fused
    with pytest.raises(RecipeError, match="tag: fused: least_pixels is missing"):
        options.fused_options(wishing(), needs=("least_pixels",))
    with pytest.raises(RecipeError, match="fused: without_text is not for models of the family 'family'"):
        options.fused_options(wishing(fused=fused), needs=("crops",))


def test_another_treatment_of_transparency_comes_before_the_library() -> None:
    white = options.picture_spec(PICTURE, wishing(picture=PictureOptions(transparency="white")))
    assert (white.transparency, white.convert_rgb) == ("white", "before_resize")
    own = options.picture_spec(PICTURE, wishing(picture=PictureOptions(transparency="drop")))
    assert own == PICTURE


def test_items_of_texts_and_pictures_need_a_prompt_or_a_frame() -> None:
    query = TextOptions({"query": "<s>query: {text}"}, "query", 16)
    spec = options.fused_spec(FUSED, wishing(text=query))
    assert (spec.max_length, spec.default_prompt, list(spec.prompts)) == (16, "query", ["document", "query"])
    with pytest.raises(RecipeError, match="default_prompt is missing; every item of such a model is in a prompt"):
        options.fused_spec(dataclasses.replace(FUSED, default_prompt=None), wishing())
    framed = dataclasses.replace(FUSED, default_prompt=None, without_prompt=Prompt("<s>{text}"))
    assert options.fused_spec(framed, wishing()) == framed


def test_wishes_that_the_model_cannot_fulfil(loaded: Callable[[str], Model]) -> None:
    model = loaded("clip")
    options.check(model, wishing(text=TextOptions(), picture=PictureOptions(), cut_dimensions=(32,)))
    with pytest.raises(RecipeError, match="cut_dimensions has 64, but the model's vectors have 64"):
        options.check(model, wishing(cut_dimensions=(64,)))
    with pytest.raises(RecipeError, match=r"has a table \[text\], but the model has no text tower"):
        options.check(only(model, "image"), wishing(text=TextOptions()))
    with pytest.raises(RecipeError, match=r"has a table \[picture\], but the model has no picture tower"):
        options.check(only(model, "text"), wishing(picture=PictureOptions()))


@pytest.mark.usefixtures("few_samples")
@pytest.mark.parametrize("layout", ["clip", "open_clip", "open_clip with XLM-RoBERTa", "sentence_transformers"])
def test_every_family_fulfils_them(
    tmp_path: Path, checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """Parity compares with the original library, which is given the same wishes."""
    prompts = {"query": "a photo of ", "ask": Prompt("{task}: {text}!", "find a")}
    chosen = dataclasses.replace(
        LAYOUTS[layout].recipe,
        text=TextOptions(prompts, "query", 12),
        cut_dimensions=(16,),
        picture=PictureOptions(exif_orientation=True, transparency="white"),
    )
    made = pipeline.convert(chosen, checkpoint(layout), tmp_path / "out", "fp16", quiet())
    assert made.cut_dimensions == (16,)
    spec = manifest.read(tmp_path / "out").spec("text")
    assert (spec.max_length, spec.default_prompt, set(spec.prompts)) == (12, "query", {"query", "ask"})


def test_families_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(families.FAMILIES, "other", "tests.no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        families.load(dataclasses.replace(wishing(), family="other"), None)


def test_a_prompt_with_an_adapter_of_a_model_that_has_none(loaded: Callable[[str], Model]) -> None:
    adapted = dataclasses.replace(LAYOUTS["text of BERT"].recipe, text=TextOptions({"query": Prompt("", adapter=1)}))
    model = only(loaded("text of BERT"), "text")
    spec = dataclasses.replace(model.parts["text"].spec, prompts={"query": Prompt("", adapter=1)})
    part = dataclasses.replace(model.parts["text"], spec=spec)
    with pytest.raises(RecipeError, match="the prompt 'query' names an adapter, but the model has none"):
        options.check(dataclasses.replace(model, parts={"text": part}), adapted)
