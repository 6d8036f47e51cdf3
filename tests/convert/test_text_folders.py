"""Folders that text models come in: a plain encoder or decoder, pipelines with further modules, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers.sentence_transformer.modules import Dense
from transformers import AutoModel, AutoTokenizer, BertConfig, BertForMaskedLM, BertModel

from multi2vec.convert import families, pipeline
from multi2vec.convert.errors import RecipeError, SourceError
from multi2vec.convert.recipe import Recipe, TextOptions
from tests.checkpoints import text_layouts
from tests.checkpoints.common import spread
from tests.convert.conftest import Converted, quiet
from tests.convert.layouts import LAYOUTS
from tests.convert.texts import Vectors, encoded, sentence_transformer, smallest_cosine, unit, vectors

Checkpoint = Callable[[str], Path]

TEXTS = ["a photo of a cat", "two blue dogs run through the snow at night", ""]
EQUAL = 0.99999
PIPELINE = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")


def plain(checkpoint: Path, target: Path) -> Path:
    """The encoder without what sentence-transformers puts around it."""
    return Path(shutil.copytree(checkpoint, target, ignore=shutil.ignore_patterns(*PIPELINE, "1_Pooling")))


def pooled(layout: str, pooling: Any) -> Recipe:
    chosen = LAYOUTS[layout].recipe
    return dataclasses.replace(
        chosen, text=dataclasses.replace(chosen.text or TextOptions(), pooling=pooling, max_length=None)
    )


def by_hand(folder: Path, pooling: str) -> Vectors:
    model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in TEXTS:
        with torch.inference_mode():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        rows.append({"cls": states[0], "mean": states.mean(dim=0), "last": states[-1]}[pooling].numpy())
    return unit(np.stack(rows))


@pytest.mark.usefixtures("few_samples")
@pytest.mark.parametrize(
    ("layout", "pooling"), [("text of BERT", "cls"), ("text of BERT", "mean"), ("text of Qwen3", "last")]
)
def test_a_plain_folder_is_pooled_as_the_recipe_says(
    checkpoint: Checkpoint, tmp_path: Path, layout: str, pooling: str
) -> None:
    folder = plain(checkpoint(layout), tmp_path / "plain")
    read = pipeline.convert(pooled(layout, pooling), folder, tmp_path / "model", "fp16", quiet())
    assert read.parity["f32"]["text"]["dense"]["smallest_cosine"] > 0.9999
    assert smallest_cosine(vectors(tmp_path / "model", TEXTS), by_hand(folder, pooling)) > EQUAL


def test_a_plain_folder_without_a_word_on_pooling_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = plain(checkpoint("text of BERT"), tmp_path / "plain")
    with pytest.raises(
        SourceError, match=r"no modules.json; of a plain encoder the recipe says the pooling.*cls, mean"
    ):
        families.load(LAYOUTS["text of BERT"].recipe, folder)


def test_a_pipeline_s_pooling_is_its_own(checkpoint: Checkpoint) -> None:
    with pytest.raises(RecipeError, match="pooling is 'mean', but the checkpoint has a pooling of its own"):
        families.load(pooled("text of BERT", "mean"), checkpoint("text of BERT"))


def test_an_encoder_under_a_head_is_the_encoder(tmp_path: Path) -> None:
    """As models that were trained to fill gaps are saved: names begin with the encoder's, and the head is left out."""
    folder = text_layouts.bge(tmp_path / "checkpoint")
    masked = BertForMaskedLM(BertConfig.from_pretrained(folder))
    masked.bert.load_state_dict(BertModel.from_pretrained(folder, add_pooling_layer=False).state_dict())
    masked.save_pretrained(folder)
    assert any(name.startswith("cls.") for name in load_file(folder / "model.safetensors"))
    reference = families.load(LAYOUTS["text of BERT"].recipe, folder).parts["text"].reference
    assert smallest_cosine(unit(reference.rows(TEXTS)["dense"]), by_hand(folder, "cls")) > EQUAL


