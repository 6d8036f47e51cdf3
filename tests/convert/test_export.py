"""Writing a model folder: what the graphs hold, and that it appears whole or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch

from multi2vec import manifest
from multi2vec.convert import export
from multi2vec.convert.errors import ConversionError
from multi2vec.convert.model import Model, Scaling, Tower, dense, pixel_inputs, token_inputs
from multi2vec.engine.encoder import Encoder, Execution
from multi2vec.manifest import Stored
from multi2vec.specs import OutputSpec
from tests.convert.conftest import Converted, only, quiet
from tests.convert.layouts import LAYOUTS


class Flat(torch.nn.Module):
    """Hands the scaled pixels on, so that only scaling is measured; the weights are there to be compressed."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(12))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flatten(1) @ self.weight


@pytest.mark.parametrize("stored", ["fp16", "fp32"])
def test_scaling_is_exact_whatever_the_weights_precision(tmp_path: Path, stored: Stored) -> None:
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    tower = Tower(Flat(), pixel_inputs(2, 2), (torch.zeros(2, 3, 2, 2),), dense(12), Scaling(mean, std))
    spec = export.write_tower("image", tower, tmp_path, stored, quiet())
    pixels = np.arange(0, 252, 7, dtype=np.uint8)[:36].reshape(3, 2, 2, 3)
    vectors = Encoder(tmp_path, spec, Execution(), "f32").encode({"pixels": pixels})["dense"]
    expected = ((pixels / 255 - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2).reshape(3, 12)
    assert np.abs(vectors - expected).max() < 1e-6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.bin", "image.xml"]


def test_fp16_halves_the_weights_and_the_same_comes_out_again(tmp_path: Path, loaded: Callable[[str], Model]) -> None:
    texts = only(loaded("clip"), "text")
    folders: dict[str, Stored] = {"one": "fp16", "two": "fp16", "whole": "fp32"}
    for name, stored in folders.items():
        (tmp_path / name).mkdir()
        export.write(texts, tmp_path / name, stored, quiet())
    sizes = {name: (tmp_path / name / "text.bin").stat().st_size for name in folders}
    assert sizes["whole"] / sizes["one"] == pytest.approx(2, rel=0.05)
    for name in ("text.bin", "tokenizer.json"):
        assert manifest.sha256(tmp_path / "one" / name) == manifest.sha256(tmp_path / "two" / name)


@pytest.mark.parametrize(("licence", "forbids"), [("mit", False), ("cc-by-nc-4.0", True)])
def test_the_manifest_says_whether_commercial_use_is_forbidden(
    loaded: Callable[[str], Model], licence: str, forbids: bool
) -> None:
    chosen = dataclasses.replace(LAYOUTS["clip"].recipe, licence=licence)
    made = export.describe(chosen, loaded("clip"), {}, "fp16")
    assert (made.licence, made.non_commercial) == (licence, forbids)


def test_the_graphs_have_the_inputs_that_the_manifest_names(converted: Callable[[str], Converted]) -> None:
    made = converted("sentence_transformers multilingual")
    kinds = {"u8": ov.Type.u8, "i64": ov.Type.i64}
    for tower in made.manifest.towers.values():
        graph = ov.Core().read_model(made.folder / tower.file)
        assert len(graph.inputs) == len(tower.inputs)
        for port, spec in zip(graph.inputs, tower.inputs, strict=True):
            assert port.get_any_name() == spec.name
            assert port.get_element_type() == kinds[spec.dtype]
            shape = [None if size.is_dynamic else size.get_length() for size in port.get_partial_shape()]
            assert tuple(shape) == spec.shape
        assert graph.outputs[0].get_any_name() == "dense"
        assert graph.outputs[0].get_element_type() == ov.Type.f32
    assert [spec.name for spec in made.manifest.towers["text"].inputs] == ["input_ids", "attention_mask"]


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    with export.atomic_folder(target) as folder:
        (folder / "file").write_text("new")
        assert not target.exists()
    assert (target / "file").read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def write_half(target: Path, failure: type[BaseException]) -> None:
    with export.atomic_folder(target) as folder:
        (folder / "file").write_text("half")
        raise failure


@pytest.mark.parametrize("failure", [ConversionError, KeyboardInterrupt, MemoryError])
def test_a_failure_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    with pytest.raises(failure):
        write_half(tmp_path / "model", failure)
    assert list(tmp_path.iterdir()) == []


def older_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / manifest.FILE_NAME).write_text("older")
    return folder


def test_an_older_model_is_replaced_at_the_end(tmp_path: Path) -> None:
    target = older_model(tmp_path / "model")
    with export.atomic_folder(target) as folder:
        (folder / manifest.FILE_NAME).write_text("newer")
        assert (target / manifest.FILE_NAME).read_text() == "older"
    assert (target / manifest.FILE_NAME).read_text() == "newer"
    assert list(tmp_path.iterdir()) == [target]


def test_an_older_model_is_put_back_when_the_last_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = older_model(tmp_path / "model")
    rename = Path.rename

    def fail(self: Path, to: Path) -> Path:
        if self.name.endswith(".part"):
            raise OSError("disk full")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="disk full"), export.atomic_folder(target):
        pass
    assert (target / manifest.FILE_NAME).read_text() == "older"
    assert list(tmp_path.iterdir()) == [target]


def test_only_a_model_folder_is_ever_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConversionError, match="holds something else than a model"), export.atomic_folder(tmp_path):
        pass
    with pytest.raises(ConversionError, match="is a file"), export.atomic_folder(tmp_path / "thesis.txt"):
        pass
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


class TwoOutputs(torch.nn.Module):
    """Token vectors and their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(10, 6)

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = self.table(input_ids)
        return tokens.sum(dim=1), tokens


def two_outputs(*outputs: OutputSpec) -> Tower:
    return Tower(TwoOutputs(), token_inputs("input_ids"), (torch.tensor([[1, 2, 3], [4, 5, 6]]),), outputs)


def test_outputs_have_their_names(tmp_path: Path) -> None:
    tower = two_outputs(OutputSpec("dense", 6), OutputSpec("tokens", 6, "tokens"))
    spec = export.write_tower("text", tower, tmp_path, "fp32", quiet())
    graph = ov.Core().read_model(tmp_path / spec.file)
    assert [port.get_any_name() for port in graph.outputs] == ["dense", "tokens"]
    outputs = Encoder(tmp_path, spec, Execution(), "f32").encode({"input_ids": np.array([[1, 2]])})
    assert {name: each.shape for name, each in outputs.items()} == {"dense": (1, 6), "tokens": (1, 2, 6)}


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ((OutputSpec("dense", 6),), "has 2 outputs, not 1"),
        ((OutputSpec("dense", 7), OutputSpec("tokens", 6, "tokens")), "gives 'dense' in the shape"),
        ((OutputSpec("dense", 6), OutputSpec("tokens", 5, "tokens")), "gives 'tokens' in the shape"),
        ((OutputSpec("tokens", 6, "tokens"), OutputSpec("dense", 6)), "gives 'tokens' in the shape"),
    ],
)
def test_other_outputs_than_the_tower_says_are_refused(
    tmp_path: Path, outputs: tuple[OutputSpec, ...], message: str
) -> None:
    with pytest.raises(ConversionError, match=message):
        export.write_tower("text", two_outputs(*outputs), tmp_path, "fp32", quiet())
