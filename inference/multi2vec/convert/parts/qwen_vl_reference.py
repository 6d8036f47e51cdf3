"""The original of embedders out of Qwen2-VL: transformers' model, tokenizer and PIL-backed picture processor, put
together as the models' authors do it.

Their code of that time does not run with this transformers; what it does is written down here once more, apart from the
engine's own: the whole prompt as one string, pictures through the processor, positions as the library counts them or
along a line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.vision_utils import get_vision_position_ids

from multi2vec.convert import references
from multi2vec.convert.references import InPrompt, Opener
from multi2vec.engine.rows import Array, Row
from multi2vec.layouts import Resize

TEXT, PICTURES = "{text}", "{pictures}"


@dataclass(frozen=True)
class Rules:
    """What the authors of a model do their own way. `first`: how a picture is resized before the library's processor
    sees it; `square`: what stands for a missing picture; `length`: how many tokens there may be; `between_texts`: what
    stands between texts that are apart from the pictures."""

    open: Opener
    first: Resize | None
    counts_grid: bool
    length: int
    without_text: str | None = None
    square: int | None = None
    between_texts: str = "\n"


@dataclass(frozen=True)
class Inputs:
    """One item as the library's model takes it; `pixels` as its processor gives them, with and without scaling."""

    ids: torch.Tensor
    positions: torch.Tensor
    grids: Sequence[torch.Tensor]
    pixels: Sequence[torch.Tensor]
    bytes: Sequence[Array]


