"""The original of embedders out of Qwen3-VL: transformers' model, tokenizer, PIL-backed picture processor and chat
template, put together as the script of Qwen3-VL-Embedding's authors does it (`scripts/qwen3_vl_embedding.py`).

An item becomes a conversation: the instruction is what the system says, and the user shows all videos first, then all
pictures, and then says all texts. Pictures and frames are resized beforehand by the rule of the library qwen_vl_utils,
and the processors leave their size alone. Pairs of frames stand behind their times, as transformers 4.57 writes them,
with which the authors work; 5.23 puts all of them between two more marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoTokenizer,
    Qwen2VLImageProcessorPil,
    Qwen3VLModel,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from multi2vec.convert import sixteen_bits
from multi2vec.convert.parts import qwen_vl_reference
from multi2vec.convert.parts.qwen_vl_reference import Inputs, Rules, Seen, first_size, together
from multi2vec.convert.references import InPrompt
from multi2vec.engine.items import Item
from multi2vec.engine.rows import Array
from multi2vec.layouts import PatchLayout

SYSTEM, END = "<|im_start|>system\n", "<|im_end|>"
# What an empty item says.
NOTHING = "NULL"
# What the template writes for a picture or a video.
MARK = re.compile(r"<\|vision_start\|><\|(image|video)_pad\|><\|vision_end\|>")


@dataclass(frozen=True)
class Original(qwen_vl_reference.Original):
    """Tokenizer, picture processor and model, the `chat`: the processor that writes conversations, and `videos`: that
    of frames."""

    chat: Any
    videos: Any

    def for_tower(self, seen: Seen) -> dict[str, Array]:
        indices, weights = self._between(seen.grid)
        return {**super().for_tower(seen), "interp_indices": indices, "interp_weights": weights}

    def inputs(self, item: InPrompt) -> Inputs:
        return super().inputs(replace(item, pieces=sorted(item.pieces, key=lambda piece: piece.modality != "video")))

    def features(self, seen: Sequence[Seen]) -> torch.Tensor:
        """The rows of pictures, or of frames, with the levels of DeepStack behind each: (rows, (1 + levels) ·
        dimensions)."""
        found = self.model.get_image_features(*together(seen))
        sides = [found.pooler_output, *found.deepstack_features]
        return torch.cat([torch.cat(list(side)) for side in sides], dim=-1)

    def _between(self, grid: torch.Tensor) -> tuple[Array, Array]:
        """Where the patches lie in the table of places, as the vision model asks the library for it."""
        visual = self.model.visual
        indices, weights = get_vision_interpolation_indices_and_weights(
            grid,
            num_grid_per_side=visual.num_grid_per_side,
            mode=visual.interpolation_mode,
            align_corners=visual.interpolation_align_corners,
            spatial_merge_size=self.processor.merge_size,
        )
        return indices.numpy(), weights.numpy()

    def _shown(self, piece: Item) -> tuple[str, list[Seen]]:
        if piece.modality != "video":
            return super()._shown(piece)
        frames = self._resized([self.rules.open(each) for each in self._frames(piece.content)])
        seen = self._pairs(np.stack([np.asarray(frame) for frame in frames]))
        times = self.chat._calculate_timestamps(list(range(len(frames))), 1.0)
        pads = self.chat.video_token * seen[0].rows
        return "".join(f"<{time:.1f} seconds><|vision_start|>{pads}<|vision_end|>" for time in times), seen

    def _resized(self, frames: Sequence[Image.Image]) -> list[Image.Image]:
        """The frames, which share what pixels there are, as the library qwen_vl_utils resizes them."""
        video = self.rules.video
        assert video is not None
        assert isinstance(video.layout, PatchLayout)
        (step,) = video.layout.resizes
        if video.pixels is not None:
            step = replace(step, most=max(min(step.most, video.pixels // len(frames)), int(step.least * 1.05)))
        return [frame.resize(first_size(frame.size, step)) for frame in frames]

    def _pairs(self, frames: Array) -> list[Seen]:
        """Uint8 (frames, height, width, 3) as the processor of videos has them."""
        video = torch.from_numpy(frames).permute(0, 3, 1, 2)
        alone = {"do_resize": False, "do_sample_frames": False, "return_tensors": "pt"}
        scaled = self.videos(video, **alone)
        plain = self.videos(video, do_rescale=False, do_normalize=False, **alone)["pixel_values_videos"]
        (grid,) = scaled["video_grid_thw"]
        one = torch.tensor([[1, *grid[1:]]])
        pairs = int(grid[0])
        return [
            Seen(one, pixels, own.numpy().astype(np.uint8), is_video=True)
            for pixels, own in zip(scaled["pixel_values_videos"].chunk(pairs), plain.chunk(pairs), strict=True)
        ]

    def _processed(self, picture: Image.Image) -> Seen:
        assert self.rules.first is not None
        picture = picture.resize(first_size(picture.size, self.rules.first))
        found = self.processor(picture, do_resize=False, return_tensors="pt")
        unscaled = {"do_resize": False, "do_rescale": False, "do_normalize": False, "return_tensors": "np"}
        plain = self.processor(picture, **unscaled)["pixel_values"]
        return Seen(found["image_grid_thw"], found["pixel_values"], plain.astype(np.uint8))

    def _ids(self, item: InPrompt, places: Sequence[str]) -> list[int]:
        """The conversation's token ids. Where it is too long, or a text holds what looks like a special token, the
        authors' way would lose the token that is pooled, or take the text for the mark of a picture."""
        if not any(name in text for text in self._texts(item) for name in self.tokenizer.all_special_tokens):
            ids: list[int] = self.tokenizer(self._written(item, places))["input_ids"]
            if len(ids) <= self.rules.length:
                return ids
        prompt = replace(item.prompt, task=instruction(item))
        return super()._ids(replace(item, prompt=prompt), places)

    def _written(self, item: InPrompt, places: Sequence[str]) -> str:
        """The conversation, with what stands for each picture and video in the place of its mark."""
        said = [{"type": "text", "text": text} for text in self._texts(item)]
        shown = [{"type": piece.modality} for piece in item.pieces if piece.modality != "text"]
        system = [{"type": "text", "text": instruction(item)}]
        user = [*shown, *said] or [{"type": "text", "text": NOTHING}]
        written = self.chat.apply_chat_template(
            [{"role": "system", "content": system}, {"role": "user", "content": user}],
            add_generation_prompt=True,
            tokenize=False,
        )
        waiting = iter(places)
        return MARK.sub(lambda _: next(waiting), str(written))


def instruction(item: InPrompt) -> str:
    """What the system says in the item's prompt: without white space around, and a full stop behind it unless it ends
    in punctuation."""
    template = item.prompt.template.partition(SYSTEM)[2].partition(END)[0]
    said = template.replace("{task}", item.prompt.task or "").strip()
    return said if said and unicodedata.category(said[-1]).startswith("P") else f"{said}."


def read(folder: Path, rules: Rules) -> Original:
    """The original, loaded by its own loader, in float32 arithmetic."""
    model: Any = Qwen3VLModel.from_pretrained(folder, dtype=sixteen_bits.stored_dtype(folder))
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    pictures: Any = Qwen2VLImageProcessorPil.from_pretrained(folder)
    chat: Any = Qwen3VLProcessor.from_pretrained(folder)
    videos: Any = Qwen3VLVideoProcessor.from_pretrained(folder)
    model = sixteen_bits.widened(model.eval().requires_grad_(False))
    return Original(model, tokenizer, pictures, rules, chat=chat, videos=videos)
