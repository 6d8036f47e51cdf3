"""TIPSv2 (arXiv 2604.12012) as transformers has it, for instance google/tipsv2-b14.

A picture's vector is its first class token, which was trained on captions of the web; the second one, trained on
written captions, stands in the place of a register and is left away, as the library and the model card do. A text's is
the mean over its tokens. There are no special tokens: an empty text has none at all, and its vector is zero.

transformers has a picture processor for torchvision only, of which this is the PIL-backed kind, for the reasons in
processors.py. The authors' own transforms resize with PIL too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AddedToken, Tipsv2ImageProcessor, Tipsv2Model, Tipsv2Tokenizer
from transformers.image_processing_backends import PilBackend
from transformers.tokenization_utils_base import generate_merges

from multi2vec.convert import options
from multi2vec.convert.model import Lazy, Model, Part, masked_text_tower
from multi2vec.convert.parts import attention, sentencepiece_files, two_towers
from multi2vec.convert.parts.two_towers import Kind, Texts, TextTower
from multi2vec.convert.recipe import Recipe
from multi2vec.specs import TextSpec


class PictureProcessor(PilBackend):
    """`Tipsv2ImageProcessor` on PIL."""

    resample = Tipsv2ImageProcessor.resample
    size = Tipsv2ImageProcessor.size
    do_resize = Tipsv2ImageProcessor.do_resize
    do_rescale = Tipsv2ImageProcessor.do_rescale
    do_normalize = Tipsv2ImageProcessor.do_normalize
    do_convert_rgb = Tipsv2ImageProcessor.do_convert_rgb


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not a TIPSv2, not complete, or cannot be had."""
    return two_towers.load(recipe, source, KIND)


def adjust(model: Any) -> None:
    """Let the table of positions be as it is: traced, the library would resize it to the size that it has, and OpenVINO
    knows no antialiasing."""
    embeddings = model.vision_model.embeddings
    embeddings.interpolate_pos_encoding = lambda embedded, height, width: embeddings.position_embeddings
    attention.use(model.text_model)


def tokenizer_of(folder: Path, length: int) -> Any:
    """The library's tokenizer for texts of `length` tokens. From the published `tokenizer.model` the library makes it
    by the package sentencepiece, and by these steps."""
    if (folder / "tokenizer.json").is_file():
        return Tipsv2Tokenizer.from_pretrained(folder, model_max_length=length)
    found = sentencepiece_files.read(folder / "tokenizer.model")
    numbers = {piece.text: number for number, piece in enumerate(found.pieces)}
    kinds = {sentencepiece_files.CONTROL: True, sentencepiece_files.USER_DEFINED: False}
    added = [
        AddedToken(piece.text, normalized=False, special=kinds[piece.kind])
        for piece in found.pieces
        if piece.kind in kinds
    ]
    return Tipsv2Tokenizer(
        vocab=numbers,
        merges=generate_merges(numbers),
        additional_special_tokens=added,
        model_max_length=length,
        _spm_precompiled_charsmap=found.characters or None,
    )


def text_part(model: Any, original: Callable[[], Any], folder: Path, recipe: Recipe) -> Part:
    """Everything about texts."""
    length = model.config.text_config.max_position_embeddings
    tokenizer = tokenizer_of(folder, length)
    spec = options.text_spec(TextSpec(tower="text", max_length=length, pad_id=tokenizer.pad_token_id), recipe)
    ids = tokenizer("a photo of a cat")["input_ids"]
    tower = masked_text_tower(TextTower(model), ids, model.config.text_config.hidden_size)
    own = tokenizer_of(folder, spec.max_length)
    reference = Lazy(lambda: Texts(original(), own, padding="max_length"))
    return Part(spec, tower, reference, {spec.tokenizer: tokenizer.backend_tokenizer.to_str()})


KIND = Kind("TIPSv2", "tipsv2", Tipsv2Model, PictureProcessor.from_pretrained, text_part, adjust)
