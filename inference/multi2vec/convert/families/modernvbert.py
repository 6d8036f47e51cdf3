"""ModernVBERT as a retriever with one vector (arXiv 2510.01149), for instance ModernVBERT/modernvbert-embed.

Pictures are cut into tiles, which a SigLIP sees; a ModernBERT reads them as tokens among those of a prompt, and texts
alone. The vector is the mean over all tokens at unit length: `BiModernVBert` of the package colpali_engine 0.3, which
Weaviate's own container runs. Prompt, pooling and the treatment of pictures are that package's, model and processors
those of transformers. The package's benchmark wrapper (in mteb) also puts ten `<end_of_utterance>` behind each text;
the model's card and Weaviate's container do not, and neither does this.

Pictures are prepared by the PIL-backed processor, for the reasons in processors.py. The original pads on the left;
attention knows only distances between tokens, so that the right is as good.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Idefics3ImageProcessorPil, Idefics3Processor, ModernVBertModel, PreTrainedTokenizerFast

from multi2vec.convert import checkpoint, options, references, weights
from multi2vec.convert.errors import SourceError, reading
from multi2vec.convert.model import Lazy, Model, Part, Tower, dense, masked_text_tower, pixel_inputs, token_inputs
from multi2vec.convert.parts import masks, processors
from multi2vec.convert.recipe import PictureOptions, Recipe
from multi2vec.engine.rows import Array, Row
from multi2vec.specs import PictureSpec, TextSpec, TileSpec

PLACE = "<image>"
PROMPT = f"<|begin_of_text|>User:{PLACE}Describe the image.<end_of_utterance>\nAssistant:"
# What the processor bounds a picture's longer edge by.
LONGEST = 4096


class TextTower(torch.nn.Module):
    """int64 (rows, length) token ids and mask to float32 (rows, dimensions), unit length."""

    def __init__(self, model: ModernVBertModel) -> None:
        super().__init__()
        self.text = model.text_model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return pooled(self.text, self.text.get_input_embeddings()(input_ids), attention_mask)


class PictureTower(torch.nn.Module):
    """Scaled pixels of all tiles one after another, float32 (tiles, 3, height, width), and int64 (rows, length) token
    ids, with places for the tiles in their order, and mask to float32 (rows, dimensions), unit length."""

    def __init__(self, model: ModernVBertModel) -> None:
        super().__init__()
        self.vision, self.connector, self.text = model.vision_model, model.connector, model.text_model
        self.place = model.config.image_token_id

    def forward(self, pixels: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        tiles = self.connector(self.vision(pixels).last_hidden_state).flatten(0, 1)
        words = self.text.get_input_embeddings()(input_ids)
        places = input_ids == self.place
        # The first place gets the first of the tiles' tokens, and so on through the whole batch.
        number = (places.flatten().long().cumsum(dim=0) - 1).clamp(min=0).view(input_ids.shape)
        return pooled(self.text, torch.where(places.unsqueeze(-1), tiles[number], words), attention_mask)


def pooled(text: Any, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of what ModernBERT makes of float32 (rows, length, dimensions) over the tokens that the mask has, at
    unit length."""
    hidden = {
        "full_attention": masks.everywhere(mask),
        "sliding_attention": masks.nearby(mask, text.config.sliding_window),
    }
    states = text(inputs_embeds=words, attention_mask=hidden).last_hidden_state
    kept = mask.unsqueeze(-1).to(states.dtype)
    return torch.nn.functional.normalize((states * kept).sum(dim=1) / kept.sum(dim=1), dim=-1)


