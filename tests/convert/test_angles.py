"""Rotary positions stay right far into a text, whatever weights are stored as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from multi2vec.convert import angles, export, tracing
from multi2vec.convert.model import Tower, dense, token_inputs
from multi2vec.engine.encoder import Encoder, Execution
from multi2vec.manifest import Stored
from tests.convert.conftest import quiet

LENGTH = 8192
# As the last of 32 frequencies of a base of 10,000: no float16 is near them.
FREQUENCIES = 10000.0 ** (-torch.arange(0, 64, 2) / 64)


class Rotary(torch.nn.Module):
    """The angles of the last position, after a layer whose weights may be compressed and change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", FREQUENCIES)
        self.table = torch.nn.Embedding(4, 64)
        self.table.weight.data.fill_(1.0)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        places = torch.arange(input_ids.shape[1])[None, :, None].float()
        turned = places * torch.as_tensor(self.frequencies)
        return (self.table(input_ids) * torch.cat([turned.cos(), turned.sin()], dim=-1))[:, -1]


@pytest.fixture
def tower() -> Tower:
    return Tower(Rotary().eval(), token_inputs("input_ids"), (torch.ones(2, 5, dtype=torch.long),), dense(64))


@pytest.mark.parametrize("stored", ["fp32", "fp16", "int8", "int4"])
def test_angles_at_the_end_of_a_long_text(tmp_path: Path, tower: Tower, stored: Stored) -> None:
    spec = export.write_tower("text", tower, tmp_path, stored, quiet())
    ids = np.ones((1, LENGTH), dtype=np.int64)
    found = Encoder(tmp_path, spec, Execution(), "f32").encode({"input_ids": ids})["dense"][0]
    turned = (LENGTH - 1) * FREQUENCIES.double()
    expected = torch.cat([turned.cos(), turned.sin()]).numpy()
    # Of 32-bit arithmetic at angles of some thousand; frequencies in float16 are off by more than 1.
    assert np.abs(found - expected).max() < 2e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.bin", "text.xml"]


def test_frequencies_are_told_from_weights(tower: Tower) -> None:
    (numbers,) = angles.frequencies(tracing.trace("text", tower)).values()
    assert np.array_equal(numbers.flatten(), FREQUENCIES.numpy())
