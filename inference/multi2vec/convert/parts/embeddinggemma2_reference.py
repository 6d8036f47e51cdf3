"""The original of EmbeddingGemma 2: the checkpoint's own pipeline of sentence-transformers, as its authors run it.

It puts a prompt, texts, pictures and videos into one string by the checkpoint's template, in their order and with
nothing in between; its processor makes tokens of the whole. Pictures and frames are prepared by the PIL-backed
processor, for the reasons in processors.py. What the pipeline does not do is done here by hand: it takes rows of any
length, and what looks like a special token in a text is one to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers import Gemma4ImageProcessorPil

from multi2vec.convert import references
from multi2vec.convert.references import InPrompt, Opener
from multi2vec.engine.items import Item
from multi2vec.engine.rows import Array, Row

TEXT, TASK = "{text}", "{task}"


@dataclass(frozen=True)
class Original:
    """The pipeline, how pictures are opened for it, and how many tokens there may be; `frames` is the PIL-backed
    processor with the size of frames."""

    pipeline: SentenceTransformer
    open: Opener
    length: int
    frames: Any

    def prepare(self, item: InPrompt) -> Mapping[str, Array]:
        """Everything that the towers take."""
        features = self.features(item, do_rescale=False)
        ids = features["input_ids"][0].numpy()
        is_row = np.isin(ids, self._places)
        found: dict[str, Array] = {"input_ids": ids, "index": np.where(is_row, is_row.cumsum(), 0)}
        for number, (pixels, places) in enumerate(_in_order(item, features), 1):
            is_real = places[:, 0] >= 0
            found[f"picture {number} pixels"] = pixels[is_real].numpy().astype(np.uint8)
            found[f"picture {number} position_ids"] = places[is_real].numpy()
        return found

    def rows(self, items: Sequence[InPrompt]) -> Mapping[str, Sequence[Row]]:
        """One vector each, of unit length. One by one: several large pictures together would take gigabytes."""
        with torch.inference_mode():
            found = [self.pipeline(self.features(item))["sentence_embedding"][0].numpy() for item in items]
        return references.dense_rows(np.stack(found))

    def picture_rows(self, item: InPrompt) -> Array:
        """What the library makes of the pictures, one after another: float32 (rows, dimensions)."""
        shown = _in_order(item, self.features(item))
        if not shown:
            return np.empty((0, 0), dtype=np.float32)
        first: Any = self.pipeline[0]
        with torch.inference_mode():
            found = [first.model.get_image_features(pixels[None], places[None]) for pixels, places in shown]
        return torch.cat([rows for each in found for rows in each.pooler_output]).numpy()

    def features(self, item: InPrompt, *, do_rescale: bool = True) -> dict[str, Any]:
        """What the library's model takes of the item; pixels from 0 to 255 unless they are rescaled."""
        before, after = _around(item)
        pieces = [*item.pieces, Item("text", after)] if after else list(item.pieces)
        texts = [before, *(piece.content for piece in pieces if piece.modality == "text")]
        has_special = any(name in text for text in texts for name in self._special)
        message = [self._content(piece) for piece in pieces if piece.modality != "text" or not has_special]
        # Without a part, the message of an item has to have an empty text.
        content = message or [{"type": "text", "text": ""}]
        options: Any = {
            "image": {"do_rescale": do_rescale},
            "video": {"do_rescale": do_rescale, "do_sample_frames": False},
            "text": {"truncation": False},
        }
        made: dict[str, Any] = self.pipeline.preprocess(
            [{"role": "user", "content": content}], prompt=before or None, processing_kwargs=options
        )
        ids = made["input_ids"][0].tolist()
        if has_special:
            ids = self._apart(before, pieces, ids)
        kept = torch.tensor([ids if len(ids) <= self.length else [*ids[: self.length - 1], ids[-1]]])
        frames = self._frames(item, do_rescale=do_rescale)
        return {**made, **frames, "input_ids": kept, "attention_mask": torch.ones_like(kept)}

    def _content(self, piece: Item) -> dict[str, Any]:
        if piece.modality == "text":
            return {"type": "text", "text": piece.content}
        if piece.modality == "image":
            return {"type": "image", "image": self.open(piece.content)}
        return {"type": "video", "video": np.stack([np.asarray(self.open(each)) for each in piece.content])}

    def _frames(self, item: InPrompt, *, do_rescale: bool) -> dict[str, torch.Tensor]:
        """The frames of all videos, by the names of the model's arguments."""
        frames = [self.open(each) for piece in item.pieces if piece.modality == "video" for each in piece.content]
        if not frames:
            return {}
        made = self.frames(frames, do_rescale=do_rescale, return_tensors="pt")
        return {"pixel_values_videos": made["pixel_values"], "video_position_ids": made["image_position_ids"]}

    def _apart(self, before: str, pieces: Sequence[Item], ids: Sequence[int]) -> list[int]:
        """The ids where a text holds what looks like a special token, which is none. `ids` are those of the prompt and
        the pictures, in their places: one run of the same id for each."""
        pictures = [list(run) for number, run in groupby(ids) if number in self._places]
        open_id, close_id = (self._id(token) for token in (self._processor.boi_token, self._processor.eoi_token))
        found, words = [ids[0]], before
        for piece in pieces:
            if piece.modality == "text":
                words += piece.content
                continue
            found += self._plain(words)
            for _ in range(_count(piece)):
                found += [open_id, *pictures.pop(0), close_id]
            words = ""
        return [*found, *self._plain(words), ids[-1]]

    def _plain(self, text: str) -> list[int]:
        tokenizer = self._processor.tokenizer
        return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def _id(self, token: str) -> int:
        return int(self._processor.tokenizer.convert_tokens_to_ids(token))

    @property
    def _places(self) -> list[int]:
        """The tokens that stand for rows."""
        return [self._processor.image_token_id, self._processor.video_token_id]

    @property
    def _processor(self) -> Any:
        first: Any = self.pipeline[0]
        return first.processor

    @property
    def _special(self) -> list[str]:
        return [token.content for token in self._processor.tokenizer.added_tokens_decoder.values() if token.special]