@dataclass(frozen=True)
class Texts:
    """The original: processor and model."""

    model: ModernVBertModel
    processor: Any

    def prepare(self, item: str) -> Mapping[str, Array]:
        return {"input_ids": np.array(self.processor(text=[item], truncation=True)["input_ids"][0], dtype=np.int64)}

    def rows(self, items: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        inputs = self.processor(text=list(items), truncation=True, padding="longest", return_tensors="pt")
        return references.dense_rows(original_vectors(self.model, inputs))


@dataclass(frozen=True)
class Pictures:
    """The original: processor, with the prompt, and model."""

    model: ModernVBertModel
    processor: Any
    open: references.Opener

    def prepare(self, item: bytes) -> Mapping[str, Array]:
        inputs = self._processed([item], do_rescale=False, do_normalize=False)
        return {
            "pixels": np.ascontiguousarray(inputs["pixel_values"][0].numpy().astype(np.uint8).transpose(0, 2, 3, 1)),
            "input_ids": inputs["input_ids"][0].numpy(),
        }

    def rows(self, items: Sequence[bytes]) -> Mapping[str, Sequence[Row]]:
        return references.dense_rows(original_vectors(self.model, self._processed(items)))

    def _processed(self, items: Sequence[bytes], **settings: bool) -> Any:
        pictures = [[self.open(item)] for item in items]
        return self.processor(
            text=[PROMPT] * len(items), images=pictures, padding="longest", return_tensors="pt", **settings
        )


def original_vectors(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The package's `BiModernVBert`: float32 (rows, dimensions)."""
    with torch.inference_mode():
        states = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
        vectors: torch.Tensor = mean / mean.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return vectors


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not a ModernVBERT, not complete, or cannot be had."""
    found = checkpoint.find(recipe, "model", source)
    folder = found.folder

    def load_original() -> Any:
        original: Any = ModernVBertModel.from_pretrained(folder, dtype=torch.float32)
        return original.eval().requires_grad_(False)

    with reading(folder, "a ModernVBERT of transformers"):
        weights.check_model_type(folder, "modernvbert")
        model = weights.load_proved(ModernVBertModel, folder).eval().requires_grad_(False)
        shared = references.Shared(load_original)
        parts = {
            "text": text_part(model, shared, folder, recipe),
            "image": picture_part(model, shared, folder, recipe),
        }
    return Model((found.source,), parts)


def processor_of(folder: Path, model: Any, **settings: Any) -> Any:
    """The library's processor, with pictures by PIL."""
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left", **settings)
    pictures: Any = Idefics3ImageProcessorPil.from_pretrained(folder)
    return Idefics3Processor(pictures, tokenizer, image_seq_len=model.image_seq_len)


def text_part(model: Any, original: Callable[[], Any], folder: Path, recipe: Recipe) -> Part:
    """Everything about texts."""
    tokenizer = processor_of(folder, model).tokenizer
    length = min(tokenizer.model_max_length, model.config.text_config.max_position_embeddings)
    spec = options.text_spec(TextSpec(tower="text", max_length=length, pad_id=tokenizer.pad_token_id), recipe)
    ids = tokenizer("a photo of a cat")["input_ids"]
    tower = masked_text_tower(TextTower(model), ids, model.config.text_config.hidden_size)
    own = processor_of(folder, model, model_max_length=spec.max_length)
    return Part(
        spec, tower, Lazy(lambda: Texts(original(), own)), {spec.tokenizer: tokenizer.backend_tokenizer.to_str()}
    )


def picture_part(model: Any, original: Callable[[], Any], folder: Path, recipe: Recipe) -> Part:
    """Everything about pictures."""
    processor = processor_of(folder, model)
    spec = options.picture_spec(own_picture_spec(processor, model), recipe)
    tiles = 2 * 2 + 1
    ids = torch.tensor([[processor.image_token_id] * (tiles * model.image_seq_len)] * 2)
    tower = Tower(
        module=PictureTower(model),
        inputs=(*pixel_inputs(spec.height, spec.width), *token_inputs("input_ids", "attention_mask")),
        example=(torch.zeros(2 * tiles, 3, spec.height, spec.width), ids, torch.ones_like(ids)),
        outputs=dense(model.config.text_config.hidden_size),
        scaling=processors.scaling(processor.image_processor),
    )
    wishes = recipe.picture or PictureOptions()
    # The package turns pictures into RGB itself, which drops alpha.
    opener = references.Opener(wishes.exif_orientation, wishes.transparency or "drop")
    return Part(spec, tower, Lazy(lambda: Pictures(original(), processor, opener)))


def own_picture_spec(processor: Any, model: Any) -> PictureSpec:
    """The processor's settings as the engine knows them. Raises `SourceError` for those that it does not know."""
    settings = processor.image_processor
    needed = ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb", "do_image_splitting", "do_pad")
    if missing := [name for name in needed if not getattr(settings, name)]:
        raise SourceError(f"the picture processor has {missing[0]} off, which is not supported")
    longest, side = settings.size.get("longest_edge"), settings.max_image_size["longest_edge"]
    if longest is None or longest > LONGEST or abs(settings.rescale_factor * 255 - 1) > 1e-9:
        raise SourceError(f"the picture processor does not resize the longest edge up to {LONGEST}, or scale by 1/255")
    wanted = model.config.vision_config.image_size, model.config.image_token_id
    if (side, processor.image_token_id) != wanted:
        raise SourceError(
            f"processor and model do not fit: tiles of {side} pixels and the token {processor.image_token_id} "
            f"for their places, but {wanted[0]} and {wanted[1]}"
        )
    return PictureSpec(
        tower="image",
        height=side,
        width=side,
        resize="squash",
        interpolation=processors.INTERPOLATIONS[int(settings.resample)],  # type: ignore[arg-type]
        transparency="drop",
        tiles=TileSpec(
            longest=longest,
            place=processor.image_token_id,
            places=model.image_seq_len,
            prompts=prompts(processor, math.ceil(longest / side)),
            pad_id=processor.tokenizer.pad_token_id,
        ),
    )


def prompts(processor: Any, most: int) -> dict[str, tuple[int, ...]]:
    """The prompt's token ids for each grid of tiles whose longer side has `most`, each tile's places as one."""
    sides = {(most, other) for other in range(1, most + 1)}
    grids = sorted(sides | {(columns, rows) for rows, columns in sides}) if most > 1 else [(0, 0)]
    return {f"{rows}×{columns}": prompt(processor, rows, columns) for rows, columns in grids}


def prompt(processor: Any, rows: int, columns: int) -> tuple[int, ...]:
    """The prompt's token ids for one grid."""
    tiles = processor.replace_image_token({"rows": [[rows]], "cols": [[columns]]}, 0)
    ids = processor.tokenizer(PROMPT.replace(PLACE, tiles))["input_ids"]
    shortened: list[int] = []
    for number, run in itertools.groupby(ids):
        count = len(list(run))
        shortened += [number] * (count // processor.image_seq_len if number == processor.image_token_id else count)
    return tuple(shortened)
