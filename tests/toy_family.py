"""A toy family, to prove that the seams carry what is to come: several outputs, prompts, and a third modality.

Texts have a dense vector, token vectors and sparse weights, and prompts of which one takes a task; videos (animated
GIFs) have a dense vector. Nothing in `engine/` or `serve/` knows of it: `install` adds it to the tables.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from rich.console import Console
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from multi2vec import manifest, specs
from multi2vec.convert import families, options, pipeline, samples
from multi2vec.convert.model import Model, Part, Tower, token_inputs
from multi2vec.convert.recipe import FolderSource, Recipe, TextOptions
from multi2vec.convert.samples import Sample, Samples
from multi2vec.engine import preparers
from multi2vec.engine.errors import BadInput
from multi2vec.engine.preparers import Entry, Prepared
from multi2vec.engine.rows import Array, Row, Sparse
from multi2vec.engine.wanted import Wanted
from multi2vec.engine.work import Budget, Limits
from multi2vec.manifest import Manifest
from multi2vec.specs import Modality, OutputSpec, Prompt, TensorSpec, TextSpec, TowerSpec
from tests import toy

NAME, VIDEO = "toy", "video"
DIMENSIONS = 16
FRAMES, SIDE = 4, 6
MAX_LENGTH = 24
WORDS = ("<pad>", "<s>", "</s>", "<unk>", *"a the red green blue cat dog bird find query passage : text that".split())
TEXTS = ("a red cat", "the dog", "", "blue bird find", "a " * 40, "query : a cat", "unknown words only", "red red red")
PROMPTS: dict[str, str | Prompt] = {
    "query": "query : ",
    "passage": "passage : {text}",
    "ask": Prompt("find {task} : {text}", task="the cat"),
}
OUTPUTS = (
    OutputSpec("dense", DIMENSIONS),
    OutputSpec("tokens", DIMENSIONS, "tokens"),
    OutputSpec("sparse", len(WORDS), "sparse"),
)


TOKEN_WEIGHTS = toy.weights(1, len(WORDS), DIMENSIONS)
SPARSE_WEIGHTS = toy.weights(2, DIMENSIONS)
VIDEO_WEIGHTS = toy.weights(3, FRAMES * SIDE * SIDE * 3, DIMENSIONS)


class TextTower(torch.nn.Module):
    """int64 (rows, length) ids and mask to dense (rows, D), tokens (rows, length, D) and weights (rows, length)."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.from_numpy(TOKEN_WEIGHTS.copy()))
        self.head = torch.nn.Parameter(torch.from_numpy(SPARSE_WEIGHTS.copy()))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mask = attention_mask.to(torch.float32).unsqueeze(-1)
        tokens = self.table[input_ids]
        dense = (tokens * mask).sum(dim=1) / mask.sum(dim=1)
        return dense, tokens, torch.relu(tokens @ self.head)


class VideoTower(torch.nn.Module):
    """uint8 (rows, frames, side, side, 3) to (rows, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.from_numpy(VIDEO_WEIGHTS.copy()))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return (frames.to(torch.float32) / 255).flatten(1) @ self.weight


def tokenizer() -> Tokenizer:
    """One token per known word, in lower case."""
    return toy.tokenizer(WORDS, normalizers.Lowercase(), pre_tokenizers.WhitespaceSplit())


@dataclass(frozen=True)
class TextReference:
    """The "original library": numpy, and words looked up in a list."""

    def prepare(self, item: str) -> Mapping[str, Array]:
        words = [word if word in WORDS else "<unk>" for word in item.lower().split()][: MAX_LENGTH - 2]
        return {"input_ids": np.array([WORDS.index(word) for word in ("<s>", *words, "</s>")], dtype=np.int64)}

    def rows(self, items: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        ids = [self.prepare(item)["input_ids"] for item in items]
        tokens = [TOKEN_WEIGHTS[each] for each in ids]
        return {
            "dense": [each.mean(axis=0) for each in tokens],
            "tokens": tokens,
            "sparse": [_sparse(each, rows @ SPARSE_WEIGHTS) for each, rows in zip(ids, tokens, strict=True)],
        }


def _sparse(ids: Array, weights: Array) -> Sparse:
    largest = {int(number): float(weights[ids == number].max()) for number in sorted(set(ids.tolist()))}
    kept = {number: weight for number, weight in largest.items() if weight > 0}
    return Sparse(np.array(list(kept), dtype=np.int64), np.array(list(kept.values()), dtype=np.float32))


@dataclass(frozen=True)
class VideoReference:
    """The "original library": numpy, and a frame after the other."""

    def prepare(self, item: bytes) -> Mapping[str, Array]:
        video = Image.open(io.BytesIO(item))
        frames = []
        for number in range(FRAMES):
            video.seek(min(number, video.n_frames - 1))
            frames.append(np.asarray(video.convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)))
        return {"frames": np.stack(frames)}

    def rows(self, items: Sequence[bytes]) -> Mapping[str, Sequence[Row]]:
        pixels = [self.prepare(item)["frames"].astype(np.float32) / 255 for item in items]
        return {"dense": [each.reshape(-1) @ VIDEO_WEIGHTS for each in pixels]}


@dataclass(frozen=True)
class VideoSpec:
    """How a video becomes the tower's input."""

    tower: str
    frames: int
    side: int

    @property
    def vision(self) -> None:
        """One tower does it all."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Videos."""
        return (VIDEO,)

    @property
    def files(self) -> tuple[str, ...]:
        """Nothing beside the tower."""
        return ()


