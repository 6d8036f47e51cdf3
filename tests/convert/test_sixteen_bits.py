"""Weights in 16 bits and arithmetic in float32: as if they had been loaded in float32, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from multi2vec.convert import sixteen_bits
from multi2vec.convert.parts import gte
from multi2vec.convert.parts import sentence_pipelines as pipelines

TEXTS = [{"text": text} for text in ("a cat", "two dogs that sleep in the sun", "7")]


@pytest.mark.parametrize(
    ("layout", "dtype"),
    [
        ("text of Qwen3", torch.bfloat16),
        ("text of Mistral", torch.float16),
        ("text of ModernBERT", torch.float16),
        ("text of GTE", torch.float16),
        ("text of BERT", torch.float32),
    ],
)
def test_the_vectors_are_those_of_a_copy_in_float32(
    checkpoint: Callable[[str], Path], layout: str, dtype: torch.dtype
) -> None:
    gte.register()
    folder = checkpoint(layout)
    kept = pipelines.load(folder)
    copy = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": "float32"}, local_files_only=True)
    assert any(each.dtype == dtype for each in kept.state_dict().values())
    assert np.array_equal(kept.encode(TEXTS), copy.encode(TEXTS))  # type: ignore[arg-type]


def test_a_tower_keeps_its_weights_in_16_bits(checkpoint: Callable[[str], Path]) -> None:
    encoder = pipelines.load_encoder(checkpoint("text of Qwen3"))
    assert {each.dtype for each in encoder.state_dict().values()} == {torch.bfloat16}


def test_weights_of_two_dtypes_are_loaded_in_float32(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    save_file({"a": torch.zeros(2).half(), "b": torch.zeros(2)}, folder / "model.safetensors")
    assert sixteen_bits.stored_dtype(folder) == torch.float32
    save_file({"a": load_file(folder / "model.safetensors")["a"]}, folder / "model.safetensors")
    assert sixteen_bits.stored_dtype(folder) == torch.float16
    assert sixteen_bits.stored_dtype(tmp_path) == torch.float32
