"""The traps of open_clip's catalogue: padding, preparation and activation, each against open_clip itself."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer

from multi2vec.convert import catalogue, drawings, families, parity, recipe
from multi2vec.convert.families import open_clip as family
from multi2vec.convert.model import Model, Scaling
from multi2vec.convert.recipe import OpenClipSource, Recipe
from multi2vec.engine.preparers.pictures import prepare
from multi2vec.engine.rows import Array
from multi2vec.engine.wanted import Wanted
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS

Convert = Callable[[str], Converted]
Checkpoint = Callable[[str], Path]
Load = Callable[[str], Model]

TEXT = "A photo of two CATS, one of them grey!"
CATALOGUE = [each for each in map(recipe.read, recipe.tags()) if each.family == "open_clip"]
OF_OPEN_CLIP = [name for name, layout in LAYOUTS.items() if layout.recipe.family == "open_clip"]
# The configuration of the other one names a text tower that lies in a folder of its own.
BY_HAND = [name for name in OF_OPEN_CLIP if name != "open_clip with XLM-RoBERTa"]
FIXED = {"SigLIP 2 of open_clip": 64, "MobileCLIP-S1": 77, "MobileCLIP2-S3": 77}
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def source(recipe: Recipe) -> OpenClipSource:
    """Where the recipe's model is in the catalogue."""
    found = recipe.sources["model"]
    assert isinstance(found, OpenClipSource)
    return found


def embed(made: Converted, modality: str, items: Sequence[Any]) -> Array:
    with parity.opened(made.folder, "f32") as embedder:
        return np.asarray(asyncio.run(embedder.embed(modality, items, Wanted(normalise=True))).rows)


def original(folder: Path) -> tuple[Any, Any, Any]:
    """open_clip's own model, transforms and tokenizer, by its factory."""
    name = f"local-dir:{folder}"
    model, preprocess = open_clip.create_model_from_pretrained(name)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


def unit(vectors: torch.Tensor) -> Array:
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


@pytest.mark.parametrize("read", CATALOGUE, ids=lambda each: each.tag)
def test_what_a_recipe_says_is_what_the_catalogue_has(read: Recipe) -> None:
    wanted = source(read)
    config = open_clip.get_model_config(wanted.architecture)
    entry = open_clip.get_pretrained_cfg(wanted.architecture, wanted.pretrained)
    assert config is not None
    assert read.dimensions == config["embed_dim"]
    assert read.context == config["text_cfg"].get("context_length", 77)
    assert f"{config['vision_cfg']['image_size']} px" in read.description
    assert entry["hf_hub"].strip("/") in catalogue.other_names(read)


@pytest.mark.parametrize("layout", BY_HAND)
def test_vectors_are_those_of_the_library_by_hand(converted: Convert, checkpoint: Checkpoint, layout: str) -> None:
    """Without the family's own references in between: the factory, its transforms, its tokenizer."""
    made = converted(layout)
    model, preprocess, tokenizer = original(checkpoint(layout))
    picture = drawings.scene_file(57, 31)
    with torch.inference_mode():
        texts = unit(model.encode_text(tokenizer([TEXT, "猫 and dog " * 40])))
        pictures = unit(model.encode_image(preprocess(Image.open(io.BytesIO(picture)))[None]))
    assert (embed(made, "text", [TEXT, "猫 and dog " * 40]) * texts).sum(axis=1).min() > 0.9999
    assert (embed(made, "image", [picture]) * pictures).sum() > 0.9999


@pytest.mark.parametrize("layout", OF_OPEN_CLIP)
def test_the_reference_is_what_open_clip_loads(loaded: Load, checkpoint: Checkpoint, layout: str) -> None:
    """Not the module that is exported, and not folded."""
    for part in loaded(layout).parts.values():
        reference: Any = part.reference
        exported = set(part.tower.module.modules())
        assert exported.isdisjoint(reference.model.modules())
        assert type(reference.model) in (open_clip.CLIP, open_clip.CustomTextCLIP)
    texts, pictures = (loaded(layout).parts[modality].reference for modality in ("text", "image"))
    assert texts.model is pictures.model  # type: ignore[attr-defined]