def video_preparers(folder: Path, spec: VideoSpec, tower: TowerSpec, limits: Limits) -> dict[Modality, Any]:
    """What the table of preparers has."""
    return {VIDEO: VideoPreparer(folder, spec, tower, limits)}


class VideoPreparer:
    """Takes animated GIFs as bytes, or in base64."""

    def __init__(self, folder: Path, spec: VideoSpec, tower: TowerSpec, limits: Limits) -> None:
        self._spec = spec
        self._input = tower.inputs[0].name

    def is_quick(self, item: bytes | str) -> bool:
        """Decoding takes a while."""
        return False

    def prepare(self, item: bytes | str, wanted: Wanted) -> Prepared:
        """uint8 (frames, side, side, 3)."""
        size = (self._spec.side, self._spec.side)
        try:
            data = base64.b64decode(item, validate=True) if isinstance(item, str) else item
            with Image.open(io.BytesIO(data)) as video:
                frames = [
                    frame.convert("RGB").resize(size, Image.Resampling.NEAREST)
                    for frame in ImageSequence.Iterator(video)
                ]
        except Exception as error:
            raise BadInput(f"a video cannot be decoded: {error}") from None
        frames = [frames[min(number, len(frames) - 1)] for number in range(self._spec.frames)]
        return Prepared({self._input: np.stack([np.asarray(frame) for frame in frames])})

    def collate(self, items: Sequence[Prepared]) -> dict[str, Array]:
        """uint8 (len(items), frames, side, side, 3)."""
        return {self._input: np.stack([item.arrays[self._input] for item in items])}


def gif(seed: int = 0, frames: int = FRAMES) -> bytes:
    """A small video of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, 9, 9, 3), dtype=np.uint8)
    first, *others = [Image.fromarray(each) for each in pixels]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=100)
    return buffer.getvalue()


def load(recipe: Recipe, source: Path | None) -> Model:
    """What a family does; the checkpoint is in this file."""
    text = options.text_spec(TextSpec("text", MAX_LENGTH), recipe)
    ids = torch.tensor([[1, 4, 2], [1, 5, 2]])
    text_tower = Tower(TextTower(), token_inputs("input_ids", "attention_mask"), (ids, torch.ones_like(ids)), OUTPUTS)
    frames = TensorSpec("frames", "u8", (None, FRAMES, SIDE, SIDE, 3))
    example = torch.zeros((2, FRAMES, SIDE, SIDE, 3), dtype=torch.uint8)
    video_tower = Tower(VideoTower(), (frames,), (example,), (OutputSpec("dense", DIMENSIONS),))
    parts = {
        "text": Part(text, text_tower, TextReference(), {text.tokenizer: str(tokenizer().to_str())}),
        VIDEO: Part(VideoSpec(VIDEO, FRAMES, SIDE), video_tower, VideoReference()),
    }
    return Model((manifest.Source("tests/toy_family.py"),), parts)


RECIPE = Recipe(
    tag="toy-family",
    family=NAME,
    licence="apache-2.0",
    sources={"model": FolderSource("tests")},
    languages=("en",),
    description="Texts and videos.",
    modalities=("text", VIDEO),
    cut_dimensions=(8,),
    text=TextOptions(PROMPTS, default_prompt="query"),
)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the family, the modality and what parity needs of them to the tables."""
    videos = [Sample(f"video {seed}", gif(seed, frames)) for seed, frames in ((1, 4), (2, 1), (3, 7))]
    texts = [Sample(repr(text), text) for text in TEXTS]
    table: dict[str, Samples] = {
        "text": Samples(lambda: texts, lambda: TEXTS[:2], str, batch=4),
        VIDEO: Samples(lambda: videos, lambda: [gif(1)], lambda data: base64.b64encode(data).decode(), batch=2),
    }
    for modality, chosen in table.items():
        monkeypatch.setitem(samples.SAMPLES, modality, chosen)
    monkeypatch.setitem(specs.SPECS, VIDEO, VideoSpec)
    monkeypatch.setitem(preparers.PREPARERS, VIDEO, Entry(video_preparers, Budget(8), wide=True))
    monkeypatch.setitem(families.FAMILIES, NAME, __name__)


def convert(folder: Path, recipe: Recipe = RECIPE, **changes: Any) -> Manifest:
    """Convert it, with parity and all stages; the tables must know it (`install`)."""
    return pipeline.convert(recipe, None, folder, "fp16", changes.get("console") or Console(quiet=True))
