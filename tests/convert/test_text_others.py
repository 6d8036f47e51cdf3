"""Text models against programs that were not written here: transformers' pipeline, and the loaders of mteb.

mteb (https://github.com/embeddings-benchmark/mteb) holds, for each of these models, the code that its published figures
were measured with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
import torch
from datasets import Dataset, disable_caching
from mteb.types import PromptType
from torch.utils.data import DataLoader
from transformers import pipeline

from multi2vec.convert.parts import gte
from tests.convert.conftest import Converted
from tests.convert.texts import Vectors, smallest_cosine, unit, vectors

Convert = Callable[[str], Converted]
Checkpoint = Callable[[str], Path]

TEXTS = ["a photo of a cat", "two blue dogs run through the snow at night", "猫が好き", "how do I water a cactus?"]
EQUAL = 0.99999


@pytest.mark.parametrize(
    ("layout", "pooling", "end"),
    [
        ("text of BERT", "first", ""),
        ("text of BERT with XLM-RoBERTa's tokenizer", "mean", ""),
        ("text of XLM-RoBERTa", "mean", ""),
        ("text of ModernBERT", "first", ""),
        ("text of GTE", "first", ""),
        ("text of Qwen3", "last", ""),
        ("text of Mistral", "last", "</s>"),
        ("text of Qwen2", "last", "<|endoftext|>"),
    ],
)
def test_transformers_pipeline(converted: Convert, checkpoint: Checkpoint, layout: str, pooling: str, end: str) -> None:
    """It gives the states of all tokens; the pooling is done here, as the models' cards do it."""
    gte.register()
    folder = str(checkpoint(layout))
    extract = pipeline("feature-extraction", model=folder, tokenizer=folder, device="cpu", dtype=torch.float32)
    states = [np.asarray(extract(text + end))[0] for text in TEXTS]
    pooled = {
        "first": [each[0] for each in states],
        "mean": [each.mean(axis=0) for each in states],
        "last": [each[-1] for each in states],
    }
    assert smallest_cosine(vectors(converted(layout).folder, TEXTS), unit(pooled[pooling])) > EQUAL


# Of each layout the model that it is a small one of.
MODELS = {
    "text of BERT": "BAAI/bge-small-en-v1.5",
    "text of BERT with XLM-RoBERTa's tokenizer": "intfloat/multilingual-e5-small",
    "text of XLM-RoBERTa": "intfloat/multilingual-e5-base",
    "text of ModernBERT": "Alibaba-NLP/gte-modernbert-base",
    "text of GTE": "Alibaba-NLP/gte-multilingual-base",
    "text of Qwen3": "Qwen/Qwen3-Embedding-0.6B",
    "text of Mistral": "intfloat/e5-mistral-7b-instruct",
    "text of Qwen2": "Alibaba-NLP/gte-Qwen2-1.5B-instruct",
}
# Its prompt for queries is the one that the recipes have.
BENCHMARK = "MSMARCO"


@pytest.fixture(autouse=True)
def without_a_cache() -> None:
    disable_caching()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", MODELS)
def test_mteb_s_loaders(converted: Convert, checkpoint: Checkpoint, layout: str) -> None:
    """Queries and documents, with whatever prompts and tokens mteb puts around them."""
    made = converted(layout)
    names = made.manifest.inputs["text"].prompts
    model = loaded_by_mteb(MODELS[layout], checkpoint(layout))
    for kind, role in ((PromptType.query, "query"), (PromptType.document, "document")):
        found = vectors(made.folder, TEXTS, prompt=role if role in names else None)
        assert smallest_cosine(found, encoded_by_mteb(model, kind)) > EQUAL


def loaded_by_mteb(name: str, folder: Path) -> Any:
    """The folder by the loader and with the options that mteb has for that model, but in float32 and without code out
    of the folder."""
    gte.register()
    meta = mteb.get_model_meta(name)
    options = {**meta.loader_kwargs, "model_kwargs": {"dtype": torch.float32}, "trust_remote_code": False}
    model = meta.loader(str(folder), revision=meta.revision, device="cpu", **options)
    model.mteb_model_meta = meta
    return model


def encoded_by_mteb(model: Any, kind: PromptType) -> Vectors:
    """As a benchmark would ask for queries or documents: float32 (n, D) at unit length."""
    loader = DataLoader(Dataset.from_dict({"text": TEXTS}), batch_size=2)
    rows = model.encode(
        loader,
        task_metadata=mteb.get_task(BENCHMARK).metadata,
        hf_split="dev",
        hf_subset="default",
        prompt_type=kind,
        show_progress_bar=False,
    )
    return unit(rows)
