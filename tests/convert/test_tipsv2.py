"""TIPSv2 against the library by hand: masked means, sinusoids, the first class token, pictures without mean."""

from __future__ import annotations

import asyncio
import io
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torchvision import transforms
from transformers import Tipsv2ImageProcessor, Tipsv2Model

from multi2vec.convert import drawings, families, parity, samples
from multi2vec.convert.errors import SourceError
from multi2vec.engine.wanted import Wanted
from tests.checkpoints import tipsv2_layouts
from tests.checkpoints.common import change_json
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS

TIPS = "tipsv2"
CONTEXT = 64
EDGE = 42
SIZES = [(57, 31), (7, 200), (42, 42), (101, 99)]
Convert = Callable[[str], Converted]
Checkpoint = Callable[[str], Path]


def embed(made: Converted, modality: str, items: Sequence[Any], **wanted: Any) -> np.ndarray:
    with parity.opened(made.folder, "f32") as embedder:
        return np.asarray(asyncio.run(embedder.embed(modality, items, Wanted(**wanted))).rows)


def served_tokenizer(made: Converted) -> Tokenizer:
    return Tokenizer.from_file(str(made.folder / "tokenizer.json"))


def original(folder: Path) -> Any:
    return Tipsv2Model.from_pretrained(folder).eval()


def test_a_texts_vector_is_the_mean_over_its_tokens_and_not_over_padding(
    converted: Convert, checkpoint: Checkpoint
) -> None:
    """The original fills every text up to 64."""
    made, model, texts = converted(TIPS), original(checkpoint(TIPS)), ["a cat", "two dogs playing in the snow"]
    found = embed(made, "text", texts, normalise=False)
    for text, own in zip(texts, found, strict=True):
        ids = served_tokenizer(made).encode(text).ids
        padded = torch.tensor([ids + [0] * (CONTEXT - len(ids))])
        mask = (torch.arange(CONTEXT) < len(ids)).long()[None]
        with torch.inference_mode():
            states = model.text_model(padded, attention_mask=mask).last_hidden_state[0, : len(ids)]
            unmasked = model.text_model(padded).pooler_output[0]
        expected = states.mean(dim=0).numpy()
        assert own == pytest.approx(expected, abs=2e-3 * float(np.linalg.norm(expected)))
        assert torch.nn.functional.cosine_similarity(unmasked, torch.tensor(own), dim=0) < 0.99


def test_an_empty_text_has_no_token_and_its_vector_is_zero(converted: Convert) -> None:
    """There are no special tokens. Beside other texts and alone."""
    made = converted(TIPS)
    assert served_tokenizer(made).encode(" \n").ids == []
    empty, other = embed(made, "text", ["", "a cat"])
    assert not empty.any()
    assert np.linalg.norm(other) == pytest.approx(1)
    assert not embed(made, "text", [""]).any()


def test_positions_are_sinusoids_and_words_are_scaled_by_the_root_of_their_length(checkpoint: Checkpoint) -> None:
    """Written from the formula of "Attention Is All You Need", sines first: the checkpoint has no table of them."""
    model, words = original(checkpoint(TIPS)), load_file(checkpoint(TIPS) / "model.safetensors")
    dimensions = model.config.text_config.hidden_size
    half = dimensions // 2
    angles = [[place / 10000 ** (each / (half - 1)) for each in range(half)] for place in range(3)]
    table = torch.tensor([[*map(math.sin, row), *map(math.cos, row)] for row in angles])
    ids = torch.tensor([5, 6, 7])
    expected = words["text_encoder.token_embedding.weight"][ids] * math.sqrt(dimensions) + table
    with torch.inference_mode():
        found = model.text_model.embeddings(ids[None])[0]
    assert torch.allclose(found, expected, atol=1e-4)
    assert not any("pos" in name for name in words if name.startswith("text_encoder"))


def test_texts_are_in_lower_case_and_cut_at_64_tokens(converted: Convert) -> None:
    made = converted(TIPS)
    served = served_tokenizer(made)
    assert served.encode("A Photo of a CAT").ids == served.encode("a photo of a cat").ids
    (ids,) = made.prepared("text", "input_ids", ["one two three four " * 40])
    assert len(ids) == CONTEXT


def test_token_ids_are_those_of_the_vocabulary(converted: Convert) -> None:
    """By its merges as they were learnt; the file in between holds pieces only, from which merges are found again."""
    served, learnt = served_tokenizer(converted(TIPS)), tipsv2_layouts.trained()
    texts = [text for text in samples.TEXTS if "<" not in text]
    bad = [text for text in texts if served.encode(text).ids != learnt.encode(text).ids]
    assert not bad, bad


def test_a_pictures_vector_is_the_first_class_token(converted: Convert, checkpoint: Checkpoint) -> None:
    model, file = original(checkpoint(TIPS)), drawings.scene_file(*SIZES[0])
    prepare = transforms.Compose([transforms.Resize((EDGE, EDGE)), transforms.ToTensor()])
    with torch.inference_mode():
        states = model.vision_model(prepare(Image.open(io.BytesIO(file)))[None]).last_hidden_state[0]
    first, second = (torch.nn.functional.normalize(each, dim=0).numpy() for each in states[:2])
    (found,) = embed(converted(TIPS), "image", [file])
    assert (found * first).sum() > 0.99999
    assert (found * second).sum() < 0.99


def test_pictures_are_squashed_as_the_authors_transforms_do_it(converted: Convert) -> None:
    """Those of the model card: PIL's bilinear filter, and no mean. The library's processor, for torchvision's tensors,
    rounds otherwise, by one level at most."""
    made = converted(TIPS)
    spec = made.manifest.inputs["image"]
    assert (spec.resize, spec.height, spec.width, spec.interpolation) == ("squash", EDGE, EDGE, "bilinear")
    authors = transforms.Compose([transforms.Resize((EDGE, EDGE)), transforms.ToTensor()])
    library = Tipsv2ImageProcessor(size={"height": EDGE, "width": EDGE})
    files = [drawings.scene_file(*size) for size in SIZES]
    for file, pixels in zip(files, made.prepared("image", "pixels", files), strict=True):
        picture = Image.open(io.BytesIO(file))
        channels_first = np.moveaxis(pixels, -1, 0) / np.float32(255)
        assert channels_first == pytest.approx(authors(picture).numpy(), abs=1e-6)
        assert channels_first == pytest.approx(library(picture).pixel_values[0].numpy(), abs=1.01 / 255)


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("config.json", {"model_type": "tipsv2_dpt"}, "of the type 'tipsv2_dpt', not 'tipsv2'"),
        ("preprocessor_config.json", {"do_resize": False}, "has do_resize off"),
        ("preprocessor_config.json", {"rescale_factor": 1.0}, "does not scale by 1/255"),
    ],
)
def test_what_is_not_this_model_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, file: str, changes: dict[str, Any], says: str
) -> None:
    folder = shutil.copytree(checkpoint(TIPS), tmp_path / "other")
    change_json(folder / file, **changes)
    with pytest.raises(SourceError, match=says):
        families.load(LAYOUTS[TIPS].recipe, folder)
