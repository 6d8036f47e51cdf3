"""MetaCLIP 2 against the library by hand: XLM-V's kind of tokenizer, the end token, squashed pictures."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import MetaClip2Model

from multi2vec.convert import families, parity
from multi2vec.convert.errors import SourceError
from multi2vec.engine.wanted import Wanted
from tests.convert.conftest import Converted
from tests.convert.layouts import LAYOUTS

METACLIP = "MetaCLIP 2"
# In XLM-RoBERTa's vocabularies, of which XLM-V's is one.
START, END = 0, 2
Convert = Callable[[str], Converted]
Checkpoint = Callable[[str], Path]


def ids_of(made: Converted, text: str) -> np.ndarray:
    """As served."""
    return made.prepared("text", "input_ids", [text])[0]


def test_vectors_are_taken_at_the_end_token_whatever_stands_behind_it(
    converted: Convert, checkpoint: Checkpoint
) -> None:
    made, texts = converted(METACLIP), ["a cat on a mat", "猫が好き", ""]
    model: Any = MetaClip2Model.from_pretrained(checkpoint(METACLIP)).eval()
    for text in texts:
        ids = torch.tensor(ids_of(made, text))[None]
        behind = torch.nn.functional.pad(ids, (0, 20), value=7)
        with torch.inference_mode():
            alone, followed = (model.get_text_features(each).pooler_output[0] for each in (ids, behind))
        assert torch.allclose(alone, followed, atol=1e-4)
        with parity.opened(made.folder, "f32") as embedder:
            (row,) = asyncio.run(embedder.embed("text", [text], Wanted(normalise=False))).rows
        assert row == pytest.approx(alone.numpy(), abs=2e-3 * alone.norm().item())


def test_texts_are_cut_at_77_tokens_and_keep_their_end_token(converted: Convert) -> None:
    ids = ids_of(converted(METACLIP), "one two three four " * 40)
    assert len(ids) == 77
    assert (ids[0], ids[-1]) == (START, END)
    assert END not in ids[:-1]


def test_the_tokenizer_is_the_checkpoints(converted: Convert, checkpoint: Checkpoint) -> None:
    """Read without transformers."""
    served = Tokenizer.from_file(str(converted(METACLIP).folder / "tokenizer.json"))
    own = Tokenizer.from_file(str(checkpoint(METACLIP) / "tokenizer.json"))
    for text in ("a photo of a cat", "CAPITALS", "猫が好き", "  spaces  ", "ﬁ ½"):
        assert served.encode(text).ids == own.encode(text).ids


def test_pictures_are_squashed_unlike_clips(converted: Convert) -> None:
    spec = converted(METACLIP).manifest.inputs["image"]
    assert (spec.resize, spec.height, spec.width, spec.interpolation) == ("squash", 48, 48, "bicubic")


def test_another_end_token_than_the_tokenizers_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint(METACLIP), tmp_path / "other")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["text_config"]["eos_token_id"] = 49407
    path.write_text(json.dumps(config))
    with pytest.raises(SourceError, match="the tokenizer ends texts with the token 2, the model expects 49407"):
        families.load(LAYOUTS[METACLIP].recipe, folder)
