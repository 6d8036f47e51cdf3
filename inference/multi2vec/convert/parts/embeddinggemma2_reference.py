"""The original of EmbeddingGemma 2: the checkpoint's own pipeline of sentence-transformers, as its authors run it.

It puts texts and pictures into one string by the checkpoint's template, in their order and with nothing in between; its
processor makes tokens of the whole. Pictures are prepared by the PIL-backed processor, for the reasons in
processors.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers import Gemma4ImageProcessorPil

from multi2vec.convert import references
from multi2vec.engine.rows import Array, Row

# A text, a picture's file, or several of them in one item.
Item = str | bytes | Sequence[str | bytes]


@dataclass(frozen=True)
class Items:
    """The original. A prompt is the beginning of an item's first text, or a text before its first picture."""

    pipeline: SentenceTransformer
    open: references.Opener

    def prepare(self, item: Item) -> Mapping[str, Array]:
        """int64 (length,) token ids and index; of all pictures one after another uint8 (n, edge * edge * 3) patches,
        int64 (n, 2) their places, and int64 (pictures,) how many each has."""
        unscaled: Any = {"image": {"do_rescale": False}}
        made = self.pipeline.preprocess([self._message(item)], processing_kwargs=unscaled)
        ids = made["input_ids"][0].numpy()
        return {"input_ids": ids, "index": self._index(ids), **_patches(made)}

    def rows(self, items: Sequence[Item]) -> Mapping[str, Sequence[Row]]:
        messages = [self._message(item) for item in items]
        # One by one: the attention of several large pictures together takes gigabytes.
        return references.dense_rows(self.pipeline.encode(messages, batch_size=1, show_progress_bar=False))

    def _message(self, item: Item) -> Any:
        parts = [item] if isinstance(item, str | bytes) else item
        return [{"role": "user", "content": [self._content(part) for part in parts]}]

    def _content(self, part: str | bytes) -> dict[str, Any]:
        if isinstance(part, str):
            return {"type": "text", "text": part}
        return {"type": "image", "image": self.open(part)}

    def _index(self, ids: Array) -> Array:
        """The number of the row that stands in place of each token, 0 for those that stay."""
        first: Any = self.pipeline[0]
        places = ids == first.processor.image_token_id
        return np.where(places, np.cumsum(places), 0)


def load(folder: Path, opener: references.Opener) -> Items:
    """The pipeline without sound, computing in float32, with pictures by PIL. It adds no prompt of its own."""
    pipeline = SentenceTransformer(
        str(folder),
        device="cpu",
        trust_remote_code=False,
        local_files_only=True,
        model_kwargs={"dtype": torch.float32},
        config_kwargs={"audio_config": None},
    )
    pipeline.default_prompt_name = None
    first: Any = pipeline[0]
    first.processor.image_processor = Gemma4ImageProcessorPil.from_pretrained(folder)
    return Items(pipeline.eval().requires_grad_(False), opener)


def _patches(made: Mapping[str, Any]) -> dict[str, Array]:
    """The pictures' patches without those that the processor fills up with."""
    if "pixel_values" not in made:
        return {}
    pixels, places = made["pixel_values"].numpy(), made["image_position_ids"].numpy()
    real = places[..., 0] >= 0
    return {"pixels": pixels[real].astype(np.uint8), "position_ids": places[real], "patches": real.sum(axis=1)}
