"""A family with several outputs, prompts and a third modality goes through conversion without a change elsewhere."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from multi2vec import manifest
from multi2vec.convert import parity, references
from multi2vec.convert.errors import ParityError
from multi2vec.convert.recipe import TextOptions
from multi2vec.engine.rows import Sparse
from multi2vec.engine.wanted import Wanted
from tests import toy_family
from tests.toy_family import VIDEO


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_family.install(monkeypatch)


def test_every_output_with_every_prompt_is_compared(tmp_path: Path) -> None:
    console = Console(record=True, width=140, file=io.StringIO())
    made = toy_family.convert(tmp_path / "toy", console=console)
    shown = console.export_text()
    for stage in ("text input_ids", "text tower, sparse", "video frames", "video vectors, f32"):
        assert stage in shown
    for prompt in ("passage", "ask", "ask with a task"):
        for output in ("vectors, f32", "vectors, f32, tokens", "vectors, f32, sparse"):
            assert f"text {output}, prompt {prompt} " in shown
    assert made.modalities == ("text", VIDEO)
    assert made.parity["samples"] == {"text": len(toy_family.TEXTS), VIDEO: 3}
    assert made.parity["preparation"] == {"text": {"input_ids": 0}, VIDEO: {"frames": 0}}
    assert set(made.parity["f32"]["text"]) == {"dense", "tokens", "sparse"}
    assert set(made.parity["towers"][VIDEO]) == {"dense"}
    assert manifest.read(tmp_path / "toy") == made


def test_the_folder_serves_what_the_original_gives(tmp_path: Path) -> None:
    toy_family.convert(tmp_path / "toy")
    reference = toy_family.TextReference().rows(["find the bird : a cat"])
    with parity.opened(tmp_path / "toy", "f32") as embedder:

        def embed(output: str) -> object:
            wanted = Wanted(prompt="ask", task="the bird", output=output, normalise=False)
            return asyncio.run(embedder.embed("text", ["a cat"], wanted)).rows[0]

        assert np.allclose(embed("dense"), reference["dense"][0], atol=1e-3)
        assert np.allclose(embed("tokens"), reference["tokens"][0], atol=2e-3)
        sparse = embed("sparse")
        assert isinstance(sparse, Sparse)
        assert isinstance(reference["sparse"][0], Sparse)
        assert sparse.ids.tolist() == reference["sparse"][0].ids.tolist()
        videos = asyncio.run(embedder.embed(VIDEO, [toy_family.gif(5)], Wanted(normalise=False))).rows
        assert np.allclose(videos, toy_family.VideoReference().rows([toy_family.gif(5)])["dense"], atol=1e-2)


class WrongTokens(toy_family.TextTower):
    """Gives the right dense vectors and sparse weights, and token vectors of which one number is another."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        dense, tokens, sparse = super().forward(input_ids, attention_mask)
        return dense, tokens + torch.nn.functional.one_hot(torch.tensor(3), toy_family.DIMENSIONS), sparse


class WrongWeights(toy_family.TextTower):
    """Gives sparse weights that are twice too large."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        dense, tokens, sparse = super().forward(input_ids, attention_mask)
        return dense, tokens, sparse * 2


class DarkVideos(toy_family.VideoTower):
    """Sees the second half of a video only."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.cat([frames[:, :2] * 0, frames[:, 2:]], dim=1))


@pytest.mark.parametrize(
    ("name", "spoilt", "stage"),
    [
        ("TextTower", WrongTokens, "text tower, tokens: "),
        ("TextTower", WrongWeights, "text tower, sparse: "),
        ("VideoTower", DarkVideos, "video tower: "),
    ],
)
def test_one_wrong_output_fails_the_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, spoilt: type, stage: str
) -> None:
    monkeypatch.setattr(toy_family, name, spoilt)
    with pytest.raises(ParityError, match=f"\n  {stage}") as error:
        toy_family.convert(tmp_path / "toy")
    assert "text tower: " not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_prompt_that_is_served_otherwise_fails_the_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = references.prompted
    monkeypatch.setattr(references, "prompted", lambda text, prompt: right(text, prompt).replace("passage", "query"))
    with pytest.raises(ParityError, match="text input_ids, prompt passage: "):
        toy_family.convert(tmp_path / "toy")


def test_prompts_are_in_the_fingerprint(tmp_path: Path) -> None:
    made = toy_family.convert(tmp_path / "toy")
    other = dataclasses.replace(toy_family.RECIPE, text=TextOptions({"query": "query : "}, "query"))
    assert toy_family.convert(tmp_path / "other", other).fingerprint != made.fingerprint
