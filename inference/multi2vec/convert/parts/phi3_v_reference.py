"""The original of embedders out of Phi-3-V (VLM2Vec, arXiv 2410.05160): what its authors' processor and model do, on
transformers' CLIP and Phi-3, which load the checkpoint by the library's own loader.

The authors' code is for transformers 4 and does not run with this one. Its steps are written down here once more, in
its order, apart from the towers' and the engine's: pictures by torchvision, one picture's tiles behind the whole of it,
one item at a time without padding, and the library's choice between short and long factors of positions. Only what
people write is never one of the tokenizer's added tokens here, and never a picture's place.

Compared once with that code (TIGER-AI-Lab/VLM2Vec, 6e1e1d4, run by transformers 4.46.3 beside the project) on a small
checkpoint with a picture tower as wide as the real one: six items of one picture, two or none, 7 to 13,502 tokens, with
4 and with 16 tiles. Pictures had as many rows, and the states before and behind each layer and at the end were equal to
within 7.5e-7 of the largest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from tokenizers import Tokenizer
from torchvision.transforms import functional
from transformers import CLIPVisionConfig, CLIPVisionModel, Phi3Config, Phi3Model

from multi2vec.convert import references, sixteen_bits, weights
from multi2vec.convert.references import InPrompt, NoRoom, Opener
from multi2vec.engine.rows import Array, Row
from multi2vec.specs import Prompt

PREFIX = "model.vision_embed_tokens."
JOINTS = re.compile(rf"{re.escape(PREFIX)}(img_projection|sub_GN|glb_GN)")
# A picture's place in a text; they are counted from 1.
PLACE = re.compile(r"<\|image_(\d+)\|>")
SIDE, PATCHES = 336, 24
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


@dataclass(frozen=True)
class Inputs:
    """One item: int64 (length,) token ids, in which a picture's rows are minus its number, and pictures' pixels, uint8
    (height, width, 3)."""

    ids: torch.Tensor
    pixels: Sequence[Array]


@dataclass(frozen=True)
class Original:
    """Tokenizer, halves of the model and what joins them: tensors by the rest of their published names. `crops`: how
    many tiles a picture may have."""

    tokenizer: Tokenizer
    clip: Any
    text: Any
    joints: dict[str, torch.Tensor]
    crops: int

    def inputs(self, text: str, pictures: Sequence[Image.Image]) -> Inputs:
        """A text with places for pictures (`<|image_1|>`), each of which has one."""
        # Texts and numbers of pictures take turns.
        pieces = [int(piece) if turn % 2 else piece for turn, piece in enumerate(PLACE.split(text))]
        return self.of_pieces(pieces, pictures)

    def of_pieces(self, pieces: Sequence[str | int], pictures: Sequence[Image.Image]) -> Inputs:
        """Texts, and numbers of pictures, from 1 on; each text is tokenised by itself, with a `<s>` of its own."""
        pixels = [hd_transform(picture.convert("RGB"), self.crops) for picture in pictures]
        ids: list[int] = []
        for piece in pieces:
            if isinstance(piece, int):
                ids += [-piece] * row_count(pixels[piece - 1])
            else:
                ids += [self.text.config.bos_token_id, *self.tokenizer.encode(piece).ids]
        return Inputs(torch.tensor(ids), pixels)

    def vector(self, inputs: Inputs) -> Array:
        """The last token's state, float32 (dimensions,), not normalised."""
        with torch.inference_mode():
            states = self.text.embed_tokens(inputs.ids.clamp(min=0))
            for number, pixels in enumerate(inputs.pixels, 1):
                states[inputs.ids == -number] = self._rows(pixels)
            found: Array = self.text(inputs_embeds=states[None]).last_hidden_state[0, -1].numpy()
        return found

    def rows(self, pixels: Array) -> Array:
        """What stands for a picture among the tokens: float32 (rows, dimensions)."""
        with torch.inference_mode():
            return self._rows(pixels).numpy()

    def _rows(self, pixels: Array) -> torch.Tensor:
        scaled = functional.normalize(functional.to_tensor(pixels.copy()), MEAN, STD)
        tall, wide = pixels.shape[0] // SIDE, pixels.shape[1] // SIDE
        whole = torch.nn.functional.interpolate(scaled[None], size=(SIDE, SIDE), mode="bicubic")
        tiles = [
            scaled[None, :, top * SIDE : (top + 1) * SIDE, left * SIDE : (left + 1) * SIDE]
            for top in range(tall)
            for left in range(wide)
        ]
        hidden = self.clip(torch.cat([whole, *tiles]), output_hidden_states=True).hidden_states[-2][:, 1:]
        lines = [*self._lines(hidden[1:], tall, wide), self.joints["glb_GN"][0], *self._lines(hidden[:1], 1, 1)]
        return self._projected(torch.cat(lines))

    def _lines(self, tiles: torch.Tensor, tall: int, wide: int) -> list[torch.Tensor]:
        """One line of rows after another, float32 (rows, size) each."""
        grids = tiles.view(tall, wide, PATCHES, PATCHES, -1)
        picture = torch.cat([torch.cat([*line], dim=1) for line in grids])
        corners = [picture[down::2, right::2] for down in (0, 1) for right in (0, 1)]
        return [torch.cat([line, self.joints["sub_GN"][0, 0]]) for line in torch.cat(corners, dim=-1)]

    def _projected(self, rows: torch.Tensor) -> torch.Tensor:
        linear, joints = torch.nn.functional.linear, self.joints
        inner = linear(rows, joints["img_projection.0.weight"], joints["img_projection.0.bias"])
        return linear(
            torch.nn.functional.gelu(inner), joints["img_projection.2.weight"], joints["img_projection.2.bias"]
        )


