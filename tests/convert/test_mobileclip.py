"""MobileCLIP: its own files of S0, and the folding of what was trained in several branches."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from tokenizers import Tokenizer

from multi2vec.convert import drawings, families, parity, tracing
from multi2vec.convert.errors import RecipeError, SourceError
from multi2vec.convert.families import mobileclip
from multi2vec.convert.model import Model, Scaling, Tower
from multi2vec.convert.parts import mobileclip_picture
from multi2vec.convert.parts.reparameterised import Reparameterised
from multi2vec.convert.recipe import TextOptions
from multi2vec.engine.preparers.pictures import prepare
from multi2vec.engine.wanted import Wanted
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS

Convert = Callable[[str], Converted]
Checkpoint = Callable[[str], Path]
Load = Callable[[str], Model]

S0 = "MobileCLIP-S0"
RECIPE = LAYOUTS[S0].recipe
# Of the original's tensors: `sorted(f"{name} {list(tensor.shape)}")`, joined by newlines, as sha256. Taken from
# `mobileclip.create_model_and_transforms("mobileclip_s0", reparameterize=False)` of
# https://github.com/apple/ml-mobileclip at 4144bb1f081a6bcb9bc9e6552dee3b29a9ef9855.
ORIGINAL_TENSORS = (893, "7ad273229dd833b5894b45406de781ced62e52850fb99767b4eed9c2ad55a3af")

FOLDED = [
    (S0, "text"),
    (S0, "image"),
    ("MobileCLIP-S1", "image"),
    ("MobileCLIP2-S3", "image"),
]
folded_towers = pytest.mark.parametrize(("layout", "modality"), FOLDED)


def test_names_and_shapes_are_those_of_the_published_file() -> None:
    model = mobileclip.Original(mobileclip.PUBLISHED["mobileclip_s0"])
    names = mobileclip_picture.original_names(model.picture.state_dict())
    tensors = {mobileclip.TEXT + name: tensor for name, tensor in model.text.state_dict().items()}
    tensors |= {
        mobileclip.PICTURE + names[name]: tensor for name, tensor in mobileclip_picture.stored(model.picture).items()
    }
    tensors["logit_scale"] = torch.zeros(())
    lines = sorted(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
    assert (len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()) == ORIGINAL_TENSORS


def reparameterised(tower: Tower) -> Reparameterised:
    assert isinstance(tower.module, Reparameterised)
    return tower.module


def example(tower: Tower) -> torch.Tensor:
    """What the tower takes: the traced texts, or pictures that are not black."""
    (given,) = tower.example
    if tower.scaling is None:
        return given
    return torch.rand(given.shape, generator=torch.Generator().manual_seed(0))


@folded_towers
def test_folding_changes_nothing(loaded: Load, layout: str, modality: str) -> None:
    tower = loaded(layout).parts[modality].tower
    module, given = reparameterised(tower), example(tower)
    with torch.inference_mode():
        folded, trained = module(given), module.trained(given)
    assert torch.nn.functional.cosine_similarity(folded, trained).min() > 0.999999
    assert torch.allclose(folded, trained, rtol=0, atol=1e-5 * float(trained.norm(dim=1).max()))


@folded_towers
def test_the_folded_graph_has_fewer_operations(loaded: Load, layout: str, modality: str) -> None:
    tower = loaded(layout).parts[modality].tower
    modules = tower.module, reparameterised(tower).trained
    folded, trained = (operations(dataclasses.replace(tower, module=module)) for module in modules)
    assert folded < trained


def operations(tower: Tower) -> int:
    """How many the tower's graph has."""
    return len(tracing.trace("tower", tower).get_ops())


@folded_towers
def test_the_hash_of_weights_is_of_those_that_were_trained(loaded: Load, layout: str, modality: str) -> None:
    module = reparameterised(loaded(layout).parts[modality].tower)
    assert {name.removeprefix("trained.") for name in module.state_dict()} == set(module.trained.state_dict())


