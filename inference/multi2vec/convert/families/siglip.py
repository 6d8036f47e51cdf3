"""SigLIP (arXiv 2303.15343) and the fixed-size kind of SigLIP 2 (arXiv 2502.14786) as transformers has them.

Their text tower is neither causal nor masked, and takes the vector at the last place, which most texts leave to
padding: each text must have the full length, with padding that attention sees. SigLIP's tokenizer removes punctuation
and capitals itself: see siglip_vocabulary.py. SigLIP 2 was trained on texts in lower case. Its published checkpoints
name Gemma's tokenizer, which keeps capitals; transformers has one that does not, and this is what is followed here.

Pictures are prepared by the PIL-backed processor, for the reasons in processors.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import Siglip2Tokenizer, SiglipImageProcessorPil, SiglipModel, SiglipTokenizer

from multi2vec.convert import options
from multi2vec.convert.errors import RecipeError, SourceError
from multi2vec.convert.model import Lazy, Model, Part, Tower, dense, measured_dimensions
from multi2vec.convert.parts import sentencepiece_files, siglip_vocabulary, two_towers
from multi2vec.convert.parts.two_towers import Kind, Texts, TextTower
from multi2vec.convert.recipe import Recipe
from multi2vec.specs import TensorSpec, TextSpec

CHARACTERS = "characters.json"


@dataclass(frozen=True)
class Tokens:
    """The library's tokenizer, for texts of a length and without a mask, and what serves in its place: the text of a
    tokenizer.json, cleaning steps and a table of characters before it."""

    original: Any
    file: str
    clean: tuple[Any, ...] = ()
    characters: str | None = None


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not a SigLIP, not complete, or cannot be had."""
    return two_towers.load(recipe, source, Kind("SigLIP", "siglip", SiglipModel, picture_processor, text_part))


def picture_processor(folder: Path) -> Any:
    """The library's. Where a file leaves open whether pictures become RGB, as the published ones do, they do: else the
    library would fail on all others."""
    processor: Any = SiglipImageProcessorPil.from_pretrained(folder)
    if processor.do_convert_rgb is None:
        processor.do_convert_rgb = True
    return processor


def tokens_of(folder: Path, length: int) -> Tokens:
    """By the tokenizer that the checkpoint names. Raises `SourceError` for one that is not known."""
    path = folder / "tokenizer_config.json"
    name = json.loads(path.read_text(encoding="utf-8")).get("tokenizer_class") if path.is_file() else None
    if name not in TOKENIZERS:
        raise SourceError(f"{path} names the tokenizer {name!r}; a SigLIP has one of: {', '.join(TOKENIZERS)}")
    found = TOKENIZERS[name](folder, {"model_max_length": length, "model_input_names": ["input_ids"]})
    original = found.original
    if original("a cat")["input_ids"][-1] != original.eos_token_id or original.padding_side != "right":
        raise SourceError(f"{folder}: the tokenizer does not end texts with {original.eos_token!r} and pad behind it")
    return found


def of_siglip(folder: Path, settings: dict[str, Any]) -> Tokens:
    """SigLIP's own."""
    original: Any = SiglipTokenizer.from_pretrained(folder, **settings)
    found = sentencepiece_files.read(folder / "spiece.model")
    return Tokens(
        original=original,
        file=siglip_vocabulary.tokenizer_json(found, original.eos_token),
        clean=siglip_vocabulary.CLEAN,
        characters=siglip_vocabulary.characters_json(found.characters) if found.characters else None,
    )


def of_siglip_2(folder: Path, settings: dict[str, Any]) -> Tokens:
    """SigLIP 2's."""
    original: Any = Siglip2Tokenizer.from_pretrained(folder, **settings)
    return Tokens(original, original.backend_tokenizer.to_str())


# By what a checkpoint calls its tokenizer.
TOKENIZERS: dict[str, Callable[[Path, dict[str, Any]], Tokens]] = {
    "SiglipTokenizer": of_siglip,
    "GemmaTokenizer": of_siglip_2,
    "GemmaTokenizerFast": of_siglip_2,
    "Siglip2Tokenizer": of_siglip_2,
}


def text_part(model: Any, original: Callable[[], Any], folder: Path, recipe: Recipe) -> Part:
    """Everything about texts. Raises `RecipeError` for a recipe that wants other lengths than the model's."""
    length = model.config.text_config.max_position_embeddings
    tokens = tokens_of(folder, length)
    padding = tokens.original.pad_token_id
    own = TextSpec(
        tower="text",
        max_length=length,
        padding="fixed",
        pad_id=padding,
        clean=tokens.clean,
        characters=CHARACTERS if tokens.characters else None,
    )
    spec = options.text_spec(own, recipe)
    if spec.max_length != length:
        raise RecipeError(f"{recipe.tag}: text: max_length is {spec.max_length}, but a SigLIP takes {length} always")
    ids = tokens.original("a photo of a cat")["input_ids"]
    example = torch.tensor([ids + [padding] * (length - len(ids))] * 2)
    module = TextTower(model)
    tower = Tower(
        module=module,
        inputs=(TensorSpec("input_ids", "i64", (None, length)),),
        example=(example,),
        outputs=dense(measured_dimensions(module, [example])),
    )
    reference = Lazy(lambda: Texts(original(), tokens.original, padding="max_length"))
    files = {spec.tokenizer: tokens.file} | ({CHARACTERS: tokens.characters} if tokens.characters else {})
    return Part(spec, tower, reference, files)