@dataclass(frozen=True)
class Items:
    """The original, asked for items in a prompt. As in the authors' examples, pictures come first, and all that is said
    stands behind them. `length`: how many tokens there may be."""

    original: Original
    open: Opener
    length: int
    without_text: Prompt
    with_picture: Prompt

    @property
    def model(self) -> torch.nn.Module:
        """Both halves."""
        return torch.nn.ModuleList([self.original.clip, self.original.text])

    def prepare(self, item: InPrompt) -> Mapping[str, Array]:
        """Everything that the towers take. Raises `NoRoom`."""
        inputs = self._inputs(item)
        ids = inputs.ids.numpy()
        is_row = ids < 0
        pixels = {f"picture {number} pixels": each for number, each in enumerate(inputs.pixels, 1)}
        return {
            "input_ids": np.where(is_row, self.original.text.config.pad_token_id, ids),
            "index": np.where(is_row, is_row.cumsum(), 0),
            **pixels,
        }

    def rows(self, items: Sequence[InPrompt]) -> Mapping[str, Sequence[Row]]:
        """One vector each, not normalised. Raises `NoRoom`."""
        return references.dense_rows(np.stack([self.original.vector(self._inputs(item)) for item in items]))

    def picture_rows(self, item: InPrompt) -> Array:
        """What stands for the pictures, one after another: float32 (rows, dimensions)."""
        found = [self.original.rows(pixels) for pixels in self._inputs(item).pixels]
        return np.concatenate(found) if found else np.empty((0, 0), dtype=np.float32)

    def _inputs(self, item: InPrompt) -> Inputs:
        pictures = [self.open(piece.content) for piece in item.pieces if piece.modality == "image"]
        words = self._words(item, bool(pictures))
        pieces: list[str | int] = [words]
        if pictures:
            # "<|image_1|> <|image_2|> words"
            places = [("" if number == 1 else " ", number) for number in range(1, len(pictures) + 1)]
            pieces = [*(each for place in places for each in place), f" {words}"]
        inputs = self.original.of_pieces(pieces, pictures)
        if (inputs.ids[self.length :] < 0).any():
            raise NoRoom(f"there are {len(inputs.ids)} tokens, more than {self.length}")
        return replace(inputs, ids=inputs.ids[: self.length])

    def _words(self, item: InPrompt, has_picture: bool) -> str:
        """All that is said. The texts are at its end."""
        texts = [piece.content for piece in item.pieces if piece.modality == "text"]
        prompt = item.prompt
        if has_picture:
            own = self.with_picture if texts else self.without_text
            prompt = own if item.task is None else replace(own, task=item.task)
        template = prompt.template.removeprefix("<s>").removeprefix("{pictures}")
        return references.prompted("\n".join(texts), replace(prompt, template=template))