def load(folder: Path, opener: Opener, length: int) -> Original:
    """The pipeline without sound, computing in float32, with pictures by PIL."""
    pipeline = SentenceTransformer(
        str(folder),
        device="cpu",
        trust_remote_code=False,
        local_files_only=True,
        model_kwargs={"dtype": torch.float32},
        config_kwargs={"audio_config": None},
    )
    first: Any = pipeline[0]
    first.processor.image_processor = Gemma4ImageProcessorPil.from_pretrained(folder)
    videos = first.processor.video_processor
    frames = Gemma4ImageProcessorPil.from_pretrained(folder, max_soft_tokens=videos.max_soft_tokens)
    return Original(pipeline.eval().requires_grad_(False), opener, length, frames)


def _around(item: InPrompt) -> tuple[str, str]:
    """What the prompt says before the item and after it, without the tokens at the ends, which the tokenizer adds."""
    before, _, after = item.prompt.template.partition(TEXT)
    said = [part.replace(TASK, item.prompt.task or "") for part in (before, after)]
    return said[0].partition("<bos>")[2], said[1].rpartition("<eos>")[0]


def _count(piece: Item) -> int:
    """How many pictures it is: a video's frames are as many."""
    return len(piece.content) if piece.modality == "video" else 1


def _in_order(item: InPrompt, features: Mapping[str, Any]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Patches and places of each picture and frame as the item has them, with those that the processor fills up."""
    pictures = zip(features.get("pixel_values", ()), features.get("image_position_ids", ()), strict=True)
    frames = zip(features.get("pixel_values_videos", ()), features.get("video_position_ids", ()), strict=True)
    waiting = {"image": pictures, "video": frames}
    shown = [piece for piece in item.pieces if piece.modality != "text"]
    return [next(waiting[piece.modality]) for piece in shown for _ in range(_count(piece))]