def test_the_reference_is_not_folded(loaded: Load) -> None:
    for part in loaded(S0).parts.values():
        reference: Any = part.reference
        assert isinstance(reference.model, mobileclip.Original)
        kinds = {type(module).__name__ for module in reference.model.modules()}
        assert "BatchNorm2d" in kinds
        assert all(each.folded is None for each in reference.model.modules() if hasattr(each, "folded"))


def test_pictures_are_bilinear_cropped_and_numbers_from_0_to_1(loaded: Load) -> None:
    part = loaded(S0).parts["image"]
    spec: Any = part.spec
    assert (spec.resize, spec.interpolation, spec.crop_rounding) == ("shortest", "bilinear", "half_even")
    assert part.tower.scaling == Scaling((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize("size", [(65, 101), (101, 67), (64, 129), (1, 90), (333, 50)])
def test_pictures_of_odd_sizes(loaded: Load, size: tuple[int, int]) -> None:
    part = loaded(S0).parts["image"]
    spec: Any = part.spec
    data = drawings.scene_file(*size)
    assert np.array_equal(prepare(data, spec), part.reference.prepare(data)["pixels"])


def test_texts_have_the_full_length_and_padding_counts(converted: Convert) -> None:
    """Attention and convolutions reach into it."""
    made = converted(S0)
    spec = made.manifest.inputs["text"]
    assert (spec.padding, spec.max_length, spec.pad_id) == ("fixed", 77, 0)
    assert made.manifest.tower("text").inputs[0].shape == (None, 77)
    reference: Any = made.model.parts["text"].reference
    padded = open_clip.get_tokenizer("ViT-B-16")(["a cat on a mat"])
    other = padded.clone()
    other[padded == 0] = 7
    with torch.inference_mode():
        right, wrong = (torch.nn.functional.normalize(reference.model.encode_text(ids)) for ids in (padded, other))
    assert float((right * wrong).sum()) < 0.99
    with parity.opened(made.folder, "f32") as embedder:
        (row,) = asyncio.run(embedder.embed("text", ["a cat on a mat"], Wanted(normalise=True))).rows
    assert float(right.numpy()[0] @ np.asarray(row)) > 0.9999


def test_what_is_cut_keeps_the_end_token(converted: Convert) -> None:
    served = Tokenizer.from_file(str(converted(S0).folder / "tokenizer.json"))
    served.enable_truncation(77)
    ids = served.encode("word " * 200).ids
    original = open_clip.get_tokenizer("ViT-B-16")
    assert ids[-1] == original.eot_token_id
    assert ids == original(["word " * 200])[0].tolist()


def test_another_length_of_texts_is_refused(checkpoint: Checkpoint) -> None:
    shorter = dataclasses.replace(RECIPE, text=TextOptions(max_length=40))
    with pytest.raises(RecipeError, match="always have 77 tokens; leave max_length out"):
        families.load(shorter, checkpoint(S0))


def refused(folder: Path, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        families.load(RECIPE, folder)


def test_files_that_are_not_one_model(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint(S0), tmp_path / "other")
    path = folder / "mobileclip_s0.pt"
    shutil.copy(path, folder / "mobileclip_s9.pt")
    refused(folder, r"it has 2 files mobileclip_\*\.pt, not one")
    path.unlink()
    refused(folder, "there are sizes of mobileclip_s0 only; state others in mobileclip_s9.json")


@pytest.mark.parametrize("change", [{"model_name": "base"}, {"causal_masking": True}])
def test_another_kind_of_text_encoder(checkpoint: Checkpoint, tmp_path: Path, change: dict[str, Any]) -> None:
    folder = shutil.copytree(checkpoint(S0), tmp_path / "other")
    path = folder / "mobileclip_s0.json"
    stated = json.loads(path.read_text())
    stated["text_cfg"] |= change
    path.write_text(json.dumps(stated))
    refused(folder, "describes another kind of text encoder; open_clip's catalogue may have the model")


def test_the_published_sizes_need_no_file_beside_them(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """And a small checkpoint does not have them."""
    folder = shutil.copytree(checkpoint(S0), tmp_path / "other")
    (folder / "mobileclip_s0.json").unlink()
    refused(folder, "does not hold this model's weights: missing: .*; of another shape: ")
