"""SigLIP (arXiv 2303.15343) and the fixed-size kind of SigLIP 2 (arXiv 2502.14786) as transformers has them.

Their text tower is neither causal nor masked, and takes the vector at the last place, which most texts leave to
padding: each text must have the full length, with padding that attention sees. SigLIP 2 was trained on texts in lower
case. Its published checkpoints name Gemma's tokenizer, which keeps capitals; transformers has one that does not, and
this is what is followed here.

Pictures are prepared by the PIL-backed processor, for the reasons in processors.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Siglip2Tokenizer, SiglipImageProcessorPil, SiglipModel

from multi2vec.convert import checkpoint, options, two_towers, weights
from multi2vec.convert.errors import RecipeError, SourceError
from multi2vec.convert.model import Lazy, Model, Part, Tower, dense, measured_dimensions
from multi2vec.convert.recipe import Recipe
from multi2vec.convert.two_towers import Texts, TextTower
from multi2vec.manifest import TensorSpec, TextSpec

# By what a checkpoint calls its tokenizer.
TOKENIZERS: dict[str, Any] = {
    "GemmaTokenizer": Siglip2Tokenizer,
    "GemmaTokenizerFast": Siglip2Tokenizer,
    "Siglip2Tokenizer": Siglip2Tokenizer,
}


def load(recipe: Recipe, source: Path | None) -> Model:
    """Raises `ConversionError` when the checkpoint is not a SigLIP, not complete, or cannot be had."""
    found = checkpoint.find(recipe, "model", source)
    folder = found.folder
    with two_towers.reading(folder, "a SigLIP"):
        weights.check_model_type(folder, "siglip")
        model, original = two_towers.load_twice(SiglipModel, folder)
        processor = picture_processor(folder)
        parts = {
            "text": text_part(model, original, folder, recipe),
            "image": two_towers.picture_part(
                model, processor, recipe, two_towers.pictures(original, processor, recipe)
            ),
        }
    return Model((found.source,), parts)


def picture_processor(folder: Path) -> Any:
    """The library's. Where a file leaves open whether pictures become RGB, as the published ones do, they do: else the
    library would fail on all others."""
    processor: Any = SiglipImageProcessorPil.from_pretrained(folder)
    if processor.do_convert_rgb is None:
        processor.do_convert_rgb = True
    return processor


def tokenizer_of(folder: Path, length: int) -> Any:
    """The library's tokenizer of a checkpoint, for texts of `length` tokens and without a mask. Raises `SourceError`
    for one that is not known."""
    path = folder / "tokenizer_config.json"
    name = json.loads(path.read_text(encoding="utf-8")).get("tokenizer_class") if path.is_file() else None
    if name not in TOKENIZERS:
        raise SourceError(f"{path} names the tokenizer {name!r}; a SigLIP has one of: {', '.join(TOKENIZERS)}")
    tokenizer = TOKENIZERS[name].from_pretrained(folder, model_max_length=length, model_input_names=["input_ids"])
    if tokenizer("a cat")["input_ids"][-1] != tokenizer.eos_token_id or tokenizer.padding_side != "right":
        raise SourceError(f"{folder}: the tokenizer does not end texts with {tokenizer.eos_token!r} and pad behind it")
    return tokenizer


def text_part(model: Any, original: Callable[[], Any], folder: Path, recipe: Recipe) -> Part:
    """Everything about texts. Raises `RecipeError` for a recipe that wants other lengths than the model's."""
    length = model.config.text_config.max_position_embeddings
    tokenizer = tokenizer_of(folder, length)
    own = TextSpec(tower="text", max_length=length, padding="fixed", pad_id=tokenizer.pad_token_id)
    spec = options.text_spec(own, recipe)
    if spec.max_length != length:
        raise RecipeError(f"{recipe.tag}: text: max_length is {spec.max_length}, but a SigLIP takes {length} always")
    ids = tokenizer("a photo of a cat")["input_ids"]
    example = torch.tensor([ids + [tokenizer.pad_token_id] * (length - len(ids))] * 2)
    module = TextTower(model)
    tower = Tower(
        module=module,
        inputs=(TensorSpec("input_ids", "i64", (None, length)),),
        example=(example,),
        outputs=dense(measured_dimensions(module, [example])),
    )
    reference = Lazy(lambda: Texts(original(), tokenizer, padding="max_length"))
    return Part(spec, tower, reference, {spec.tokenizer: tokenizer.backend_tokenizer.to_str()})
