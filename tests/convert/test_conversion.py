"""Every family on a small checkpoint in the hub's layout, stage by stage against the original library."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from multi2vec import manifest
from multi2vec.convert import drawings, parity, pipeline, recipe, samples, weights
from multi2vec.convert.model import Lazy, Model
from multi2vec.convert.originals import readings
from multi2vec.engine import proof
from multi2vec.engine.embedder import Embedder
from multi2vec.engine.precision import cpu_has_bf16
from multi2vec.engine.wanted import Wanted
from tests import checkpoints
from tests.convert.conftest import Converted, quiet
from tests.convert.layouts import LAYOUTS

Convert = Callable[[str], Converted]
Vectors = npt.NDArray[np.float32]
every_layout = pytest.mark.parametrize("layout", LAYOUTS)

UNIT = Wanted(normalise=True)


def cosines(one: Vectors, other: Vectors) -> Vectors:
    """Of each row of the one with each of the other."""
    lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1)[None]
    return np.asarray(one @ other.T / lengths)


def embed(embedder: Embedder, modality: str, items: Sequence[Any]) -> Vectors:
    return np.asarray(asyncio.run(embedder.embed(modality, items, UNIT)).rows)


@contextmanager
def served(made: Converted) -> Iterator[Embedder]:
    with parity.opened(made.folder, "f32") as embedder:
        yield embedder


@every_layout
def test_the_folder_is_complete_and_nothing_else(converted: Convert, layout: str) -> None:
    made = converted(layout)
    names = {path.name for path in made.folder.iterdir()}
    modalities = LAYOUTS[layout].inputs
    towers = {f"{tower}.{suffix}" for tower in LAYOUTS[layout].towers or modalities for suffix in ("xml", "bin")}
    assert names == {"manifest.json", "tokenizer.json", *towers, *LAYOUTS[layout].files}
    read = manifest.read(made.folder)
    manifest.verify_files(made.folder, read)
    assert set(read.files) == names - {"manifest.json"}
    assert (read.tag, read.schema, read.precision) == (LAYOUTS[layout].tag, manifest.SCHEMA, "fp16")
    assert read.modalities == tuple(modalities)
    assert read.libraries["openvino"]
    assert read.fingerprint == manifest.fingerprint_of(read)


@every_layout
def test_nothing_in_the_folder_tells_where_it_was_made(converted: Convert, layout: str) -> None:
    made = converted(layout)
    for name in ("manifest.json", *(tower.file for tower in made.manifest.towers.values())):
        text = (made.folder / name).read_text()
        assert str(made.folder.parent) not in text
        assert not re.search(r'"/(tmp|home|root|work|usr)/', text)


@every_layout
def test_the_figures_are_in_the_manifest(converted: Convert, layout: str) -> None:
    made = converted(layout)
    figures = made.manifest.parity
    inputs = LAYOUTS[layout].inputs
    inputs_only = figures.get("inputs_only", {})
    for modality in inputs:
        whole = figures["samples"][modality]
        fitting = [
            sample for sample in samples.SAMPLES[modality].all() if samples.fits(sample.item, made.manifest.modalities)
        ]
        assert whole + inputs_only.get(modality, 0) == len(fitting)
        assert whole >= 0.85 * len(fitting)
    assert figures["preparation"] == {modality: dict.fromkeys(names, 0) for modality, names in inputs.items()}
    for modality in inputs:
        assert figures["f32"][modality]["dense"]["smallest_cosine"] >= 0.9999
        assert figures["f32"][modality]["dense"]["length_ratio"] == pytest.approx(1, abs=2e-3)
        assert figures["towers"][modality]["dense"]["largest_difference"] < 2e-3
        if cpu_has_bf16():
            assert figures["bf16"][modality]["dense"]["smallest_cosine"] >= 0.999


@every_layout
def test_different_inputs_have_different_vectors(converted: Convert, layout: str) -> None:
    """Otherwise the cosines above would prove nothing."""
    parts = converted(layout).model.parts
    pictures = {picture.name: picture.item for picture in samples.pictures()}
    items = {
        "text": ["a photo of a cat", "two blue dogs run", "0123456789", "猫が好き"],
        "image": [pictures[name] for name in ("64×64", "grey", "palette", "RGBA")],
        "fused": [sample.item for sample in samples.fused()[:4]],
        "video": [sample.item for sample in samples.videos()],
    }
    for modality, part in parts.items():
        given = readings(part.spec, modality)[0].for_original
        vectors = np.array(part.reference.rows([given(item) for item in items[modality]])["dense"])
        apart = cosines(vectors, vectors)[~np.eye(len(vectors), dtype=bool)]
        assert apart.mean() < 0.95
        assert apart.max() < 0.999


@every_layout
def test_tower_and_reference_do_not_share_weights(loaded: Callable[[str], Model], layout: str) -> None:
    """So that what a library fills in with random numbers differs between the two, and shows."""
    for part in loaded(layout).parts.values():
        modules = [tower.module for tower in part.towers.values()]
        exported = {each.data_ptr() for module in modules for each in module.state_dict().values()}
        reference: Any = part.reference.original if isinstance(part.reference, Lazy) else part.reference
        original = getattr(reference, "model", None) or reference.pipeline
        assert exported.isdisjoint(each.data_ptr() for each in original.state_dict().values())


@every_layout
def test_the_examples_prove_the_folder(converted: Convert, layout: str) -> None:
    made = converted(layout)
    assert [example.modality for example in made.manifest.examples] == [
        modality
        for modality in LAYOUTS[layout].inputs
        for item in samples.SAMPLES[modality].examples()
        if samples.fits(item, made.manifest.modalities)
    ]
    with served(made) as embedder:
        asyncio.run(proof.prove(embedder))
        for example in made.manifest.examples:
            part = made.model.parts[example.modality]
            item = base64.b64decode(example.content) if example.modality == "image" else example.content
            given = readings(part.spec, example.modality)[0].for_original(item)
            (row,) = part.reference.rows([given])["dense"]
            # Alone instead of beside others in a batch.
            assert example.vector == pytest.approx(row, rel=1e-4, abs=1e-4)


@every_layout
def test_a_row_in_a_padded_batch_is_the_row_alone(converted: Convert, layout: str) -> None:
    texts = ["", "a cat", "a long text " * 30, "one two three"]
    with served(converted(layout)) as embedder:
        together = embed(embedder, "text", texts)
        alone = np.concatenate([embed(embedder, "text", [text]) for text in texts])
    # As far apart as unit vectors with a cosine of 0.99999. One vector may be zero.
    assert np.linalg.norm(together - alone, axis=1).max() < 0.0045


def test_clip_against_transformers_by_hand(converted: Convert, checkpoint: Callable[[str], Path]) -> None:
    """Without the family's own reference functions in between."""
    made, folder = converted("clip"), checkpoint("clip")
    model: CLIPModel = CLIPModel.from_pretrained(folder).eval()
    tokenizer, processor = CLIPTokenizer.from_pretrained(folder), CLIPImageProcessorPil.from_pretrained(folder)
    picture = drawings.scene_file(24, 16)
    with torch.inference_mode():
        text = model.get_text_features(**tokenizer(["a cat on a mat"], return_tensors="pt")).pooler_output
        image = model.get_image_features(
            **processor(Image.open(io.BytesIO(picture)), return_tensors="pt")
        ).pooler_output
    with served(made) as embedder:
        assert cosines(embed(embedder, "text", ["a cat on a mat"]), text.numpy())[0, 0] > 0.99999
        assert cosines(embed(embedder, "image", [picture]), image.numpy())[0, 0] > 0.99999


