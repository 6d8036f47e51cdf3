"""Rotary positions stay right far into a text, and pixels are scaled as they should be, whatever weights are stored
as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from multi2vec.convert import exact, export, tracing
from multi2vec.convert.model import Tower, dense, token_inputs
from multi2vec.engine.encoder import Encoder, Execution
from multi2vec.manifest import Stored
from multi2vec.specs import TensorSpec
from tests.convert.conftest import quiet

LENGTH = 8192
# As the last of 32 frequencies of a base of 10,000: no float16 is near them.
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
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
    (numbers,) = exact.numbers(tracing.trace("text", tower)).values()
    assert np.array_equal(numbers.flatten(), FREQUENCIES.numpy())


class Scaled(torch.nn.Module):
    """Pixels less their mean, in a layer that changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.nn.Buffer(MEAN)
        self.layer = torch.nn.Linear(3, 64, bias=False)
        self.layer.weight.data.copy_(torch.eye(3).repeat(22, 1)[:64])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scaled: torch.Tensor = self.layer((pixels.float() / 255 - self.mean) / self.mean)
        return scaled


def test_pixels_scaled_by_numbers_that_float16_cannot_hold(tmp_path: Path) -> None:
    example = (torch.zeros(2, 3, dtype=torch.uint8),)
    tower = Tower(Scaled().eval(), (TensorSpec("pixels", "u8", (None, 3)),), example, dense(64))
    spec = export.write_tower("vision", tower, tmp_path, "fp16", quiet())
    pixels = np.array([[0, 128, 255]], dtype=np.uint8)
    found = Encoder(tmp_path, spec, Execution(), "f32").encode({"pixels": pixels})["dense"][0, :3]
    expected = (torch.from_numpy(pixels[0]).double() / 255 - MEAN.double()) / MEAN.double()
    assert np.abs(found - expected.numpy()).max() < 1e-6