class TestSeveralFiles:
    """Large models are published in several files of weights and an index."""

    @pytest.fixture
    def folder(self, checkpoint: Checkpoint, tmp_path: Path) -> Path:
        folder = Path(shutil.copytree(checkpoint("text of Qwen3"), tmp_path / "checkpoint"))
        (folder / "model.safetensors").unlink()
        model = AutoModel.from_pretrained(checkpoint("text of Qwen3"), dtype=torch.bfloat16)
        model.save_pretrained(folder, max_shard_size="40KB")
        assert len(list(folder.glob("model-*-of-*.safetensors"))) > 2
        return folder

    @pytest.mark.usefixtures("few_samples")
    def test_they_are_one_model(self, folder: Path, tmp_path: Path, converted: Callable[[str], Converted]) -> None:
        read = pipeline.convert(LAYOUTS["text of Qwen3"].recipe, folder, tmp_path / "model", "fp16", quiet())
        assert read.fingerprint == converted("text of Qwen3").manifest.fingerprint

    def test_one_that_is_missing(self, folder: Path) -> None:
        missing = sorted(folder.glob("model-*-of-*.safetensors"))[1]
        missing.unlink()
        with pytest.raises(SourceError, match=missing.name):
            families.load(LAYOUTS["text of Qwen3"].recipe, folder)

    def test_an_index_that_is_missing(self, folder: Path) -> None:
        (folder / "model.safetensors.index.json").unlink()
        with pytest.raises(SourceError, match=r"no file named model\.safetensors"):
            families.load(LAYOUTS["text of Qwen3"].recipe, folder)


class TestFurtherModules:
    """modules.json may name layers after the pooling."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A BERT, the mean, and a layer from 64 to 48 dimensions with a bias and tanh."""
        folder = text_layouts.bge(tmp_path / "checkpoint")
        text_layouts.pipeline(folder, "mean_tokens", 64, 512)
        (folder / "2_Dense").mkdir()
        spread(Dense(64, 48)).save(str(folder / "2_Dense"))
        self.name(folder, "2_Dense", "Dense")
        return folder

    def name(self, folder: Path, path: str, kind: str) -> None:
        """Put that module before the last one."""
        file = folder / "modules.json"
        modules = json.loads(file.read_text())
        modules.insert(-1, {"idx": 2, "name": "2", "path": path, "type": f"sentence_transformers.models.{kind}"})
        for index, module in enumerate(modules):
            module |= {"idx": index, "name": str(index)}
        file.write_text(json.dumps(modules))

    @pytest.mark.usefixtures("few_samples")
    def test_a_layer_after_the_pooling(self, folder: Path, tmp_path: Path) -> None:
        read = pipeline.convert(LAYOUTS["text of BERT"].recipe, folder, tmp_path / "model", "fp16", quiet())
        assert read.dimensions == 48
        expected = encoded(sentence_transformer(folder), TEXTS)
        assert smallest_cosine(vectors(tmp_path / "model", TEXTS), expected) > EQUAL

    @pytest.mark.parametrize("spoil", ["missing", "of another shape"])
    def test_a_layer_whose_weights_are_spoilt(self, folder: Path, spoil: str) -> None:
        file = folder / "2_Dense" / "model.safetensors"
        state = load_file(file)
        weight = state.pop("linear.weight")
        if spoil != "missing":
            state["linear.weight"] = torch.cat([weight, weight[:1]])
        save_file(state, file)
        with pytest.raises(SourceError, match=r"linear\.weight"):
            families.load(LAYOUTS["text of BERT"].recipe, folder)

    def test_a_kind_that_is_not_known(self, folder: Path) -> None:
        self.name(folder, "3_LSTM", "LSTM")
        with pytest.raises(SourceError, match="3_LSTM is a module LSTM, which is not supported"):
            families.load(LAYOUTS["text of BERT"].recipe, folder)

    def test_a_folder_outside(self, folder: Path) -> None:
        self.name(folder, "../elsewhere", "Dense")
        with pytest.raises(SourceError, match=r"names \.\./elsewhere, which lies outside the checkpoint"):
            families.load(LAYOUTS["text of BERT"].recipe, folder)

    def test_prompts_that_are_left_out_of_the_pooling(self, folder: Path) -> None:
        """Vectors would depend on where a prompt ends, which a served text does not tell."""
        file = folder / "1_Pooling" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"include_prompt": False}))
        with pytest.raises(SourceError, match="leaves prompts out of the pooling"):
            families.load(LAYOUTS["text of BERT"].recipe, folder)