def test_a_folder_as_older_versions_of_the_library_wrote_it(
    tmp_path: Path, checkpoint: Callable[[str], Path], converted: Convert, few_samples: None
) -> None:
    """vocab.json and merges.txt instead of tokenizer.json, preprocessor_config.json, a torch file: as many have it."""
    older = checkpoints.as_older_versions(checkpoint("clip"), tmp_path / "older")
    assert not list(older.glob("*.safetensors"))
    made = pipeline.convert(LAYOUTS["clip"].recipe, older, tmp_path / "out", "fp32", quiet())
    newer = converted("clip").manifest
    assert made.precision == "fp32"
    assert made.inputs == newer.inputs
    # The same weights, tokenizer and specs: the precision that weights are stored in does not matter.
    assert made.fingerprint == newer.fingerprint
    for one, other in zip(made.examples, newer.examples, strict=True):
        assert one.vector == pytest.approx(other.vector, abs=1e-5)


def test_what_vectors_depend_on_is_in_the_fingerprint(
    tmp_path: Path, checkpoint: Callable[[str], Path], converted: Convert, few_samples: None
) -> None:
    made = converted("clip")
    chosen = LAYOUTS["clip"].recipe
    again = pipeline.convert(chosen, checkpoint("clip"), tmp_path / "again", "fp16", quiet())
    assert again.fingerprint == made.manifest.fingerprint
    turned = dataclasses.replace(chosen, picture=recipe.PictureOptions(exif_orientation=True, transparency="drop"))
    other_spec = pipeline.convert(turned, checkpoint("clip"), tmp_path / "turned", "fp16", quiet())
    other_tokenizer = dataclasses.replace(made.manifest, files={**made.manifest.files, "tokenizer.json": "0"})
    other = {other_spec.fingerprint, manifest.fingerprint_of(other_tokenizer)}
    assert made.manifest.fingerprint not in other
    assert len(other) == 2


def test_one_changed_number_changes_the_hash_of_the_weights(loaded: Callable[[str], Model]) -> None:
    model = loaded("clip")
    before = weights.digest(model)
    weight = next(iter(model.parts["text"].tower.module.parameters()))
    kept = weight.data.flatten()[0].clone()
    weight.data.flatten()[0] += 1e-3
    assert weights.digest(model) != before
    weight.data.flatten()[0] = kept
    assert weights.digest(model) == before
