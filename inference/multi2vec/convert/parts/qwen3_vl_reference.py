"""The original of embedders out of Qwen3-VL: transformers' model, tokenizer, PIL-backed picture processor and chat
template, put together as the script of Qwen3-VL-Embedding's authors does it (`scripts/qwen3_vl_embedding.py`).

An item becomes a conversation: the instruction is what the system says, and the user shows all pictures first and then
says all texts. Pictures are resized beforehand by the rule of the library qwen_vl_utils, and the processor leaves their
size alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoTokenizer, Qwen2VLImageProcessorPil, Qwen3VLModel, Qwen3VLProcessor
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from multi2vec.convert import sixteen_bits
from multi2vec.convert.parts import qwen_vl_reference
from multi2vec.convert.parts.qwen_vl_reference import Rules, first_size
from multi2vec.convert.references import InPrompt
from multi2vec.engine.rows import Array

SYSTEM, END = "<|im_start|>system\n", "<|im_end|>"
# What an empty item says.
NOTHING = "NULL"


@dataclass(frozen=True)
class Original(qwen_vl_reference.Original):
    """Tokenizer, picture processor and model, and the `chat`: the processor that writes conversations."""

    chat: Any

    def prepare(self, item: InPrompt) -> Mapping[str, Array]:
        found = dict(super().prepare(item))
        for number, grid in enumerate(self.inputs(item).grids, 1):
            indices, weights = self._between(grid)
            found |= {f"picture {number} interp_indices": indices, f"picture {number} interp_weights": weights}
        return found

    def picture_rows(self, item: InPrompt) -> Array:
        """What the library makes of the pictures, one after another, the levels of DeepStack behind each row: float32
        (rows, (1 + levels) · dimensions)."""
        inputs = self.inputs(item)
        if not inputs.grids:
            return np.empty((0, 0), dtype=np.float32)
        with torch.inference_mode():
            found = self.model.get_image_features(torch.cat(list(inputs.pixels)), torch.cat(list(inputs.grids)))
        sides = [found.pooler_output, *found.deepstack_features]
        return torch.cat([torch.cat(list(side)) for side in sides], dim=-1).numpy()

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

    def _processed(self, picture: Image.Image) -> tuple[torch.Tensor, torch.Tensor, Array]:
        assert self.rules.first is not None
        picture = picture.resize(first_size(picture.size, self.rules.first))
        found = self.processor(picture, do_resize=False, return_tensors="pt")
        unscaled = {"do_resize": False, "do_rescale": False, "do_normalize": False, "return_tensors": "np"}
        plain = self.processor(picture, **unscaled)["pixel_values"]
        return found["image_grid_thw"], found["pixel_values"], plain.astype(np.uint8)

    def _ids(self, item: InPrompt, rows: Sequence[int]) -> list[int]:
        """The conversation's token ids. Where it is too long, or a text holds what looks like a special token, the
        authors' way would lose the token that is pooled, or take the text for the mark of a picture."""
        if not any(name in text for text in self._texts(item) for name in self.tokenizer.all_special_tokens):
            ids: list[int] = self.tokenizer(self._written(item, rows))["input_ids"]
            if len(ids) <= self.rules.length:
                return ids
        prompt = replace(item.prompt, task=instruction(item))
        return super()._ids(replace(item, prompt=prompt), rows)

    def _written(self, item: InPrompt, rows: Sequence[int]) -> str:
        """The conversation, with as many marks for each picture as it has rows."""
        said = [{"type": "text", "text": text} for text in self._texts(item)]
        shown = [{"type": "image"} for _ in rows]
        system = [{"type": "text", "text": instruction(item)}]
        user = [*shown, *said] or [{"type": "text", "text": NOTHING}]
        written = self.chat.apply_chat_template(
            [{"role": "system", "content": system}, {"role": "user", "content": user}],
            add_generation_prompt=True,
            tokenize=False,
        )
        (expanded,), _ = self.chat.get_text_with_replacements(
            [written], [self.chat.image_token * each for each in rows]
        )
        return str(expanded)


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
    return Original(sixteen_bits.widened(model.eval().requires_grad_(False)), tokenizer, pictures, rules, chat=chat)
