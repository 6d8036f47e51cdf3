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
from multi2vec.engine.items import Item
from multi2vec.engine.rows import Array, Row
from multi2vec.layouts import Resize
from multi2vec.specs import VideoSpec

TEXT, PICTURES = "{text}", "{pictures}"


@dataclass(frozen=True)
class Rules:
    """What the authors of a model do their own way. `first`: how a picture is resized before the library's processor
    sees it; `square`: what stands for a missing picture; `length`: how many tokens there may be; `between_texts`: what
    stands between texts that are apart from the pictures; `video`: how a video's frames are shown, if at all."""

    open: Opener
    first: Resize | None
    counts_grid: bool
    length: int
    without_text: str | None = None
    square: int | None = None
    between_texts: str = "\n"
    video: VideoSpec | None = None


@dataclass(frozen=True)
class Seen:
    """A picture, or a video's frames that are shown together: its grid, int64 (1, 3), and its patches as the library's
    processor gives them, with and without scaling, the latter in bytes."""

    grid: torch.Tensor
    pixels: torch.Tensor
    bytes: Array
    is_video: bool = False

    @property
    def rows(self) -> int:
        """How many the model makes of it."""
        return len(self.pixels) // 4


@dataclass(frozen=True)
class Inputs:
    """One item as the library's model takes it."""

    ids: torch.Tensor
    positions: torch.Tensor
    seen: Sequence[Seen]


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
        is_row = np.isin(ids, self._places)
        found: dict[str, Array] = {
            "input_ids": ids,
            "index": np.where(is_row, is_row.cumsum(), 0),
            "position_ids": inputs.positions.numpy(),
        }
        for number, seen in enumerate(inputs.seen, 1):
            found |= {f"picture {number} {name}": array for name, array in self.for_tower(seen).items()}
        return found

    def for_tower(self, seen: Seen) -> dict[str, Array]:
        """What the vision tower takes of a picture, or of frames."""
        places = get_vision_position_ids(seen.grid, self.processor.merge_size)
        return {"pixels": seen.bytes, "position_ids": places.numpy()}

    def rows(self, items: Sequence[InPrompt]) -> Mapping[str, Sequence[Row]]:
        """One vector each, not normalised."""
        return references.dense_rows(np.stack([self._vector(self.inputs(item)) for item in items]))

    def picture_rows(self, item: InPrompt) -> Array:
        """What the library makes of the pictures, one after another: float32 (rows, dimensions)."""
        seen = self.inputs(item).seen
        if not seen:
            return np.empty((0, 0), dtype=np.float32)
        with torch.inference_mode():
            return self.features(seen).numpy()

    def features(self, seen: Sequence[Seen]) -> torch.Tensor:
        """The rows of pictures, or of frames, as the library makes them."""
        found = self.model.get_image_features(*together(seen))
        return torch.cat(list(found.pooler_output))

    def inputs(self, item: InPrompt) -> Inputs:
        """The item, tokenised and with its pictures processed."""
        shown = [self._shown(piece) for piece in item.pieces if piece.modality != "text"]
        if not shown and self.rules.square:
            shown = [self._pictures([Image.new("RGB", (self.rules.square, self.rules.square))])]
        seen = [each for _, several in shown for each in several]
        ids = torch.tensor(self._ids(item, [place for place, _ in shown]))
        return Inputs(ids, self._positions(ids, seen), seen)

    def _shown(self, piece: Item) -> tuple[str, list[Seen]]:
        """What stands in the prompt for a picture or a video, and what the model sees of it: a video's frames are as
        many pictures."""
        if piece.modality == "video":
            return self._pictures([self.rules.open(each) for each in self._frames(piece.content)])
        return self._pictures([self.rules.open(piece.content)])

    def _pictures(self, pictures: Sequence[Image.Image]) -> tuple[str, list[Seen]]:
        seen = [self._processed(picture) for picture in pictures]
        return "".join(f"<|vision_start|>{'<|image_pad|>' * each.rows}<|vision_end|>" for each in seen), seen

    def _frames(self, files: Sequence[bytes]) -> Sequence[bytes]:
        """Of a video that is given by frames, those that the authors would take: all, or so many."""
        count = self.rules.video.count if self.rules.video else None
        places = range(len(files)) if count is None else np.linspace(0, len(files) - 1, count).round().astype(int)
        return [files[place] for place in places]

    @property
    def _places(self) -> list[int]:
        """The tokens that stand for rows."""
        config = self.model.config
        return [config.image_token_id, config.video_token_id]

    def _ids(self, item: InPrompt, places: Sequence[str]) -> list[int]:
        """The whole prompt's token ids, with the places of pictures and videos; its text is cut where it is too
        long."""
        before, after = self._template(item)
        if PICTURES in before:
            before, contents = (
                before.replace(PICTURES, "".join(places)),
                [self.rules.between_texts.join(self._texts(item))],
            )
        else:
            waiting = iter(places)
            contents = [piece.content if piece.modality == "text" else next(waiting) for piece in item.pieces]
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

    def _processed(self, picture: Image.Image) -> Seen:
        if self.rules.first is not None:
            picture = picture.resize(first_size(picture.size, self.rules.first))
        found = self.processor(picture, return_tensors="pt")
        plain = self.processor(picture, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"]
        frames = plain.reshape(len(plain), 3, self.processor.temporal_patch_size, -1)
        pixels = frames[:, :, 0].reshape(len(plain), -1).astype(np.uint8)
        return Seen(found["image_grid_thw"], found["pixel_values"], pixels)

    def _positions(self, ids: torch.Tensor, seen: Sequence[Seen]) -> torch.Tensor:
        if not self.rules.counts_grid or not seen:
            return torch.arange(len(ids)).expand(3, -1)
        picture, video = self._places
        kinds = (ids == picture).long() + 2 * (ids == video).long()
        grids = {name: each for name, each in visual(seen).items() if name.endswith("_grid_thw")}
        positions, _ = self.model.get_rope_index(ids[None], kinds[None], **grids)
        found: torch.Tensor = positions[:, 0]
        return found

    def _vector(self, inputs: Inputs) -> Array:
        with torch.inference_mode():
            states = self.model(
                input_ids=inputs.ids[None],
                position_ids=inputs.positions[:, None],
                use_cache=False,
                **visual(inputs.seen),
            ).last_hidden_state
        vector: Array = states[0, -1].numpy()
        return vector


def together(seen: Sequence[Seen]) -> tuple[torch.Tensor, torch.Tensor]:
    """All patches and grids."""
    return torch.cat([each.pixels for each in seen]), torch.cat([each.grid for each in seen])


def visual(seen: Sequence[Seen]) -> dict[str, torch.Tensor]:
    """Pictures and frames by the names of the model's arguments."""
    kinds = {"pixel_values": "image_grid_thw", "pixel_values_videos": "video_grid_thw"}
    found: dict[str, torch.Tensor] = {}
    for is_video, names in enumerate(kinds.items()):
        if of_kind := [each for each in seen if each.is_video == bool(is_video)]:
            found |= dict(zip(names, together(of_kind), strict=True))
    return found


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