@pytest.mark.parametrize("layout", FIXED)
def test_texts_are_padded_to_the_full_length_without_a_mask(
    converted: Convert, checkpoint: Checkpoint, layout: str
) -> None:
    length = FIXED[layout]
    made = converted(layout)
    spec, tower = made.manifest.inputs["text"], made.manifest.tower("text")
    assert (spec.padding, spec.max_length, spec.pad_id) == ("fixed", length, 0)
    assert [(each.name, each.shape) for each in tower.inputs] == [("input_ids", (None, length))]
    # Padding is part of the vector: with other tokens there it would be another one.
    model, _, tokenizer = original(checkpoint(layout))
    padded = tokenizer([TEXT])
    assert padded.shape == (1, length)
    other = padded.clone()
    other[padded == 0] = 7
    if model.text.pool_type == "argmax":
        assert other.argmax() == padded.argmax()
    with torch.inference_mode():
        right, wrong = unit(model.encode_text(padded)), unit(model.encode_text(other))
    assert (right * wrong).sum() < 0.99
    assert (embed(made, "text", [TEXT]) * right).sum() > 0.9999


@pytest.mark.parametrize("layout", ["open_clip", "MobileCLIP-B", "PE-Core", "MetaCLIP 2 of open_clip"])
def test_texts_of_causal_towers_need_no_padding(converted: Convert, layout: str) -> None:
    made = converted(layout)
    assert made.manifest.inputs["text"].padding == "longest"
    assert made.manifest.tower("text").inputs[0].shape == (None, None)


def test_siglip_pictures_are_squashed_and_scaled_by_a_half(loaded: Load) -> None:
    part = loaded("SigLIP 2 of open_clip").parts["image"]
    spec: Any = part.spec
    assert (spec.resize, spec.interpolation, spec.height, spec.width) == ("squash", "bicubic", 48, 48)
    assert part.tower.scaling == Scaling((0.5,) * 3, (0.5,) * 3)
    # All of a long picture is there: red at its left end, blue at its right.
    pixels = prepare(ends_in_colour(), spec)
    assert pixels[24, 0, 0] > 200 > 50 > pixels[24, 0, 2]
    assert pixels[24, -1, 2] > 200 > 50 > pixels[24, -1, 0]


def test_siglip_texts_have_small_letters_and_no_punctuation(converted: Convert) -> None:
    """open_clip's `canonicalize`; the Gemma tokenizer itself would keep both."""
    made = converted("SigLIP 2 of open_clip")
    shouted, plain = embed(made, "text", ["A Photo, of a_CAT!", "a photo of a cat"])
    assert shouted @ plain > 0.99999


def test_mobileclip_pictures_are_cropped_and_not_scaled_by_mean_and_deviation(loaded: Load) -> None:
    for layout in ("MobileCLIP-S1", "MobileCLIP-B"):
        part = loaded(layout).parts["image"]
        spec: Any = part.spec
        assert (spec.resize, spec.interpolation, spec.crop_rounding) == ("shortest", "bilinear", "half_even")
        assert part.tower.scaling == Scaling((0.0,) * 3, (1.0,) * 3)
        # The ends of a long picture are cut away.
        assert prepare(ends_in_colour(), spec)[:, [0, -1]].min() > 250


def test_the_second_mobileclip_has_mean_and_deviation_again(loaded: Load) -> None:
    """S3, S4 and L-14 have CLIP's; S0, S2 and B have none."""
    assert loaded("MobileCLIP2-S3").parts["image"].tower.scaling == Scaling(CLIP_MEAN, CLIP_STD)
    without = {each.tag for each in CATALOGUE if each.tag.startswith("mobileclip") and not any(statistics(each))}
    assert without == {
        *("mobileclip_s1", "mobileclip_s2", "mobileclip_b", "mobileclip_blt"),
        *("mobileclip2-s0", "mobileclip2-s2", "mobileclip2-b"),
    }