def hd_transform(picture: Image.Image, crops: int) -> Array:
    """A picture in mode RGB as whole tiles, uint8 (height, width, 3): resized and padded by torchvision."""
    is_portrait = picture.width < picture.height
    if is_portrait:
        picture = picture.transpose(Image.Transpose.TRANSPOSE)
    ratio = picture.width / picture.height
    scale = 1
    while scale * np.ceil(scale / ratio) <= crops:
        scale += 1
    width = (scale - 1) * SIDE
    picture = functional.resize(picture, [int(width / ratio), width])
    missing = -picture.height % SIDE
    picture = functional.pad(picture, [0, missing // 2, 0, missing - missing // 2], fill=[255, 255, 255])
    return np.asarray(picture.transpose(Image.Transpose.TRANSPOSE) if is_portrait else picture)


def row_count(pixels: Array) -> int:
    """How many rows there are of so many pixels."""
    tall, wide = pixels.shape[0] // SIDE, pixels.shape[1] // SIDE
    return int((tall * wide + 1) * 144 + 1 + (tall + 1) * 12)


class Clip(CLIPVisionModel):  # type: ignore[no-untyped-call]
    """Without a word about the other half."""

    _keys_to_ignore_on_load_unexpected = [r".*"]  # noqa: RUF012


class Text(Phi3Model):  # type: ignore[no-untyped-call]
    """The same."""

    _keys_to_ignore_on_load_unexpected = [r".*"]  # noqa: RUF012


def load(folder: Path, crops: int) -> Original:
    """The original with the checkpoint's weights, in float32 arithmetic. Raises `SourceError` for one that lacks
    some."""
    clip = half(Clip, folder, clip_config(folder), {rf"^{re.escape(PREFIX)}img_processor\.vision_model\.": ""})
    text = half(Text, folder, text_config(folder), {r"vision_embed_tokens\.wte": "embed_tokens"})
    return Original(tokenizer(folder), clip, text, joining(folder), crops)


def tokenizer(folder: Path) -> Tokenizer:
    """The file's, without its added tokens. The library's own would be Llama's in its present form, which puts no mark
    before a text that begins with a space."""
    found = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    nothing = dict.fromkeys(("post_processor", "truncation", "padding"))
    return Tokenizer.from_str(json.dumps({**found, **nothing, "added_tokens": []}))


def half(kind: Any, folder: Path, config: Any, names: Mapping[str, str]) -> Any:
    """That half of the model; `names` are patterns, and what becomes of them in the names of tensors."""
    dtype = sixteen_bits.stored_dtype(folder)
    model, info = kind.from_pretrained(
        folder, config=config, dtype=dtype, key_mapping=dict(names), output_loading_info=True
    )
    weights.check_loading({**info, "unexpected_keys": ()}, str(folder))
    return sixteen_bits.widened(model.eval().requires_grad_(False))


def text_config(folder: Path) -> Any:
    """Phi-3's configuration out of the checkpoint's; "su" is what the library has since come to call LongRoPE."""
    found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    scaling = {**found.pop("rope_scaling"), "type": "longrope", "rope_type": "longrope"}
    others = ("model_type", "embd_layer", "img_processor", "auto_map", "architectures")
    kept = {name: value for name, value in found.items() if name not in others}
    scaling["original_max_position_embeddings"] = kept["original_max_position_embeddings"]
    scaling["factor"] = kept["max_position_embeddings"] / kept["original_max_position_embeddings"]
    return Phi3Config(**{**kept, "rope_parameters": scaling, "use_cache": False})


def clip_config(folder: Path) -> Any:
    """openai/clip-vit-large-patch14-336, or as much of it as the checkpoint has."""
    shapes = {name: shape for name, shape in _shapes(folder).items() if ".img_processor." in name}
    layers = {int(found[1]) for name in shapes if (found := re.search(r"\.layers\.(\d+)\.", name))}
    wide, size = next(shape for name, shape in shapes.items() if name.endswith("mlp.fc1.weight"))
    return CLIPVisionConfig(
        hidden_size=size,
        intermediate_size=wide,
        num_hidden_layers=max(layers) + 1,
        num_attention_heads=size // 64,
        image_size=SIDE,
        patch_size=SIDE // PATCHES,
    )


def joining(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors between the halves, float32, by what follows the prefix in their names."""
    found: dict[str, torch.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if JOINTS.match(name)]  # noqa: SIM118
            found |= {name.removeprefix(PREFIX): file.get_tensor(name).float() for name in names}
    return found


def _shapes(folder: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            found |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    return found
