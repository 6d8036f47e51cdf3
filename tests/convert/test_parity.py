"""The gate: what goes wrong is caught, named by its stage, and nothing is written."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from inference import manifest
from inference.convert import families, parity, pipeline, recipe
from inference.convert.errors import ParityError
from inference.convert.model import ImagePart, Model, Scaling, TextPart
from tests.convert.conftest import quiet

Load = Callable[[str], Model]
Spoil = Callable[[Model], Model]


def text(model: Model) -> TextPart:
    assert model.text is not None
    return model.text


def image(model: Model) -> ImagePart:
    assert model.image is not None
    return model.image


class Leaning(torch.nn.Module):
    """A tower whose every vector leans a little to one side."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.module(inputs)
        return vectors + 0.05 * vectors.norm(dim=-1, keepdim=True) / vectors.shape[-1] ** 0.5


def tower(model: Model) -> Model:
    part = text(model)
    tower = dataclasses.replace(part.tower, module=Leaning(part.tower.module))
    return dataclasses.replace(model, text=dataclasses.replace(part, tower=tower))


def mean(model: Model) -> Model:
    part = image(model)
    tower = dataclasses.replace(part.tower, scaling=Scaling((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    return dataclasses.replace(model, image=dataclasses.replace(part, tower=tower))


def tokenizer(model: Model) -> Model:
    part = text(model)
    return dataclasses.replace(
        model, text=dataclasses.replace(part, tokenizer=part.tokenizer.replace('"Lowercase"', '"NFC"'))
    )


def length(model: Model) -> Model:
    part = text(model)
    return dataclasses.replace(model, text=dataclasses.replace(part, spec=dataclasses.replace(part.spec, max_length=4)))


def interpolation(model: Model) -> Model:
    part = image(model)
    return dataclasses.replace(
        model, image=dataclasses.replace(part, spec=dataclasses.replace(part.spec, interpolation="bilinear"))
    )


def rounding(model: Model) -> Model:
    part = image(model)
    return dataclasses.replace(
        model, image=dataclasses.replace(part, spec=dataclasses.replace(part.spec, crop_rounding="half_even"))
    )


def ground(model: Model) -> Model:
    part = image(model)
    return dataclasses.replace(
        model, image=dataclasses.replace(part, spec=dataclasses.replace(part.spec, transparency="drop"))
    )


@pytest.mark.usefixtures("few_samples")
@pytest.mark.parametrize(
    ("spoil", "stage"),
    [
        (tower, "text tower"),
        (mean, "image tower"),
        (tokenizer, "token ids"),
        (length, "token ids"),
        (interpolation, "pixels"),
        (rounding, "pixels"),
        (ground, "pixels"),
    ],
)
def test_a_spoilt_model_is_not_written(
    tmp_path: Path, loaded: Load, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, stage: str
) -> None:
    spoilt = spoil(loaded("clip"))
    # Only the half that is spoilt, to save time.
    spoilt = dataclasses.replace(spoilt, **{"image" if stage in ("text tower", "token ids") else "text": None})
    monkeypatch.setattr(families, "load", lambda recipe, source: spoilt)
    console = Console(record=True, width=120, file=io.StringIO())
    with pytest.raises(ParityError, match=rf"\n  {stage}"):
        pipeline.convert(recipe.read("openai-clip-vit-base-patch32"), None, tmp_path / "out", "fp16", console)
    shown = console.export_text()
    assert "Parity with the original library" in shown
    assert "below" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("few_samples")
def test_an_older_model_survives_a_failed_conversion(
    tmp_path: Path, loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, target = recipe.read("openai-clip-vit-base-patch32"), tmp_path / "out"
    pictures = dataclasses.replace(loaded("clip"), text=None)
    monkeypatch.setattr(families, "load", lambda recipe, source: pictures)
    before = pipeline.convert(chosen, None, target, "fp16", quiet())
    monkeypatch.setattr(families, "load", lambda recipe, source: mean(pictures))
    with pytest.raises(ParityError):
        pipeline.convert(chosen, None, target, "fp16", quiet())
    assert manifest.read(target) == before
    manifest.verify_files(target, before)


def test_a_picture_that_the_original_cannot_read_is_noted(
    tmp_path: Path, loaded: Load, few_samples: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("clip")
    reference = image(model).reference

    calls = iter(range(100))

    class FailsOnce:
        vectors = staticmethod(reference.vectors)

        @staticmethod
        def pixels(data: bytes) -> object:
            if next(calls) == 0:
                raise OSError("unknown mode")
            return reference.pixels(data)

    part = dataclasses.replace(image(model), reference=FailsOnce())  # type: ignore[arg-type]
    spoilt = dataclasses.replace(model, text=None, image=part)
    monkeypatch.setattr(families, "load", lambda recipe, source: spoilt)
    made = pipeline.convert(recipe.read("openai-clip-vit-base-patch32"), None, tmp_path / "out", "fp16", quiet())
    assert made.parity["samples"]["images"] == 4
    assert "unknown mode" in made.parity["notes"][0]


def test_without_bf16_the_manifest_says_so(
    tmp_path: Path, loaded: Load, few_samples: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "precisions", lambda: ("f32",))
    texts = dataclasses.replace(loaded("clip"), image=None)
    monkeypatch.setattr(families, "load", lambda recipe, source: texts)
    made = pipeline.convert(recipe.read("openai-clip-vit-base-patch32"), None, tmp_path / "out", "fp16", quiet())
    assert made.modalities == ("text",)
    assert made.parity["bf16"] == "not measured: this CPU has no bf16"


def test_nan_is_below_every_floor() -> None:
    vectors = np.ones((2, 3), dtype=np.float32)
    prepared = parity.Prepared("text", ["one", "two"], [], [], vectors, dict, 1)  # type: ignore[arg-type]
    stage = parity.compare("text", np.full((2, 3), np.nan, dtype=np.float32), prepared, 0.9)
    assert len(stage.faults) == 2