def statistics(read: Recipe) -> tuple[float, ...]:
    """The catalogue's mean for a recipe's model."""
    wanted = source(read)
    mean: tuple[float, ...] = open_clip.get_pretrained_cfg(wanted.architecture, wanted.pretrained)["mean"]
    return mean


def ends_in_colour() -> bytes:
    """A white picture six times as wide as high, red at its left end and blue at its right."""
    picture = Image.new("RGB", (600, 100), "white")
    picture.paste((255, 0, 0), (0, 0, 100, 100))
    picture.paste((0, 0, 255), (500, 0, 600, 100))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("layout", ["SigLIP 2 of open_clip", "MobileCLIP-S1", "MobileCLIP-B", "PE-Core"])
@pytest.mark.parametrize("size", [(47, 101), (65, 63), (129, 64), (1, 90), (333, 50)])
def test_pictures_of_odd_sizes(loaded: Load, layout: str, size: tuple[int, int]) -> None:
    part = loaded(layout).parts["image"]
    spec: Any = part.spec
    data = drawings.scene_file(*size)
    assert np.array_equal(prepare(data, spec), part.reference.prepare(data)["pixels"])


def test_texts_for_the_perception_encoder_have_32_tokens(converted: Convert, checkpoint: Checkpoint) -> None:
    made = converted("PE-Core")
    assert made.manifest.inputs["text"].max_length == 32
    model, _, tokenizer = original(checkpoint("PE-Core"))
    long = "one two three four five six seven " * 10
    ids = tokenizer([long])
    assert ids.shape == (1, 32)
    with torch.inference_mode():
        assert (embed(made, "text", [long]) * unit(model.encode_text(ids))).sum() > 0.9999
    contexts = {each.tag: each.context for each in CATALOGUE if each.tag.startswith("pe-core")}
    assert contexts.pop("pe-core-bigg-14-448") == 72
    assert set(contexts.values()) == {32}


@pytest.mark.parametrize("layout", [*FIXED, "MobileCLIP-B", "PE-Core", "MetaCLIP 2 of open_clip"])
def test_what_is_cut_keeps_the_end_token(converted: Convert, checkpoint: Checkpoint, layout: str) -> None:
    made = converted(layout)
    spec = made.manifest.inputs["text"]
    tokenizer = open_clip.get_tokenizer(f"local-dir:{checkpoint(layout)}")
    served = Tokenizer.from_file(str(made.folder / "tokenizer.json"))
    served.enable_truncation(spec.max_length)
    own = getattr(tokenizer, "tokenizer", None)
    end = own.eos_token_id if own is not None else tokenizer.eot_token_id
    ids = served.encode("word " * 200).ids
    assert len(ids) == spec.max_length
    assert ids[-1] == end
    assert tokenizer(["word " * 200])[0].tolist() == ids


def test_openai_s_weights_are_run_with_quickgelu(checkpoint: Checkpoint) -> None:
    """The architecture's entry says nothing of it, that of the weights does."""
    wanted = source(recipe.read("clip-vit-b-16"))
    assert "quick_gelu" not in open_clip.get_model_config(wanted.architecture)
    assert family.open_clip_loading.uses_quick_gelu(wanted)
    used = {each.tag for each in CATALOGUE if family.open_clip_loading.uses_quick_gelu(source(each))}
    assert used == {"clip-vit-b-16", "ViT-B-32-quickgelu-laion400m_e32", "metaclip-2-worldwide-h-14"}
    chosen = LAYOUTS["open_clip with QuickGELU"].recipe
    model = families.load(chosen, checkpoint("open_clip with QuickGELU"))
    for part in model.parts.values():
        names = {type(module).__name__ for module in part.tower.module.modules()}
        assert "QuickGELU" in names
        assert "GELU" not in names
