"""Chinese CLIP against the authors' own package `cn_clip`: vectors on the same weights, token ids, pixels."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cn_clip.clip
import numpy as np
import pytest
import torch
from cn_clip.clip.model import CLIP
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer

from multi2vec.convert import drawings, families, parity, samples
from multi2vec.convert.errors import SourceError
from multi2vec.engine.wanted import Wanted
from tests.checkpoints.chinese_clip_layouts import SMALL_TEXT, SMALL_VISION
from tests.checkpoints.common import change_json
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS

CHINESE = "chinese_clip"
TEXTS = ["一只猫坐在垫子上", "two blue dogs", "", "杰尼龟、妙蛙种子、小火龙、皮卡丘。" * 8]
SIZES = [(57, 31), (7, 200), (48, 48), (101, 99)]
# What transformers' tokenizer and the package's make different tokens of: a capital sigma at a word's end, tokens
# that have a meaning to BERT, characters that Unicode leaves to private use or nobody.
DIFFERENT = ("ΟΔΥΣΣΕΥΣ", "[CLS]", "\ue000")
Convert = Callable[[str], Converted]
Checkpoint = Callable[[str], Path]


def embed(made: Converted, modality: str, items: Sequence[Any]) -> np.ndarray:
    with parity.opened(made.folder, "f32") as embedder:
        return np.asarray(asyncio.run(embedder.embed(modality, items, Wanted(normalise=True))).rows)


def package_state(folder: Path) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors by the names that the package has for them."""
    ours = load_file(folder / "model.safetensors")
    state = {
        "logit_scale": ours["logit_scale"],
        "text_projection": ours["text_projection.weight"].T,
        "visual.proj": ours["visual_projection.weight"].T,
        "visual.conv1.weight": ours["vision_model.embeddings.patch_embedding.weight"],
        "visual.class_embedding": ours["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": ours["vision_model.embeddings.position_embedding.weight"],
    }
    state |= {name.replace("text_model.", "bert."): ours[name] for name in ours if name.startswith("text_model.")}
    blocks = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    for kind in ("weight", "bias"):
        state[f"visual.ln_pre.{kind}"] = ours[f"vision_model.pre_layrnorm.{kind}"]
        state[f"visual.ln_post.{kind}"] = ours[f"vision_model.post_layernorm.{kind}"]
        for layer in range(SMALL_VISION["num_hidden_layers"]):
            own, block = f"vision_model.encoder.layers.{layer}", f"visual.transformer.resblocks.{layer}"
            state |= {f"{block}.{other}.{kind}": ours[f"{own}.{name}.{kind}"] for name, other in blocks.items()}
            projections = [ours[f"{own}.self_attn.{name}_proj.{kind}"] for name in "qkv"]
            state[f"{block}.attn.in_proj_{kind}"] = torch.cat(projections)
            state[f"{block}.attn.out_proj.{kind}"] = ours[f"{own}.self_attn.out_proj.{kind}"]
    return state


@pytest.fixture(scope="module")
def package_model(checkpoint: Checkpoint) -> Any:
    """The package's model with the checkpoint's weights, all of them and no others."""
    model = CLIP(
        embed_dim=64,
        image_resolution=SMALL_VISION["image_size"],
        vision_layers=SMALL_VISION["num_hidden_layers"],
        vision_width=SMALL_VISION["hidden_size"],
        vision_patch_size=SMALL_VISION["patch_size"],
        vision_head_width=SMALL_VISION["hidden_size"] // SMALL_VISION["num_attention_heads"],
        vocab_size=21128,
        text_attention_probs_dropout_prob=0.1,
        text_hidden_act="gelu",
        text_hidden_dropout_prob=0.1,
        text_hidden_size=SMALL_TEXT["hidden_size"],
        text_initializer_range=0.02,
        text_intermediate_size=SMALL_TEXT["intermediate_size"],
        text_max_position_embeddings=512,
        text_num_attention_heads=SMALL_TEXT["num_attention_heads"],
        text_num_hidden_layers=SMALL_TEXT["num_hidden_layers"],
        text_type_vocab_size=2,
    )
    model.load_state_dict(package_state(checkpoint(CHINESE)))
    return model.eval()


def unit(vectors: torch.Tensor) -> np.ndarray:
    return np.asarray(torch.nn.functional.normalize(vectors, dim=1))


def test_texts_are_those_of_the_package(converted: Convert, package_model: Any) -> None:
    """Which fills texts up to 52 tokens and masks what it filled, where ours are as long as they are."""
    with torch.inference_mode():
        expected = unit(package_model.encode_text(cn_clip.clip.tokenize(TEXTS)))
    made = converted(CHINESE)
    assert (embed(made, "text", TEXTS) * expected).sum(axis=1).min() > 0.99999
    alone = np.concatenate([embed(made, "text", [text]) for text in TEXTS])
    assert (alone * expected).sum(axis=1).min() > 0.99999
    assert (expected[0] * expected[1]).sum() < 0.99


def test_pictures_are_those_of_the_package(converted: Convert, package_model: Any) -> None:
    files = [drawings.scene_file(*size) for size in SIZES]
    prepare = cn_clip.clip.image_transform(SMALL_VISION["image_size"])
    with torch.inference_mode():
        pixels = torch.stack([prepare(Image.open(io.BytesIO(file))) for file in files])
        expected = unit(package_model.encode_image(pixels))
    assert (embed(converted(CHINESE), "image", files) * expected).sum(axis=1).min() > 0.99999
    assert (expected[0] * expected[1]).sum() < 0.99


def test_pictures_are_squashed_as_the_package_squashes_them(converted: Convert) -> None:
    made = converted(CHINESE)
    spec = made.manifest.inputs["image"]
    assert (spec.resize, spec.height, spec.width, spec.interpolation) == ("squash", 48, 48, "bicubic")
    files = [drawings.scene_file(*size) for size in SIZES]
    squash = cn_clip.clip.image_transform(SMALL_VISION["image_size"]).transforms[0]
    expected = [np.asarray(squash(Image.open(io.BytesIO(file)))) for file in files]
    assert all(map(np.array_equal, made.prepared("image", "pixels", files), expected))


def test_token_ids_are_those_of_the_package(converted: Convert) -> None:
    same = [text for text in samples.TEXTS if not any(each in text for each in DIFFERENT)]
    assert len(same) == len(samples.TEXTS) - len(DIFFERENT)
    ids = converted(CHINESE).prepared("text", "input_ids", same)
    expected = cn_clip.clip.tokenize(same).numpy()
    for text, own, whole in zip(same, ids, expected, strict=True):
        assert np.array_equal(np.pad(own, (0, 52 - len(own))), whole), text


def test_texts_are_cut_at_52_tokens_and_keep_their_end_token(converted: Convert) -> None:
    made = converted(CHINESE)
    (ids,) = made.prepared("text", "input_ids", ["猫" * 80])
    tokenizer = Tokenizer.from_file(str(made.folder / "tokenizer.json"))
    assert len(ids) == 52
    assert (ids[0], ids[-1]) == (tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]"))


def test_words_of_more_than_a_hundred_letters_are_one_unknown_token(converted: Convert) -> None:
    """As transformers has it; the package splits words of up to two hundred."""
    word = "a" * 150
    (ids,) = converted(CHINESE).prepared("text", "input_ids", [word])
    assert len(ids) == 3
    assert (cn_clip.clip.tokenize([word]) != 0).sum() == 52


def test_the_vector_is_the_first_tokens(converted: Convert) -> None:
    """What stands behind it counts by attention only: the same words in another order are near, not equal."""
    one, other = embed(converted(CHINESE), "text", ["猫和狗", "狗和猫"])
    assert 0.3 < (one * other).sum() < 0.9999


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("config.json", {"model_type": "clip"}, "of the type 'clip', not 'chinese_clip'"),
        ("preprocessor_config.json", {"do_center_crop": True, "crop_size": 40}, "crops after resizing both sides"),
    ],
)
def test_what_is_not_this_model_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, file: str, changes: dict[str, Any], says: str
) -> None:
    folder = shutil.copytree(checkpoint(CHINESE), tmp_path / "other")
    change_json(folder / file, **changes)
    with pytest.raises(SourceError, match=says):
        families.load(LAYOUTS[CHINESE].recipe, folder)


def test_the_published_files_have_words_only(checkpoint: Checkpoint) -> None:
    """Neither a tokenizer.json nor settings: lower case and the length are the library's defaults and ours."""
    names = {path.name for path in checkpoint(CHINESE).iterdir()}
    assert names == {"config.json", "model.safetensors", "preprocessor_config.json", "vocab.txt"}
    assert json.loads((checkpoint(CHINESE) / "config.json").read_text())["model_type"] == "chinese_clip"
