"""BGE-M3's three answers, against what its authors' library does with the encoder's states."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, XLMRobertaModel

import multi2vec
from multi2vec import Wanted, manifest
from multi2vec.convert import families, pipeline
from multi2vec.convert.errors import SourceError
from multi2vec.convert.families import bge_m3
from multi2vec.engine.rows import Sparse
from tests import checkpoints
from tests.convert.conftest import Converted, quiet
from tests.convert.layouts import LAYOUTS

HEADS = ("sparse_linear.pt", "colbert_linear.pt")
TEXTS = ("a photo of a cat", "red red red blue", "猫が好き", "it's we're I'll they've I'm he'd don't", "x")


@pytest.fixture(scope="module")
def model(converted: Callable[[str], Converted]) -> Iterator[multi2vec.Model]:
    with multi2vec.open_model(converted("bge_m3").folder, precision="f32") as opened:
        yield opened


@pytest.fixture(scope="module")
def states(checkpoint: Callable[[str], Path]) -> Callable[[str], tuple[list[int], torch.Tensor]]:
    """A text's token ids and the encoder's states (length, 64), by transformers."""
    folder = checkpoint("bge_m3")
    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), XLMRobertaModel.from_pretrained(folder).eval()

    def of(text: str) -> tuple[list[int], torch.Tensor]:
        ids = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            return ids["input_ids"][0].tolist(), encoder(**ids).last_hidden_state[0]

    return of


@pytest.fixture(scope="module")
def heads(checkpoint: Callable[[str], Path]) -> list[dict[str, torch.Tensor]]:
    files = [checkpoint("bge_m3") / name for name in HEADS]
    return [{name: each.float() for name, each in torch.load(file).items()} for file in files]


def embed(model: multi2vec.Model, texts: Sequence[str], output: str) -> Any:
    return model.embed(texts=texts, wanted=Wanted(output=output)).rows


@pytest.mark.parametrize("text", TEXTS)
def test_dense_is_the_first_state_at_unit_length(model: multi2vec.Model, states: Any, text: str) -> None:
    expected = torch.nn.functional.normalize(states(text)[1][0], dim=0).numpy()
    assert embed(model, [text], "dense")[0] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("text", TEXTS)
def test_sparse_is_the_largest_weight_of_each_token_id(
    model: multi2vec.Model, states: Any, heads: Any, text: str
) -> None:
    ids, found = states(text)
    weights = torch.relu(found @ heads[0]["weight"][0] + heads[0]["bias"]).tolist()
    expected: dict[int, float] = {}
    for number, weight in zip(ids, weights, strict=True):
        if number > 3 and weight > 0:
            expected[number] = max(weight, expected.get(number, 0.0))
    (row,) = embed(model, [text], "sparse")
    assert row.ids.tolist() == sorted(expected)
    assert row.weights.tolist() == pytest.approx([expected[number] for number in sorted(expected)], abs=5e-3)


def test_special_tokens_have_no_weight(model: multi2vec.Model, checkpoint: Callable[[str], Path]) -> None:
    """Neither those that stand around a text, nor those in it: cls, padding, end and unknown are the ids 0 to 3."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("bge_m3"))
    text = "a cat <s> </s> <unk> <pad> \U0001f9ff"
    assert set(tokenizer(text)["input_ids"]) >= {0, 1, 2, 3}
    assert bge_m3.unweighted_ids(tokenizer) == [0, 1, 2, 3]
    (row,) = embed(model, [text], "sparse")
    assert row.ids.min() > 3
    assert not len(embed(model, [""], "sparse")[0].ids)


@pytest.mark.parametrize("text", TEXTS)
def test_colbert_has_a_vector_for_each_token_but_the_first(
    model: multi2vec.Model, states: Any, heads: Any, text: str
) -> None:
    ids, found = states(text)
    vectors = torch.nn.functional.normalize(found[1:] @ heads[1]["weight"].T + heads[1]["bias"], dim=-1).numpy()
    (row,) = embed(model, [text], "colbert")
    assert row.shape == (len(ids) - 1, 64)
    assert row == pytest.approx(vectors, abs=2e-3)
    assert np.linalg.norm(row, axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("output", ["dense", "sparse", "colbert"])
def test_a_text_among_longer_ones_is_the_text_alone(model: multi2vec.Model, output: str) -> None:
    """Positions are counted without padding, and padding has no share in any output."""
    texts = [*TEXTS, "a long text " * 60]
    together, alone = embed(model, texts, output), [embed(model, [text], output)[0] for text in texts]
    for one, other in zip(together, alone, strict=True):
        if isinstance(one, Sparse):
            assert one.ids.tolist() == other.ids.tolist()
            one, other = one.weights, other.weights
        assert one.shape == other.shape
        assert one == pytest.approx(other, abs=1e-4)


def test_a_text_of_8192_tokens_has_all_three(model: multi2vec.Model) -> None:
    text = "a cat " * 10_000
    embedded = {name: model.embed(texts=[text], wanted=Wanted(output=name)) for name in ("dense", "sparse", "colbert")}
    assert all((each.tokens, each.truncated) == ([8192], 1) for each in embedded.values())
    assert embedded["colbert"].rows[0].shape == (8191, 64)  # type: ignore[union-attr]
    few = embed(model, ["a cat a cat"], "sparse")[0]
    assert set(few.ids) <= set(embedded["sparse"].rows[0].ids)  # type: ignore[union-attr]


def test_sparse_weights_survive_compressed_ones(
    tmp_path: Path, checkpoint: Callable[[str], Path], few_samples: None
) -> None:
    """A single column of compressed weights, on one thread, is zero to OpenVINO."""
    pipeline.convert(LAYOUTS["bge_m3"].recipe, checkpoint("bge_m3"), tmp_path / "int8", "int8", quiet())
    with multi2vec.open_model(tmp_path / "int8", precision="f32") as opened:
        (row,) = embed(opened, ["a photo of a cat"], "sparse")
    assert len(row.ids) > 2


def test_the_manifest_says_what_there_is(converted: Callable[[str], Converted]) -> None:
    read = manifest.read(converted("bge_m3").folder)
    outputs = [(each.name, each.kind, each.dimensions, each.skipped) for each in read.tower("text").outputs]
    tokens = len(checkpoints.xlm_roberta_tokenizer())
    assert outputs == [("dense", "dense", 64, 0), ("sparse", "sparse", tokens, 0), ("colbert", "tokens", 64, 1)]
    assert set(read.parity["f32"]["text"]) == {"dense", "sparse", "colbert"}
    assert read.spec("text").max_length == 8192


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("spoil", ["missing", "a pickle", "no state"])
def test_a_head_that_cannot_be_read_is_refused(
    tmp_path: Path, checkpoint: Callable[[str], Path], name: str, spoil: str
) -> None:
    folder = Path(shutil.copytree(checkpoint("bge_m3"), tmp_path / "spoilt"))
    if spoil == "missing":
        (folder / name).unlink()
    elif spoil == "a pickle":
        (folder / name).write_bytes(pickle.dumps({"weight": Path("a"), "bias": 1}))
    else:
        torch.save(torch.zeros(3), folder / name)
    with pytest.raises(SourceError, match=str(folder)) as refused:
        families.load(LAYOUTS["bge_m3"].recipe, folder)
    assert "\n" not in str(refused.value)