@dataclass(frozen=True)
class Original:
    """Tokenizer, processor and model."""

    model: Any
    tokenizer: Any
    processor: Any
    rules: Rules

    def prepare(self, item: InPrompt) -> Mapping[str, Array]:
        """Everything that the towers take."""
        inputs = self.inputs(item)
        ids = inputs.ids.numpy()
        is_row = ids == self.model.config.image_token_id
        found: dict[str, Array] = {
            "input_ids": ids,
            "index": np.where(is_row, is_row.cumsum(), 0),
            "position_ids": inputs.positions.numpy(),
        }
        merge = self.processor.merge_size
        for number, (grid, pixels) in enumerate(zip(inputs.grids, inputs.bytes, strict=True), 1):
            found[f"picture {number} pixels"] = pixels
            found[f"picture {number} position_ids"] = get_vision_position_ids(grid, merge).numpy()
        return found

    def rows(self, items: Sequence[InPrompt]) -> Mapping[str, Sequence[Row]]:
        """One vector each, not normalised."""
        return references.dense_rows(np.stack([self._vector(self.inputs(item)) for item in items]))

    def picture_rows(self, item: InPrompt) -> Array:
        """What the library makes of the pictures, one after another: float32 (rows, dimensions)."""
        inputs = self.inputs(item)
        if not inputs.grids:
            return np.empty((0, 0), dtype=np.float32)
        with torch.inference_mode():
            found = self.model.get_image_features(torch.cat(list(inputs.pixels)), torch.cat(list(inputs.grids)))
        return torch.cat(list(found.pooler_output)).numpy()

    def inputs(self, item: InPrompt) -> Inputs:
        """The item, tokenised and with its pictures processed."""
        opened = [self.rules.open(piece.content) for piece in item.pieces if piece.modality == "image"]
        if not opened and self.rules.square:
            opened = [Image.new("RGB", (self.rules.square, self.rules.square))]
        pictures = [self._processed(picture) for picture in opened]
        grids = [grid for grid, _, _ in pictures]
        ids = torch.tensor(self._ids(item, [len(pixels) // 4 for _, pixels, _ in pictures]))
        scaled, plain = [each for _, each, _ in pictures], [each for _, _, each in pictures]
        return Inputs(ids, self._positions(ids, grids), grids, scaled, plain)

    def _ids(self, item: InPrompt, rows: Sequence[int]) -> list[int]:
        """The whole prompt's token ids; its text is cut where it is too long."""
        before, after = self._template(item)
        places = [f"<|vision_start|>{'<|image_pad|>' * count}<|vision_end|>" for count in rows]
        if PICTURES in before:
            before, contents = (
                before.replace(PICTURES, "".join(places)),
                [self.rules.between_texts.join(self._texts(item))],
            )
        else:
            waiting = iter(places)
            contents = [next(waiting) if piece.modality == "image" else piece.content for piece in item.pieces]
        if any(name in text for text in self._texts(item) for name in self.tokenizer.all_special_tokens):
            ids = self._apart(before, contents, places, after)
        else:
            ids = self.tokenizer("".join([before, *contents, after]))["input_ids"]
        if len(ids) <= self.rules.length:
            return list(ids)
        tail = self.tokenizer(after)["input_ids"]
        return [*ids[: self.rules.length - len(tail)], *tail]

    def _texts(self, item: InPrompt) -> list[str]:
        return [piece.content for piece in item.pieces if piece.modality == "text"]

    def _template(self, item: InPrompt) -> tuple[str, str]:
        """What stands before and after the texts."""
        template = item.prompt.template if self._texts(item) else self.rules.without_text or item.prompt.template
        before, place, after = template.partition(TEXT)
        before = before.replace("{task}", item.prompt.task or "")
        if place:
            return before, after
        end = before.rindex("<|im_end|>\n<|im_start|>assistant")
        return before[:end], before[end:]

    def _apart(self, before: str, contents: Sequence[str], places: Sequence[str], after: str) -> list[int]:
        """The ids where a text alone holds what looks like a special token, which is none."""
        start = before.rindex("|>") + len("|>")
        ids, words = [*self.tokenizer(before[:start])["input_ids"]], before[start:]
        for content in [*contents, after]:
            if content in places or content == after:
                ids += self.tokenizer(words, split_special_tokens=True)["input_ids"]
                ids += self.tokenizer(content)["input_ids"]
                words = ""
            else:
                words += content
        return ids

    def _processed(self, picture: Image.Image) -> tuple[torch.Tensor, torch.Tensor, Array]:
        """Its grid, int64 (1, 3), its patches as the model takes them, and their bytes, uint8 (patches, 588)."""
        if self.rules.first is not None:
            picture = picture.resize(first_size(picture.size, self.rules.first))
        found = self.processor(picture, return_tensors="pt")
        plain = self.processor(picture, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"]
        frames = plain.reshape(len(plain), 3, self.processor.temporal_patch_size, -1)
        return found["image_grid_thw"], found["pixel_values"], frames[:, :, 0].reshape(len(plain), -1).astype(np.uint8)

    def _positions(self, ids: torch.Tensor, grids: Sequence[torch.Tensor]) -> torch.Tensor:
        if not self.rules.counts_grid or not grids:
            return torch.arange(len(ids)).expand(3, -1)
        is_picture = (ids == self.model.config.image_token_id).long()
        positions, _ = self.model.get_rope_index(ids[None], is_picture[None], image_grid_thw=torch.cat(list(grids)))
        found: torch.Tensor = positions[:, 0]
        return found

    def _vector(self, inputs: Inputs) -> Array:
        pictures = {}
        if inputs.grids:
            pictures = {"pixel_values": torch.cat(list(inputs.pixels)), "image_grid_thw": torch.cat(list(inputs.grids))}
        with torch.inference_mode():
            states = self.model(
                input_ids=inputs.ids[None],
                position_ids=inputs.positions[:, None],
                use_cache=False,
                **pictures,
            ).last_hidden_state
        vector: Array = states[0, -1].numpy()
        return vector


def first_size(size: tuple[int, int], step: Resize) -> tuple[int, int]:
    """(width, height) that the authors' code resizes a picture to before the processor does. Raises `ValueError`."""
    unit, (width, height) = step.multiple, size
    if step.beyond == "refuse" and max(size) / min(size) > step.ratio:
        raise ValueError(f"the sides' ratio is {max(size) / min(size):.0f}, more than {step.ratio}")
    sides = [max(unit, round(side / unit) * unit) for side in (width, height)]
    scale: Callable[[float], int]
    if sides[0] * sides[1] > step.most:
        factor, scale = math.sqrt(width * height / step.most), math.floor
        sides = [scale(side / factor / unit) * unit for side in (width, height)]
    elif sides[0] * sides[1] < step.least:
        factor, scale = math.sqrt(step.least / (width * height)), math.ceil
        sides = [scale(side * factor / unit) * unit for side in (width, height)]
    if step.beyond == "clamp" and max(sides) > step.ratio * min(sides):
        sides = [min(side, step.ratio * min(sides)) for side in sides]
    return sides[0], sides[1]
